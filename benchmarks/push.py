"""Pushing to 200 nodes against pyinfra and ansible-core, on one sshd in one run.

    python benchmarks/push.py [NODES] [--rounds N]

Two hundred addresses of a loopback, in a network namespace of its own (needs root),
lead to one sshd. For tailgit its forced command only gives the answer that a node
would (`cat` of a file); the peers run as little: one file of the same size copied, one
`true`. All three read what came back. What is measured, in turns, three rounds each:

    first push       new connections to everything: observe, stage, activate, and over
                     one more new connection observe and confirm. The peers: their
                     first run.
    nothing changed  `tailgit plan` as a process, from its start to its exit, on a
                     repository with these nodes. The peers: their second run.
    kept             observe over connections that are open. The peers: as above.

Ratios are of nodes per second, the medians count; CPU is user plus system time of the
client's processes. Ansible is given fewer nodes, its rate is the same with more.
Exit 1 if a ratio or the CPU of a host misses its bound.

The peers are installed by pip into .venv-bench beside this repository.

What the real script costs is in benchmarks/push_real.py.
"""

from __future__ import annotations

import argparse
import asyncio
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
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(HERE), str(HERE / "controller")]

from tailgit.compile import compile_tailnet  # noqa: E402
from tailgit.deploy.identity import identity  # noqa: E402
from tailgit.deploy.observe import observe_all  # noqa: E402
from tailgit.deploy.request import ask  # noqa: E402
from tailgit.deploy.ssh import AsyncSsh, Executor, Login, Session  # noqa: E402
from tailgit.deploy.sshconfig import read  # noqa: E402
from tailgit.load import load  # noqa: E402
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
[ "$1" != stage ] || cat >/dev/null
[ "$1" != observe ] || exec cat {folder}/answers/"$5"
exec cat {folder}/answers/"$1"
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
class Fleet:
    """What is pushed to whom; `folder` holds everything of the benchmark."""

    folder: Path
    logins: list[Login]
    parcels: Mapping[str, bytes]

    @property
    def key(self) -> Path:
        return self.folder / "controller"


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


async def push(executor: Executor, login: Login, tailnet: str, parcel: bytes) -> None:
    """What an apply does at one node that has something to change."""
    async with executor.connect(login) as session:
        await ask(session, login.node, "observe", tailnet)
        await ask(session, login.node, "stage", tailnet, stdin=parcel)
        await ask(session, login.node, "activate", tailnet, "1")
    async with executor.connect(login) as session:
        await ask(session, login.node, "observe", tailnet)
        await ask(session, login.node, "confirm", tailnet, "1")


def fleet(folder: Path, count: int) -> Fleet:
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
    repo, answers = folder / "repo", folder / "answers"
    (repo / ".git").parent.mkdir()
    answers.mkdir()
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
        (answers / at).write_bytes(
            observation(
                public_keys=[wg_key(name)],
                current="1",
                record=record,
                states=("up", *["ok"] * 6),
            )
        )
    for verb in ("stage", "activate", "confirm"):
        (answers / verb).write_bytes(ok(verb, "acme", ("generation", "1")))
    return Fleet(
        folder,
        [Login(name, at, PORT, "root", host_key) for name, at in places.items()],
        {name: bundles[name].tar() for name in places},
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


async def at_most(
    logins: list[Login], one: Callable[[Login], Awaitable[object]]
) -> None:
    gate = asyncio.Semaphore(PARALLEL)

    async def turn(login: Login) -> None:
        async with gate:
            await one(login)

    await asyncio.gather(*(turn(login) for login in logins))


def first_push(fleet: Fleet) -> Round:
    executor = AsyncSsh(identity(fleet.key), config=read("none"))

    async def one(login: Login) -> None:
        await push(executor, login, "acme", fleet.parcels[login.node])

    return measured(len(fleet.logins), lambda: asyncio.run(at_most(fleet.logins, one)))


def nothing_changed(fleet: Fleet) -> Round:
    words = [
        sys.executable,
        "-m",
        "tailgit",
        "plan",
        "--repo",
        str(fleet.folder / "repo"),
    ]
    words += ["--identity", str(fleet.key), "--parallel", str(PARALLEL)]
    words += ["--detailed-exitcode", "--format", "json"]

    def run() -> None:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
        rows = json.loads(done.stdout)["rows"]
        assert len(rows) == len(fleet.logins), len(rows)

    return measured(len(fleet.logins), run)


def kept(fleet: Fleet) -> Round:
    """Observe over connections that are open, three times each."""
    executor = AsyncSsh(identity(fleet.key), config=read("none"))
    found: list[Round] = []

    async def run() -> None:
        async with AsyncExitStack() as stack:
            sessions: dict[str, Session] = {}

            async def open_(login: Login) -> None:
                connection = executor.connect(login)
                sessions[login.node] = await stack.enter_async_context(connection)

            async def observe(login: Login) -> None:
                await ask(sessions[login.node], login.node, "observe", "acme")

            await at_most(fleet.logins, open_)
            cpu, start = time.process_time(), time.monotonic()
            for _ in range(3):
                await at_most(fleet.logins, observe)
            took = time.monotonic() - start
            hosts = 3 * len(fleet.logins)
            found.append(Round(hosts, took, time.process_time() - cpu))

    asyncio.run(run())
    return found[0]


def pyinfra(fleet: Fleet, number: int) -> tuple[Round, Round]:
    """The first run and the second of a round; each round copies to other names."""
    folder = fleet.folder
    (folder / "known").write_text(
        "".join(f"[{at.host}]:{PORT} {at.host_key}\n" for at in fleet.logins)
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
        for login in fleet.logins
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


def ansible(fleet: Fleet, number: int) -> tuple[Round, Round]:
    folder = fleet.folder
    chosen = fleet.logins[:ANSIBLE_NODES]
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


def compare(fleet: Fleet, rounds: int) -> int:
    """All of it in turns; prints the table and says whether every bound is kept."""
    (fleet.folder / "to").mkdir()
    (fleet.folder / "file").write_bytes(next(iter(fleet.parcels.values())))
    found: dict[tuple[str, str], list[Round]] = {}

    def note(what: str, who: str, one: Round) -> None:
        found.setdefault((what, who), []).append(one)
        print(f"  {what:16} {who:8} {one.rate:8.1f} nodes/s", file=sys.stderr)

    for number in range(rounds):
        note(PUSH, "tailgit", first_push(fleet))
        note(NOTHING, "tailgit", nothing_changed(fleet))
        note(KEPT, "tailgit", kept(fleet))
        for who, run in (("pyinfra", pyinfra), ("ansible", ansible)):
            first, again = run(fleet, number)
            note(PUSH, who, first)
            note(NOTHING, who, again)
            note(KEPT, who, again)
    print(f"{len(fleet.logins)} nodes ({ANSIBLE_NODES} for ansible), {rounds} rounds")
    failed = False
    for what, bounds in BOUNDS.items():
        ours = found[what, "tailgit"]
        print(f"{what:16} tailgit  {said(ours)}")
        for who, bound in bounds.items():
            theirs = found[what, who]
            pairs = zip(ours, theirs, strict=True)
            ratio = median(us.rate / them.rate for us, them in pairs)
            failed |= ratio < bound
            print(f"{'':16} {who:8} {said(theirs)}  {ratio:6.1f} x (at least {bound})")
    each = median(one.each for one in found[PUSH, "tailgit"])
    print(f"client CPU of a first push {each:.1f} ms a host (at most {CPU_BOUND})")
    return 1 if failed or each > CPU_BOUND else 0


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
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("needs root: an sshd, and a network namespace for it", file=sys.stderr)
        return 1
    if not options.inside:
        install()
        apart = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        words = [*apart, "--mount-proc", sys.executable, *sys.argv, "--inside"]
        return subprocess.run(words, check=False).returncode
    os.environ["PYTHONPATH"] = str(HERE / "controller")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HOME"] = name
        os.environ.pop("SSH_AUTH_SOCK", None)
        made = fleet(folder, options.nodes)
        sshd = serve(folder)
        try:
            asyncio.run(warm(made))
            return compare(made, options.rounds)
        finally:
            sshd.send_signal(signal.SIGTERM)
            sshd.wait()


async def warm(fleet: Fleet) -> None:
    """The sshd is there, and everything is imported."""
    executor = AsyncSsh(identity(fleet.key), config=read("none"))
    for _ in range(50):
        got = await observe_all(executor, "acme", fleet.logins[:1], lambda *_: None)
        if not isinstance(next(iter(got.values())), Exception):
            return
        await asyncio.sleep(0.1)
    raise RuntimeError(str(got))


if __name__ == "__main__":
    sys.exit(main())
