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
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(HERE), str(HERE / "controller")]

from tailgit.cli.fleet import progress  # noqa: E402
from tailgit.compile import Bundle, compile_tailnet  # noqa: E402
from tailgit.deploy.apply import Applying  # noqa: E402
from tailgit.deploy.delivery import deliveries  # noqa: E402
from tailgit.deploy.fleet import Fleet  # noqa: E402
from tailgit.deploy.identity import identity  # noqa: E402
from tailgit.deploy.observe import observe_all  # noqa: E402
from tailgit.deploy.sign import sign  # noqa: E402
from tailgit.deploy.ssh import AsyncSsh, Login  # noqa: E402
from tailgit.deploy.sshconfig import read  # noqa: E402
from tailgit.deploy.switch import Terms  # noqa: E402
from tailgit.load import load  # noqa: E402
from tailgit.model.tailnet import Tailnet  # noqa: E402
from tailgit.plan.make import make  # noqa: E402
from tailgit.plan.observed import Observed  # noqa: E402
from tailgit.plan.outcome import Applied, Result  # noqa: E402
from tailgit.plan.plan import Commit, Desired, History, Order  # noqa: E402
from tests.deploy.frames import observation, ok  # noqa: E402
from tests.deploy.sshd import make_key, public  # noqa: E402

PEERS = ("pyinfra>=3.5,<4", "ansible-core>=2.17,<3")
VENV = HERE / ".venv-bench"
PORT = 2200
PARALLEL = 100
FORKS = 32
"""Of ansible: a process each."""
ANSIBLE_NODES = 20
PUSH, NOTHING, KEPT = "first push", "nothing changed", "kept"
WHOLE = "whole apply"
BOUNDS = {
    PUSH: {"pyinfra": 2.0, "ansible": 25.0},
    NOTHING: {"pyinfra": 3.0, "ansible": 50.0},
    KEPT: {"pyinfra": 12.0, "ansible": 200.0},
}
CPU_BOUND = 7.0
"""Milliseconds of the client for each host of a first push."""

_SSHD = """
ListenAddress 0.0.0.0:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
LogLevel QUIET
MaxStartups 1000
Subsystem sftp internal-sftp
"""
_FORCED = """#!/bin/sh
set -- $SSH_ORIGINAL_COMMAND $SSH_CONNECTION
case $1 in
stage) cat >/dev/null ;;
observe) exec cat {folder}/answers/"$5" ;;
esac
exec cat {folder}/verbs/"$1"
"""
_TAILNET = """tailnet:
  format: 1
  name: acme
  domain: acme.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
  controller: {outside: true}
tagOwners: {tag:web: []}
grants:
  - {src: [tag:web], dst: [tag:web], ip: ["tcp:443"]}
devices:
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """What is pushed to whom; `folder` holds everything of the benchmark."""

    folder: Path
    logins: list[Login]
    tailnet: Tailnet
    commit: Commit
    bundles: Mapping[str, Bundle]

    @property
    def key(self) -> Path:
        return self.folder / "controller"

    def fleet(self) -> Fleet:
        executor = AsyncSsh(identity(self.key), config=read("none"))
        fleet = Fleet(executor, "acme", parallel=PARALLEL)
        fleet.call(self.logins)
        return fleet

    @property
    def nodes(self) -> list[str]:
        return [login.node for login in self.logins]

    def answer(self, which: str) -> None:
        """From now on nodes are as they were after `fresh` or `applied`."""
        link = self.folder / "answers"
        link.unlink(missing_ok=True)
        link.symlink_to(which)


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement: how many hosts, how long, how much of the client's CPU."""

    hosts: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.hosts / self.seconds

    @property
    def each(self) -> float:
        """Milliseconds of CPU for each host."""
        return self.cpu / self.hosts * 1000


def ground(folder: Path, count: int) -> Ground:
    """Keys, a repository of `count` nodes with its commit, and their answers."""
    for name in ("host", "controller", "peer"):
        make_key(folder / name)
    script = folder / "forced"
    script.write_text(_FORCED.format(folder=folder))
    script.chmod(0o755)
    (folder / "authorized_keys").write_text(
        f'restrict,command="{script}" {public(folder / "controller")}\n'
        f"{public(folder / 'peer')}\n"
    )
    host_key = public(folder / "host")
    repo = folder / "repo"
    for made in ("repo", "fresh", "applied", "verbs"):
        (folder / made).mkdir()
    places = {f"web-{n}": f"127.1.{n // 250}.{n % 250 + 1}" for n in range(count)}
    (repo / "tailnet.yaml").write_text(
        _TAILNET
        + "".join(
            f"  {name}: {{tags: [tag:web], publicKey: {wg_key(name)}, "
            f'endpoints: ["{at}:51820"], ssh: {{host: {at}, port: {PORT}, user: root, '
            f'hostKey: "{host_key}"}}}}\n'
            for name, at in places.items()
        )
    )
    git = [
        "git",
        "-C",
        str(repo),
        "-c",
        "user.name=b",
        "-c",
        "user.email=b@example.com",
    ]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "bench"]):
        subprocess.run([*git, *words], check=True)
    loaded = load(repo, "HEAD")
    assert loaded.tailnet is not None, loaded.findings
    bundles = compile_tailnet(loaded.tailnet)
    for name, at in places.items():
        record = (
            ("commit", str(loaded.commit)),
            ("height", "1"),
            ("kind", "apply"),
            ("by", "bench"),
            ("at", "2027-01-01T00:00:00Z"),
            ("envelope", "5" * 64),
            ("manifest", bundles[name].digest),
        )
        (folder / "fresh" / at).write_bytes(observation(public_keys=[wg_key(name)]))
        (folder / "applied" / at).write_bytes(
            observation(
                public_keys=[wg_key(name)],
                current="1",
                record=record,
                states=("up", *["ok"] * 6),
            )
        )
    was = (("envelope", "none"), ("live", "none"), ("pending", "none"))
    for verb in ("stage", "activate", "confirm"):
        answer = ok(verb, "acme", ("generation", "1"), *was)
        (folder / "verbs" / verb).write_bytes(answer)
    return Ground(
        folder,
        [Login(name, at, PORT, "root", host_key) for name, at in places.items()],
        loaded.tailnet,
        Commit(str(loaded.commit), "bench", 1),
        bundles,
    )


def wg_key(name: str) -> str:
    return b64encode(sha256(name.encode()).digest()).decode()


def measured(hosts: int, work: Callable[[], object]) -> Round:
    """Time and CPU of `work`, in this process and in the ones it waits for."""

    def used() -> float:
        both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, both))

    before, start = used(), time.monotonic()
    work()
    return Round(hosts, time.monotonic() - start, used() - before)


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


def pyinfra(ground: Ground, number: int) -> tuple[Round, Round]:
    """The first run and the second of a round; each round copies to other names."""
    folder = ground.folder
    (folder / "known").write_text(
        "".join(f"[{at.host}]:{PORT} {at.host_key}\n" for at in ground.logins)
    )
    hosts = [
        (
            login.host,
            {
                "ssh_port": PORT,
                "ssh_user": "root",
                "ssh_key": str(folder / "peer"),
                "ssh_known_hosts_file": str(folder / "known"),
                "dest": str(folder / f"to/{number}-{login.node}"),
            },
        )
        for login in ground.logins
    ]
    (folder / "inventory.py").write_text(f"nodes = {hosts!r}\n")
    (folder / "deploy.py").write_text(
        "from pyinfra import host\n"
        "from pyinfra.operations import files, server\n"
        f"files.put(src={str(folder / 'file')!r}, dest=host.data.dest, mode='600')\n"
        "server.shell(commands=['true'])\n"
    )
    words = [str(VENV / "bin/pyinfra"), "-y", "--parallel", str(PARALLEL)]
    words += ["inventory.py", "deploy.py"]
    return ran(folder, words, len(hosts)), ran(folder, words, len(hosts))


def ansible(ground: Ground, number: int) -> tuple[Round, Round]:
    folder = ground.folder
    chosen = ground.logins[:ANSIBLE_NODES]
    (folder / "hosts.ini").write_text(
        "".join(
            f"{login.host} ansible_port={PORT} ansible_user=root "
            f"ansible_ssh_private_key_file={folder}/peer "
            f"ansible_python_interpreter={sys.executable} "
            f"dest={folder}/to/a{number}-{login.node}\n"
            for login in chosen
        )
    )
    task = f"copy: {{src: {folder}/file, dest: '{{{{ dest }}}}', mode: '600'}}"
    (folder / "play.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        f"    - {task}\n    - command: 'true'\n      changed_when: false\n"
    )
    (folder / "ansible.cfg").write_text(
        f"[defaults]\nforks = {FORKS}\nhost_key_checking = false\n"
        f"local_tmp = {folder}/local\nretry_files_enabled = false\n"
        "[ssh_connection]\npipelining = true\n"
        f"control_path_dir = {folder}/cp{number}\n"
    )
    words = [str(VENV / "bin/ansible-playbook"), "-i", "hosts.ini", "play.yml"]
    return ran(folder, words, len(chosen)), ran(folder, words, len(chosen))


def ran(folder: Path, words: list[str], hosts: int) -> Round:
    def run() -> None:
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])

    return measured(hosts, run)


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


def serve(folder: Path) -> subprocess.Popen[bytes]:
    (folder / "sshd_config").write_text(_SSHD.format(folder=folder, port=PORT))
    # No login shell that reads files of its own: none of the three is to pay for it.
    people = Path("/etc/passwd").read_text().splitlines()
    root = f"root:x:0:0:root:{folder}:/bin/sh"
    others = [line for line in people if not line.startswith("root:")]
    (folder / "passwd").write_text("\n".join([root, *others, ""]))
    for words in (
        ["mount", "--bind", str(folder / "passwd"), "/etc/passwd"],
        ["ip", "link", "set", "lo", "up"],
        ["mount", "-t", "tmpfs", "none", "/run"],
        ["mkdir", "-p", "/run/sshd"],
    ):
        subprocess.run(words, check=True)
    sshd = [str(shutil.which("sshd")), "-D", "-f", str(folder / "sshd_config")]
    return subprocess.Popen(sshd)


def install() -> None:
    if not (VENV / "bin/pyinfra").exists() or not (VENV / "bin/ansible").exists():
        print("installing pyinfra and ansible-core into .venv-bench", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        words = [VENV / "bin/pip", "install", "--quiet", *PEERS]
        subprocess.run(words, check=True)


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
