"""Executing a plan: which requests are made, on which connections, and what a failure
leaves behind. The node is real sshd with played answers; the true script has its own
tests (test_real_node)."""

from __future__ import annotations

import asyncio
import io
import subprocess
import tarfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tailgit.compile import Bundle
from tailgit.deploy.apply import Delivery, apply, deliveries
from tailgit.deploy.identity import identity
from tailgit.deploy.sign import public_half, sign, signing_key
from tailgit.deploy.ssh import AsyncSsh, Login, Reply, Session
from tailgit.errors import Exit, SigningError, Unreachable
from tailgit.plan.outcome import Applied, Result
from tailgit.plan.plan import History, Lineage, Plan, make
from tests.deploy.frames import error, ok
from tests.deploy.sshd import Node, make_key, public
from tests.plan.small import COMMIT, OLD, bundle, device, fresh, running, tailnet

SIGNATURE = b"a signature\n"


def plan_for(*names: str) -> tuple[Plan, dict[str, Bundle]]:
    """A plan that brings a first generation to each node."""
    bundles = {name: bundle(name, firewall_nft=f"for {name}\n") for name in names}
    seen = {name: fresh(name) for name in names}
    net = tailnet(*map(device, names))
    history = History(lineage={OLD: Lineage.ANCESTOR})
    return make(net, bundles, seen, COMMIT, history), bundles


def parcels(
    plan: Plan, bundles: dict[str, Bundle], logins: dict[str, Login]
) -> dict[str, Delivery]:
    return deliveries(
        plan,
        bundles,
        logins,
        by="Ana <ana@acme.com>",
        at="2026-11-22T13:00:00Z",
        sign=lambda _: SIGNATURE,
    )


def play(node: Node, number: str = "1") -> None:
    """Every verb succeeds with this generation."""
    for verb in ("stage", "activate", "confirm"):
        node.answers(verb, ok(verb, "acme", ("generation", number)))


def run(node: Node, pauses: Sequence[float] = (0.1, 0.1)) -> Applied:
    """Apply a plan for one node, db-1, that this sshd plays."""
    plan, bundles = plan_for("db-1")
    sent = parcels(plan, bundles, {"db-1": node.login()})
    executor = AsyncSsh(identity(node.controller), connect_seconds=5)
    return asyncio.run(apply(plan, sent, executor, lambda *_: None, pauses=pauses))


@pytest.mark.live
def test_three_requests_on_two_connections(node: Node) -> None:
    """Stage and activate share one, confirm has a new one: it proves the way back."""
    play(node)
    done = run(node)
    assert node.requests == ["stage acme", "activate acme 1", "confirm acme 1"]
    stage, activate, confirm = node.connections
    assert stage == activate != confirm
    (outcome,) = done.outcomes
    assert (outcome.result, outcome.generation) == (Result.APPLIED, 1)
    assert done.exit is Exit.DONE


@pytest.mark.live
def test_the_parcel_arrives_as_it_was_signed(node: Node) -> None:
    """Five members, the envelope of this commit, and the planned bundle."""
    play(node)
    run(node)
    with tarfile.open(fileobj=io.BytesIO(node.parcel)) as tar:
        members = {m.name: tar.extractfile(m) for m in tar.getmembers()}
        parts = {name: file.read() for name, file in members.items() if file}
    wanted = bundle("db-1", firewall_nft="for db-1\n")
    assert parts["bundle.tar"] == wanted.tar()
    assert parts["statement.sig"] == SIGNATURE
    assert (
        f"commit {COMMIT.sha}\nheight {COMMIT.height}\n" in parts["envelope"].decode()
    )


@pytest.mark.live
def test_a_node_that_refuses_the_parcel_keeps_what_it_has(node: Node) -> None:
    """The word and the sentence of the node are in the row; nothing else is asked."""
    play(node)
    node.answers("stage", error("stage", "acme", "bad-grammar", "line 3: no"))
    done = run(node)
    (outcome,) = done.outcomes
    assert (outcome.result, outcome.phase, outcome.code, outcome.message) == (
        Result.FAILED,
        "stage",
        "bad-grammar",
        "line 3: no",
    )
    assert node.requests == ["stage acme"]
    assert done.exit is Exit.INCOMPLETE


@pytest.mark.live
def test_a_failed_activation_is_never_confirmed(node: Node) -> None:
    """What ran before runs again there; the row says at which phase it ended."""
    play(node)
    said = error("activate", "acme", "activation-failed", "no such link")
    node.answers("activate", said)
    (outcome,) = run(node).outcomes
    assert (outcome.result, outcome.phase) == (Result.FAILED, "activate")
    assert node.requests == ["stage acme", "activate acme 1"]


@pytest.mark.live
def test_a_connection_that_dies_in_activate_is_asked_again(node: Node) -> None:
    """The work was done or not; asking again over a new connection settles it."""
    play(node)
    once = "[ -f once ] || { touch once; kill -9 $PPID; sleep 1; }\n"
    answer = ok("activate", "acme", ("generation", "1"))
    node.answers("activate", answer, before=once)
    (outcome,) = run(node).outcomes
    assert outcome.result is Result.APPLIED
    assert node.requests == [
        "stage acme",
        "activate acme 1",
        "activate acme 1",
        "confirm acme 1",
    ]


@pytest.mark.live
def test_a_node_lost_after_activate_is_unconfirmed(node: Node) -> None:
    """It is named as half way: it may run the new one and boots the old one."""
    play(node)
    node.answers("confirm", b"", before="kill -9 $PPID; sleep 1\n")
    done = run(node)
    (outcome,) = done.outcomes
    assert (outcome.result, outcome.phase) == (Result.UNCONFIRMED, "confirm")
    assert node.requests[2:] == ["confirm acme 1"] * 3
    assert done.exit is Exit.INCOMPLETE


@pytest.mark.live
def test_a_node_that_is_busy_with_our_lost_request_is_waited_for(node: Node) -> None:
    """`busy` after a broken connection is our own request, still at work."""
    play(node)
    node.answers(
        "confirm",
        ok("confirm", "acme", ("generation", "1")),
        before="[ -f once ] || { touch once; cat busy; exit; }\n",
    )
    (node.folder / "busy").write_bytes(error("confirm", "acme", "busy", "at work"))
    (outcome,) = run(node).outcomes
    assert outcome.result is Result.APPLIED


@pytest.mark.live
def test_a_generation_that_was_given_up_is_a_failure(node: Node) -> None:
    """`not-pending` at confirm: the node went back by itself."""
    play(node)
    node.answers("confirm", error("confirm", "acme", "not-pending", "given up"))
    (outcome,) = run(node).outcomes
    assert (outcome.result, outcome.code) == (Result.FAILED, "not-pending")
    assert len(node.requests) == 3


@pytest.mark.live
@pytest.mark.parametrize("number", ["0", "x", "-1", "1 2", "../1", ""])
def test_a_generation_that_is_no_number_is_never_sent_back(
    node: Node, number: str
) -> None:
    """What a node says is not put into a command unless it is a plain number."""
    play(node, number)
    (outcome,) = run(node).outcomes
    assert outcome.result is Result.FAILED
    assert node.requests == ["stage acme"]


@dataclass
class Counting:
    """An executor without a network: mocked because it counts and orders events."""

    log: list[tuple[str, str]] = field(default_factory=list)
    down: frozenset[str] = frozenset()
    stop: asyncio.Event | None = None

    @asynccontextmanager
    async def connect(self, login: Login) -> AsyncIterator[Session]:
        self.log.append((login.node, "connect"))
        if login.node in self.down:
            raise Unreachable(login.node, "no answer")
        yield _Played(self, login.node)


@dataclass
class _Played:
    executor: Counting
    node: str

    async def run(self, command: str, *, stdin: bytes = b"", seconds: float) -> Reply:
        assert seconds > 20  # the node may wait that long for its own lock
        assert bool(stdin) == command.startswith("stage")
        self.executor.log.append((self.node, command.split()[0]))
        if self.executor.stop is not None:
            self.executor.stop.set()
        await asyncio.sleep(0)
        return Reply(ok(command.split()[0], "acme", ("generation", "4")), b"")


def logins(*names: str) -> dict[str, Login]:
    return {name: Login(name, "192.0.2.1", 22, "tailgit", "k") for name in names}


def carry_out(executor: Counting, *names: str, parallel: int = 8) -> Applied:
    plan, bundles = plan_for(*names)
    sent = parcels(plan, bundles, logins(*names))
    return asyncio.run(
        apply(
            plan,
            sent,
            executor,
            lambda *_: None,
            parallel=parallel,
            stop=executor.stop,
            pauses=(0, 0),
        )
    )


def test_one_node_that_is_down_keeps_no_other_from_being_finished() -> None:
    """Every node has its own row, in order of their names."""
    executor = Counting(down=frozenset({"b"}))
    done = carry_out(executor, "a", "b", "c")
    assert [o.result for o in done.outcomes] == [
        Result.APPLIED,
        Result.UNREACHABLE,
        Result.APPLIED,
    ]
    assert done.exit is Exit.INCOMPLETE
    assert len([x for x in executor.log if x[1] != "connect"]) == 6


def test_interrupting_begins_no_other_node_and_finishes_the_first() -> None:
    """After the first Ctrl-C what is under way is confirmed, the rest left alone."""
    executor = Counting(stop=asyncio.Event())
    done = carry_out(executor, "a", "b", "c", parallel=1)
    assert [o.result for o in done.outcomes] == [
        Result.APPLIED,
        Result.NOT_STARTED,
        Result.NOT_STARTED,
    ]
    assert {node for node, _ in executor.log} == {"a"}
    assert done.exit is Exit.INCOMPLETE


def test_nothing_to_do_is_no_signature_and_no_connection() -> None:
    """In sync: neither key nor node is touched."""
    wanted = bundle("a", firewall_nft="x\n")
    plan = make(
        tailnet(device("a")),
        {"a": wanted},
        {"a": running(wanted)},
        COMMIT,
        History(lineage={OLD: Lineage.ANCESTOR}),
    )

    def never(_: bytes) -> bytes:
        raise AssertionError("signed")

    sent = deliveries(plan, {"a": wanted}, {}, by="x", at="y", sign=never)
    executor = Counting()
    done = asyncio.run(apply(plan, sent, executor, lambda *_: None))
    assert [o.result for o in done.outcomes] == [Result.UNCHANGED]
    assert executor.log == []
    assert done.exit is Exit.DONE


def test_a_signature_is_one_that_ssh_keygen_verifies(tmp_path: Path) -> None:
    """In the tailnet's namespace, over exactly the statement."""
    key = make_key(tmp_path / "key")
    statement = b"tailgit-apply 1\nroot 00\n"
    (tmp_path / "sig").write_bytes(sign(statement, "acme", str(key)))
    (tmp_path / "allowed").write_text(f"ana {public(key)}\n")

    def verifies(namespace: str, data: bytes) -> bool:
        words = ["-f", tmp_path / "allowed", "-I", "ana", "-n", namespace]
        done = subprocess.run(
            ["ssh-keygen", "-Y", "verify", *words, "-s", tmp_path / "sig"],
            input=data,
            capture_output=True,
        )
        return done.returncode == 0

    assert verifies("tailgit@acme", statement)
    assert not verifies("tailgit@other", statement)
    assert not verifies("tailgit@acme", statement + b"\n")


def test_a_key_that_can_not_sign_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    """A public key without its other half, a file that is no key, no file at all."""
    key = make_key(tmp_path / "key")
    key.unlink()
    for which in (f"{key}.pub", public(key), str(tmp_path / "missing")):
        with pytest.raises(SigningError, match="did not sign") as caught:
            sign(b"x", "acme", which)
        assert "ssh-add -l" in caught.value.help


def test_the_signing_key_is_the_one_that_signs_commits(tmp_path: Path) -> None:
    """Named, else git's where it signs with SSH, else ~/.ssh/id_ed25519, else none."""
    home, repo = tmp_path / "home", tmp_path / "repo"
    (home / ".ssh").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", repo], check=True)

    def config(name: str, value: str) -> None:
        subprocess.run(["git", "-C", repo, "config", name, value], check=True)

    config("user.signingkey", "")
    with pytest.raises(SigningError, match="no key to sign with"):
        signing_key(None, repo, home)
    usual = make_key(home / ".ssh" / "id_ed25519")
    assert signing_key(None, repo, home) == str(usual)
    config("user.signingkey", "AB12CD")
    config("gpg.format", "openpgp")
    assert signing_key(None, repo, home) == str(usual)
    config("gpg.format", "ssh")
    config("user.signingkey", f"key::{public(usual)}")
    assert signing_key(None, repo, home) == f"key::{public(usual)}"
    assert public_half(f"key::{public(usual)}") == public(usual)
    assert public_half(str(usual)) == public(usual)
    named = make_key(tmp_path / "named")
    assert signing_key(named, repo, home) == str(named)
    with pytest.raises(SigningError, match="no signing key"):
        signing_key(tmp_path / "none", repo, home)


def test_rows_that_apply_leaves_alone_are_in_the_result() -> None:
    """Unreachable, refused and not enrolled nodes count; a file device does not."""
    plan, _ = plan_for("a")
    row = plan.rows[0]
    from tailgit.plan.plan import State

    rows = tuple(
        replace(row, node=str(state), state=state, unserved=unserved)
        for state, unserved in (
            (State.IN_SYNC, False),
            (State.NOT_DELIVERED, False),
            (State.NOT_ENROLLED, True),
            (State.REFUSED, True),
            (State.UNREACHABLE, True),
        )
    )
    done = asyncio.run(apply(replace(plan, rows=rows), {}, Counting(), lambda *_: None))
    assert [(o.node, o.result) for o in done.outcomes] == [
        ("in-sync", Result.UNCHANGED),
        ("not-enrolled", Result.NOT_ENROLLED),
        ("refused", Result.FAILED),
        ("unreachable", Result.UNREACHABLE),
    ]
    assert done.exit is Exit.INCOMPLETE
