"""Ask nodes what they run: many at once, each one's failure being its own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from datetime import datetime

from tailgit.deploy.answer import Answer
from tailgit.deploy.fleet import Contact, Fleet
from tailgit.errors import BadAnswer, NodeError
from tailgit.plan.observed import (
    Deposited,
    Fetched,
    Generation,
    Hold,
    Observed,
    Peer,
    Record,
    Suspension,
)

Progress = Callable[[str, str], None]
"""Called with a node's name and a word or sentence about it."""

_HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TOKEN = re.compile(r"[0-9a-f]{16}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_LAST = 253_402_300_799  # the end of the year 9999
_PARTS = ("filter", "peers", "addresses", "routes", "names")


async def observe_all(
    fleet: Fleet, nodes: Iterable[str], progress: Progress
) -> dict[str, Observed | NodeError]:
    """What each node says, or why it says nothing; by name, nothing left out."""

    async def one(node: str) -> tuple[str, Observed | NodeError]:
        async with fleet.at(node) as contact:
            try:
                seen = await observe(contact)
            except NodeError as error:
                progress(node, error.message)
                return node, error
            progress(node, "observed")
            return node, seen

    return dict(await asyncio.gather(*map(one, nodes)))


async def observe(contact: Contact) -> Observed:
    """What one node says of itself; raises a `NodeError`."""
    return observed(contact.node, await contact.ask_twice("observe"))


def observed(node: str, answer: Answer) -> Observed:
    """The value of an `observe` answer; `BadAnswer` where it lacks or garbles one."""
    try:
        current = _number(answer.one("current"))
        state = _word(answer.one("record"), "none", "ok", "damaged")
        return Observed(
            node=node,
            version=answer.one("version"),
            script=answer.one("script"),
            time=_epoch(answer.one("time")),
            public_keys=tuple(sorted(answer.every("publicKey"))),
            current=current,
            live=_number(answer.one("live")),
            pending=_number(answer.one("pending")),
            rolledback=_number(answer.one("rolledback")),
            record=_record(answer) if state == "ok" else None,
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
            serial=_count(answer.one("serial")),
            damaged=state == "damaged",
            generations=tuple(map(_generation, answer.every("generation"))),
            confirm_in=_number(answer.maybe("confirmIn") or "none"),
            hold=_hold(answer.maybe("lock")),
            suspended=_suspension(answer),
            behind=_word(answer.one("clock"), "ok", "behind") == "behind",
            clock_high=_epoch(answer.one("clockHigh")),
            free=_count(answer.one("free")),
            drift=answer.every("drift"),
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
        at=_instant(answer.one("at")),
        envelope=_hex(answer.one("envelope")),
        manifest=_hex(answer.one("manifest")),
    )


def _generation(text: str) -> Generation:
    number, commit, height, kind, at, envelope, manifest = text.split(" ")
    return Generation(
        _count(number),
        _hex(commit),
        _count(height),
        _word(kind, "apply", "rollback"),
        _instant(at),
        _hex(envelope),
        _hex(manifest),
    )


def _hold(text: str | None) -> Hold | None:
    if text is None:
        return None
    token, commit, at, silent, by = text.split(" ", 4)
    if not _TOKEN.fullmatch(token):
        raise ValueError("a lock's token is none")
    return Hold(token, _hex(commit), _instant(at), by, _count(silent))


def _suspension(answer: Answer) -> Suspension | None:
    until = answer.maybe("suspended")
    if until is None:
        return None
    by, reason = answer.one("suspendedBy"), answer.one("suspendedReason")
    # Who may log in may have said any time; the node must stay readable, to resume it.
    return Suspension(min(_count(until), _LAST), by, reason)


def _instant(text: str) -> str:
    """A time as envelopes write it: of one width, so it compares as text.

    We count on from it (`deploy.delivery`), so it is one of the calendar, and has one
    after it.
    """
    if not _INSTANT.fullmatch(text) or text >= "3000":
        raise ValueError("a time is none")
    datetime.fromisoformat(text)
    return text


def _epoch(text: str) -> int:
    """Seconds of a time that a calendar has; others could not be shown."""
    if _count(text) > _LAST:
        raise ValueError("a time is beyond the calendar")
    return int(text)


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
