"""Pushing to 200 nodes against pyinfra and ansible-core, on one sshd in one run.

    python benchmarks/push.py [NODES] [--rounds N] [--alone]

Two hundred addresses of a loopback, in a network namespace of its own (needs root),
lead to one sshd. For tailgit its forced command only gives the answer that a node
would (`cat` of a file); the peers run as little: one file of the same size copied, one
`true`. All three read what came back. What is measured, in turns, three rounds each:

    first push       what `apply` does with a compiled commit: observe all, plan, sign,
                     stage everywhere, then canary and waves: activate, and confirm
                     over one more new connection. The peers: their first run.
    nothing changed  `tailgit plan` as a process, from its start to its exit, on a
                     repository with these nodes. The peers: their second run.
    kept             observe over connections that are open. The peers: as above.
    whole apply      `tailgit apply --yes` as a process, with load, compile and record;
                     shown without a bound.

Ratios are of nodes per second, the medians count; CPU is user plus system time of the
client's processes. Ansible is given fewer nodes, its rate is the same with more.
Exit 1 if a ratio or the CPU of a host misses its bound. `--alone` leaves the peers out.

The peers are installed by pip into .venv-bench beside this repository.

What the real script costs is in benchmarks/push_real.py; figures in
docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "controller"))

from pushing.ground import PARALLEL, Ground, ground, serve
from pushing.peers import ANSIBLE_NODES, ansible, install, pyinfra
from pushing.rounds import Round, measured

from tailgit.cli.fleet import progress
from tailgit.deploy.apply import Applying
from tailgit.deploy.delivery import deliveries
from tailgit.deploy.observe import observe_all
from tailgit.deploy.sign import sign
from tailgit.deploy.switch import Terms
from tailgit.plan.make import make
from tailgit.plan.observed import Observed
from tailgit.plan.outcome import Applied, Result
from tailgit.plan.plan import Desired, History, Order

HERE = Path(__file__).resolve().parents[1]
PUSH, NOTHING, KEPT = "first push", "nothing changed", "kept"
WHOLE = "whole apply"
BOUNDS = {
    PUSH: {"pyinfra": 2.0, "ansible": 25.0},
    NOTHING: {"pyinfra": 3.0, "ansible": 50.0},
    KEPT: {"pyinfra": 12.0, "ansible": 200.0},
}
CPU_BOUND = 7.0
"""Milliseconds of the client for each host of a first push."""


def first_push(ground: Ground) -> Round:
    ground.answer("fresh")
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        return measured(len(ground.logins), lambda: asyncio.run(pushed(ground)))


async def pushed(ground: Ground) -> None:
    """What `tailgit apply` does from its survey on (cli.apply, cli.carrying)."""
    fleet = ground.fleet()
    try:
        seen = await observe_all(fleet, ground.nodes, lambda *_: None)
        now = datetime.now(UTC)
        desired = Desired(ground.tailnet, ground.bundles)
        args = History(), Order(), int(now.timestamp())
        plan = make(desired, seen, ground.commit, *args)
        assert not plan.refusals, (plan.refusals, seen)
        sent = deliveries(
            plan,
            ground.bundles,
            {},
            by="bench",
            at=now,
            sign=lambda statement: sign(statement, "acme", str(ground.key)),
        )
        there = {n: one for n, one in seen.items() if isinstance(one, Observed)}
        applied: Applied = await Applying(
            plan, sent, there, fleet, "5" * 16, progress, asyncio.Event(), Terms()
        ).run()
        ends = [outcome.result for outcome in applied.outcomes]
        assert ends == [Result.APPLIED] * len(ground.logins), applied.outcomes
    finally:
        await fleet.close()


def command(ground: Ground, verb: str, *words: str) -> str:
    """What one command prints; it has to end well."""
    line = [sys.executable, "-m", "tailgit", verb, "--format", "json", *words]
    line += ["--repo", str(ground.folder / "repo"), "--identity", str(ground.key)]
    line += ["--ssh-config", "none", "--parallel", str(PARALLEL)]
    done = subprocess.run(
        line, env=installed(ground), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (line, done.returncode, done.stderr[-2000:])
    return done.stdout


def installed(ground: Ground) -> dict[str, str]:
    """An environment in which our modules are compiled, as those of the peers are (pip
    does that), without files of root in the checkout."""
    kept = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(ground.folder / "compiled")}


def nothing_changed(ground: Ground) -> Round:
    ground.answer("applied")

    def run() -> None:
        rows = json.loads(command(ground, "plan", "--detailed-exitcode"))["rows"]
        assert len(rows) == len(ground.logins), len(rows)

    return measured(len(ground.logins), run)


def whole_apply(ground: Ground) -> Round:
    """The command with everything around it; its record is forgotten again."""
    ground.answer("fresh")
    words = "--yes", "--signing-key", str(ground.key)
    took = measured(len(ground.logins), lambda: command(ground, "apply", *words))
    for ref in ("refs/tailgit/acme/applied", "refs/notes/tailgit/acme"):
        git = ["git", "-C", str(ground.folder / "repo"), "update-ref", "-d", ref]
        subprocess.run(git, check=True)
    return took


def kept(ground: Ground) -> Round:
    """Observe over connections that are open, three times each."""
    ground.answer("applied")

    async def run() -> Round:
        fleet = ground.fleet()

        async def observe() -> None:
            seen = await observe_all(fleet, ground.nodes, lambda *_: None)
            bad = [one for one in seen.values() if not isinstance(one, Observed)]
            assert not bad, bad[0]

        try:
            await observe()
            cpu, start = time.process_time(), time.monotonic()
            for _ in range(3):
                await observe()
            took, cpu = time.monotonic() - start, time.process_time() - cpu
            return Round(3 * len(ground.logins), took, cpu)
        finally:
            await fleet.close()

    return asyncio.run(run())


def compare(ground: Ground, rounds: int, *, alone: bool) -> int:
    """All of it in turns; prints the table and says whether every bound is kept."""
    (ground.folder / "to").mkdir()
    (ground.folder / "file").write_bytes(next(iter(ground.bundles.values())).tar())
    found: dict[tuple[str, str], list[Round]] = {}

    def note(what: str, who: str, one: Round) -> None:
        found.setdefault((what, who), []).append(one)
        print(f"  {what:16} {who:8} {one.rate:8.1f} nodes/s", file=sys.stderr)

    for number in range(rounds):
        for what, ours in OURS.items():
            note(what, "tailgit", ours(ground))
        for who, run in () if alone else (("pyinfra", pyinfra), ("ansible", ansible)):
            first, again = run(ground, number)
            note(PUSH, who, first)
            note(NOTHING, who, again)
            note(KEPT, who, again)
    print(f"{len(ground.logins)} nodes ({ANSIBLE_NODES} for ansible), {rounds} rounds")
    failed = False
    for what in OURS:
        us = found[what, "tailgit"]
        print(f"{what:16} tailgit  {said(us)}")
        for who, bound in () if alone else BOUNDS.get(what, {}).items():
            theirs = found[what, who]
            pairs = zip(us, theirs, strict=True)
            ratio = median(one.rate / other.rate for one, other in pairs)
            failed |= ratio < bound
            print(f"{'':16} {who:8} {said(theirs)}  {ratio:6.1f} x (at least {bound})")
    each = median(one.each for one in found[PUSH, "tailgit"])
    print(f"client CPU of a first push {each:.1f} ms a host (at most {CPU_BOUND})")
    return 1 if failed or each > CPU_BOUND else 0


OURS: dict[str, Callable[[Ground], Round]] = {
    PUSH: first_push,
    NOTHING: nothing_changed,
    KEPT: kept,
    WHOLE: whole_apply,
}


def said(rounds: list[Round]) -> str:
    rate, each = (median(r.rate for r in rounds), median(r.each for r in rounds))
    return f"{rate:8.1f} nodes/s {each:8.2f} ms client CPU"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("nodes", type=int, nargs="?", default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("needs root: an sshd, and a network namespace for it", file=sys.stderr)
        return 1
    if not options.inside:
        if not options.alone:
            install()
        apart = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        words = [*apart, "--mount-proc", sys.executable, *sys.argv, "--inside"]
        return subprocess.run(words, check=False).returncode
    os.environ["PYTHONPATH"] = str(HERE / "controller")
    gc.set_threshold(50_000)  # as tailgit.cli.main does
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HOME"] = name
        os.environ.pop("SSH_AUTH_SOCK", None)
        made = ground(folder, options.nodes)
        sshd = serve(folder)
        try:
            asyncio.run(warm(made))
            return compare(made, options.rounds, alone=options.alone)
        finally:
            sshd.send_signal(signal.SIGTERM)
            sshd.wait()


async def warm(ground: Ground) -> None:
    """The sshd is there, and everything is imported."""
    ground.answer("applied")
    for _ in range(50):
        fleet = ground.fleet()
        got = await observe_all(fleet, ground.nodes[:1], lambda *_: None)
        await fleet.close()
        if all(isinstance(one, Observed) for one in got.values()):
            command(ground, "plan")
            whole_apply(ground)
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(str(got))


if __name__ == "__main__":
    sys.exit(main())
