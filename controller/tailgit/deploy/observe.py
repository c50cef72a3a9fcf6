"""Ask nodes what they run: many at once, each one's failure being its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable

from tailgit.deploy.answer import Answer
from tailgit.deploy.request import ask
from tailgit.deploy.ssh import Executor, Login
from tailgit.errors import BadAnswer, NodeError
from tailgit.plan.observed import Deposited, Fetched, Observed, Peer, Record

PARALLEL = 32
"""Nodes that are talked to at the same time unless somebody says otherwise."""

Progress = Callable[[str, str], None]
"""Called with a node's name and a word or sentence about it."""

_HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PARTS = ("filter", "peers", "addresses", "routes", "names")


async def observe_all(
    executor: Executor,
    tailnet: str,
    logins: Iterable[Login],
    progress: Progress,
    parallel: int = PARALLEL,
) -> dict[str, Observed | NodeError]:
    """What each node says, or why it says nothing; by name, nothing left out."""
    gate = asyncio.Semaphore(parallel)

    async def one(login: Login) -> tuple[str, Observed | NodeError]:
        async with gate:
            try:
                seen = await observe(executor, tailnet, login)
            except NodeError as error:
                progress(login.node, error.message)
                return login.node, error
            progress(login.node, "observed")
            return login.node, seen

    return dict(await asyncio.gather(*(one(login) for login in logins)))


async def observe(executor: Executor, tailnet: str, login: Login) -> Observed:
    """What one node says of itself; raises a `NodeError`."""
    async with executor.connect(login) as session:
        answer = await ask(session, login.node, "observe", tailnet)
    return observed(login.node, answer)


def observed(node: str, answer: Answer) -> Observed:
    """The value of an `observe` answer; `BadAnswer` where it lacks or garbles one."""
    try:
        current = _number(answer.one("current"))
        return Observed(
            node=node,
            version=answer.one("version"),
            script=answer.one("script"),
            time=_count(answer.one("time")),
            public_keys=tuple(sorted(answer.every("publicKey"))),
            current=current,
            live=_number(answer.one("live")),
            pending=_number(answer.one("pending")),
            rolledback=_number(answer.one("rolledback")),
            record=None if current is None else _record(answer),
            interface=_word(answer.one("interface"), "up", "down", "absent"),
            parts=(
                *(
                    (part, _word(answer.one(part), "ok", "differs", "absent"))
                    for part in _PARTS
                ),
                ("guard", _word(answer.one("guard"), "ok", "absent")),
            ),
            listen_port=_number(answer.maybe("listenPort") or "none"),
            peers=tuple(map(_peer, answer.every("peer"))),
            foreign=tuple(sorted(answer.every("foreign"))),
            deposited=tuple(map(_deposited, answer.every("deposited"))),
            fetched=tuple(map(_fetched, answer.every("pulled"))),
        )
    except ValueError as error:
        raise BadAnswer(
            node,
            f"its answer to `observe` is not understood: {error}",
            "its tailgit-node may be of another version; enrol it again",
        ) from None


def _record(answer: Answer) -> Record:
    return Record(
        commit=_hex(answer.one("commit")),
        height=_count(answer.one("height")),
        kind=_word(answer.one("kind"), "apply", "rollback"),
        by=answer.one("by"),
        at=answer.one("at"),
        envelope=_hex(answer.one("envelope")),
        manifest=_hex(answer.one("manifest")),
    )


def _peer(text: str) -> Peer:
    key, endpoint, *numbers = text.split(" ")
    handshake, received, sent = map(_count, numbers)
    return Peer(key, endpoint, handshake, received, sent)


def _deposited(text: str) -> Deposited:
    node, envelope, at, commit, manifest = text.split(" ")
    return Deposited(node, _hex(envelope), at, _hex(commit), _hex(manifest))


def _fetched(text: str) -> Fetched:
    node, time, envelope, result = text.split(" ")
    has = None if envelope == "none" else _hex(envelope)
    return Fetched(node, _count(time), has, result)


def _number(text: str) -> int | None:
    return None if text == "none" else _count(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ValueError("a number is none")
    return int(text)


def _hex(text: str) -> str:
    if not _HEX.fullmatch(text):
        raise ValueError("a commit or digest is none")
    return text


def _word(text: str, *known: str) -> str:
    if text not in known:
        raise ValueError(f"a state is none of {', '.join(known)}")
    return text
