"""CPU of `tailgit check` of 400 servers: at most 12 bare Pythons and 0.3 seconds.

    python benchmarks/check.py

Makes a git repository (400 devices in 40 files, 60 grants, some people and tests) and
runs `tailgit check` on its files as it is typed, in turns with `python -c pass`. What
counts is user plus system time of the process and its children, the best of some
rounds; the bare Python stands for the speed of the machine.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

ROUNDS = 9
BARE = 12.0
SECONDS = 0.3
TEAMS, PER_TEAM, GRANTS = 40, 10, 60

HEAD = """\
tailnet:
  format: 1
  name: bench
  domain: bench.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
"""


def write(folder: Path) -> None:
    """The repository: a file for each team's servers, one for people, one for rules."""
    (folder / "servers").mkdir()
    people, groups, owners = "users:\n", "groups:\n", "tagOwners:\n"
    for team in range(TEAMS):
        login = f"user{team}@example.com"
        people += f"  {login}: {{name: User {team}}}\n"
        groups += f"  group:team{team}: [{login}]\n"
        owners += f"  tag:team{team}: [group:team{team}]\n"
        text = "devices:\n" + "".join(
            f"  team{team}-{n}:\n"
            f"    tags: [tag:team{team}]\n"
            f"    publicKey: {public_key(team, n)}\n"
            f'    endpoints: ["198.18.{team}.{n + 1}:51820"]\n'
            f"    ssh: {{user: ops, hostKey: {host_key(team, n)}}}\n"
            for n in range(PER_TEAM)
        )
        (folder / "servers" / f"team{team}.yaml").write_text(text)
    grants = "grants:\n" + "".join(
        f"  # Team {n} and its neighbours.\n"
        f"  - {{src: [group:team{n % TEAMS}, tag:team{n * 7 % TEAMS}], "
        f'dst: [tag:team{(n * 3 + 1) % TEAMS}], ip: ["tcp:{5000 + n}", "udp:53"]}}\n'
        for n in range(GRANTS)
    )
    tests = "tests:\n" + "".join(
        f"  - {{src: tag:team{n * 7 % TEAMS}, proto: tcp, "
        f'accept: ["team{(n * 3 + 1) % TEAMS}-0:{5000 + n}"]}}\n'
        for n in range(10)
    )
    (folder / "tailnet.yaml").write_text(HEAD)
    (folder / "people.yaml").write_text(people + groups + owners)
    (folder / "policy.yaml").write_text(grants + tests)
    subprocess.run(["git", "init", "-q", folder], check=True)


def public_key(team: int, number: int) -> str:
    return b64encode(sha256(f"{team} {number}".encode()).digest()).decode()


def host_key(team: int, number: int) -> str:
    point = sha256(f"host {team} {number}".encode()).digest()
    wire = b"\0\0\0\x0bssh-ed25519\0\0\0 " + point
    return f"ssh-ed25519 {b64encode(wire).decode()}"


def cpu(*arguments: str) -> float:
    """Seconds of CPU that one run of this interpreter takes, children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        runs = (["-c", "pass"], ["-m", "tailgit", "check", folder])
        for arguments in runs:
            cpu(*arguments)  # the first run writes the .pyc files
        times = [[cpu(*each) for each in runs] for _ in range(ROUNDS)]
    bare, check = (min(column) for column in zip(*times, strict=True))
    bound = BARE * bare + SECONDS
    print(f"{TEAMS * PER_TEAM} servers, {TEAMS + 3} files, {GRANTS} grants")
    print(f"python -c pass   {bare * 1000:7.1f} ms")
    print(f"tailgit check    {check * 1000:7.1f} ms")
    print(f"bound            {bound * 1000:7.1f} ms = {BARE} x the first + {SECONDS} s")
    return 1 if check > bound else 0


if __name__ == "__main__":
    sys.exit(main())
