"""The access difference of a commit among 10,000 devices, and how small a part it is.

    python benchmarks/diff.py [DEVICES]

Makes a git repository of a tailnet with 500 grants, and one commit on top with 20
changes of membership, 10 devices tagged otherwise and 10 grants edited. Measures
`tailgit diff HEAD~1 HEAD` as a process of its own, cold: both loads from git, the
difference and the text. Then, in this process, the difference alone against compiling
both sides. The best of some rounds counts; exit 1 above 1.5 s or 15 % at 10,000.
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import tempfile
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from random import Random
from time import process_time

from tailgit.compile import Compiler
from tailgit.load import load
from tailgit.model.tailnet import Tailnet
from tailgit.review.access import difference

SECONDS, SHARE = 1.5, 0.15
ROUNDS = 3
GRANTS = 500

HEAD = """\
tailnet:
  format: 1
  name: bench
  domain: bench.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
"""

Texts = dict[str, str]


class Company:
    """People in teams, servers with tags, grants between them; it can be edited."""

    def __init__(self, count: int) -> None:
        random = self.random = Random(count)
        self.teams = max(4, count // 40)
        self.people = [f"user{n}@example.com" for n in range(max(8, count // 4))]
        self.members: list[set[str]] = [set() for _ in range(self.teams)]
        for number, login in enumerate(self.people):
            self.members[number % self.teams].add(login)
            if random.random() < 0.3:
                self.members[random.randrange(self.teams)].add(login)
        self.tags: dict[int, set[int]] = {}
        for number in range(count):
            if number % 3 == 0:
                self.tags[number] = {random.randrange(self.teams) for _ in range(2)}
        self.count = count
        self.grants = [self.grant() for _ in range(GRANTS)]

    def grant(self) -> str:
        random = self.random
        src = f"group:team{random.randrange(self.teams)}"
        if random.random() < 0.12:
            src = f"tag:t{random.randrange(self.teams)}"
        elif random.random() < 0.04:
            src = "autogroup:member"
        ports = random.choice(("tcp:22", "tcp:443", "tcp:5432", "8000-8100", "*"))
        dst = f"tag:t{random.randrange(self.teams)}"
        return f'  - {{src: ["{src}"], dst: ["{dst}"], ip: ["{ports}"]}}\n'

    def edit(self) -> None:
        """The commit."""
        random = self.random
        for _ in range(20):
            team = random.randrange(self.teams)
            self.members[team] ^= {random.choice(self.people)}
        for number in random.sample(sorted(self.tags), 10):
            self.tags[number] = {random.randrange(self.teams)}
        for number in random.sample(range(GRANTS), 10):
            self.grants[number] = self.grant()

    def files(self) -> Texts:
        groups = "".join(
            f"  group:team{n}: [{', '.join(sorted(each))}]\n"
            for n, each in enumerate(self.members)
        )
        owners = "".join(f"  tag:t{n}: []\n" for n in range(self.teams))
        people = "".join(f"  {login}: {{}}\n" for login in self.people)
        return {
            "tailnet.yaml": HEAD,
            "people.yaml": f"users:\n{people}groups:\n{groups}",
            "policy.yaml": f"tagOwners:\n{owners}grants:\n{''.join(self.grants)}",
            "devices.yaml": "devices:\n"
            + "".join(map(self._device, range(self.count))),
        }

    def _device(self, number: int) -> str:
        key = b64encode(sha256(b"%d" % number).digest()).decode()
        if number in self.tags:
            tags = ", ".join(f"tag:t{each}" for each in sorted(self.tags[number]))
            name, who = f"server-{number}", f"tags: [{tags}]"
        else:
            name = f"laptop-{number}"
            who = f"owner: {self.people[number % len(self.people)]}"
        # The range is large, and still some of 10,000 hashes meet.
        ipv4 = f"100.{70 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        about = f"    {who}\n    publicKey: {key}\n    ipv4: {ipv4}\n"
        return f"  {name}:\n{about}"


def commit(folder: Path, files: Texts) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
    who = ("-c", "user.name=bench", "-c", "user.email=bench@example.com")
    for command in (("add", "."), (*who, "commit", "-qm", "bench")):
        subprocess.run(["git", "-C", str(folder), *command], check=True)


def cold(folder: Path) -> tuple[float, str]:
    """CPU seconds of the command with its children, and what it printed."""
    command = [sys.executable, "-m", "tailgit", "diff", "HEAD~1", "HEAD"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*command, "--repo", str(folder)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, done.stdout


def loaded(folder: Path, revision: str) -> Tailnet:
    found = load(folder, revision)
    assert found.tailnet is not None, found.findings[:3]
    return found.tailnet


def compiled(tailnet: Tailnet) -> float:
    start = process_time()
    compiler = Compiler(tailnet)
    for node in compiler.nodes:
        compiler.bundle(node)
    return process_time() - start


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    company = Company(count)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["git", "init", "-q", name], check=True)
        commit(folder, company.files())
        company.edit()
        commit(folder, company.files())
        whole = [cold(folder) for _ in range(ROUNDS)]
        gc.disable()
        compiles, differences = [], []
        for _ in range(ROUNDS):
            old, new = loaded(folder, "HEAD~1"), loaded(folder, "HEAD")
            start = process_time()
            change = difference(old, new)
            differences.append(process_time() - start)
            compiles.append(compiled(old) + compiled(new))
    seconds, share = min(t for t, _ in whole), min(differences) / min(compiles)
    lines = len(change.gained) + len(change.lost)
    counts = change.counts
    print(f"{count} devices, {GRANTS} grants: {lines} lines, {counts}")
    print(f"tailgit diff     {seconds:6.2f} s of CPU, cold (limit {SECONDS} s)")
    print(f"two compiles     {min(compiles) * 1e3:6.0f} ms")
    print(f"the difference   {min(differences) * 1e3:6.0f} ms: {share:.0%} of them")
    too_much = seconds > SECONDS or share > SHARE
    return 1 if too_much and count == 10_000 else 0


if __name__ == "__main__":
    sys.exit(main())
