"""Damaged tailnets: bytes and values changed at random, and what must never happen.

    python -m tests.load.fuzz SECONDS [SEED]

looks for failures that long; each distinct one is printed with its files. The tests
in test_fuzz.py do the same for a few seconds.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from tailgit.cli import run
from tests.load import strict
from tests.load.files import ACME
from tests.load.fuzz_damage import Files, change_bytes, change_values, to_yaml
from tests.load.strict import Plain

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 2.0
LARGEST_SEED = 20_000


class Hang(BaseException):
    """A check took longer than it may; no `except Exception` holds it up."""


class Failure(AssertionError):
    """What must never happen, with the text that shows it."""


@cache
def seeds() -> tuple[Files, ...]:
    """Valid tailnets, the small ones of the examples among them."""
    found: list[Files] = [{name: text.encode() for name, text in ACME.items()}]
    for root in sorted(EXAMPLES.glob("**/tailnet.yaml")):
        files = {
            each.relative_to(root.parent).as_posix(): each.read_bytes()
            for each in sorted(root.parent.rglob("*"))
            if each.is_file() and each.suffix in (".yaml", ".yml", ".json")
        }
        if sum(map(len, files.values())) <= LARGEST_SEED:
            found.append(files)
    found += [generated(Random(number)) for number in range(6)]
    return tuple(found)


def generated(random: Random) -> Files:
    """A small tailnet with a bit of everything; valid, apart from chance."""
    people = [f"u{n}@acme.com" for n in range(random.randint(1, 4))]
    tags = [f"tag:t{n}" for n in range(random.randint(1, 3))]
    devices: dict[str, Any] = {}
    for n in range(random.randint(1, 6)):
        about: dict[str, Any] = {"endpoints": [f"192.0.2.{n + 1}:51820"]}
        if random.random() < 0.5:
            about["owner"] = random.choice(people)
        else:
            about["tags"] = random.sample(tags, random.randint(1, len(tags)))
        if random.random() < 0.3:
            about |= {"formerly": [f"old-{n}"], "disabled": Plain("false")}
        if random.random() < 0.3:
            about |= {"ssh": {"port": Plain("2222"), "user": "ops"}, "delivery": "ssh"}
        devices[f"d-{n}"] = about
    policy: dict[str, Any] = {
        "tagOwners": {tag: [random.choice(people)] for tag in tags},
        "groups": {"group:all": people},
        "hosts": {"printer": "10.20.0.9", "lan": "10.30.0.0/16"},
        "grants": [
            {
                "src": [random.choice([*people, *tags, "group:all", "*"])],
                "dst": [random.choice([*tags, *devices, "printer"])],
                "ip": [random.choice(["tcp:22", "*", "udp:53", "443"])],
            }
            for _ in range(3)
        ],
        "acls": [
            {"action": "accept", "src": ["group:all"], "dst": [f"{tags[0]}:22,80"]}
        ],
    }
    people_of = {"users": {login: {"name": "N"} for login in people}}
    head = ACME["tailnet.yaml"].encode()
    policy_file = json.dumps(policy).encode()
    return {
        "tailnet.yaml": head,
        "a/devices.yaml": to_yaml({"devices": devices}, random).encode(),
        "policy.json": policy_file,
        "people.yaml": to_yaml(people_of, random).encode(),
    }


# Judging


def write(folder: Path, files: Files) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def check(folder: Path) -> tuple[int, str]:
    """Exit code and everything printed by `tailgit check`, as it is typed."""
    said = io.StringIO()
    with (
        limited(SECONDS),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        code = run(["check", str(folder)])
    return code, said.getvalue()


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """`Hang` in the block once it has used so much CPU."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Hang(f"more than {seconds} s of CPU")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def judge(folder: Path, files: Files) -> int:
    """Writes, checks and removes a tailnet; `Failure` if the check is at fault."""
    write(folder, files)
    try:
        code, said = check(folder)
    except Hang as hang:
        raise Failure(str(hang)) from hang
    finally:
        shutil.rmtree(folder)
    if code not in (0, 3) or "a fault in tailgit" in said or "Traceback" in said:
        raise Failure(f"exit {code}: {said[-600:]}")
    if not said.replace("\n", "").isprintable():
        raise Failure(f"unseen characters: {said[-600:]!r}")
    if code == 0:
        try:
            strict.judge(files)
        except strict.Refused as error:
            raise Failure(f"accepted, but {error}") from None
    return code


def main() -> int:
    seconds = float(sys.argv[1])
    random = Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    seen: dict[str, int] = {}
    codes = {0: 0, 3: 0}
    end, start = time.monotonic() + seconds, time.process_time()
    top = Path(tempfile.mkdtemp(prefix="tailgit-fuzz-"))
    os.environ["TAILGIT_DEBUG"] = "1"
    while time.monotonic() < end:
        changed = random.choice([change_bytes, change_values])
        files = changed(random, random.choice(seeds()))
        try:
            codes[judge(top / "tailnet", files)] += 1
        except Failure as failure:
            where = re.findall(r'File "[^"]*", line \d+, in \w+', str(failure))
            kind = re.sub(r"`[^`]*`|[0-9]+", "…", str(failure))[:160]
            kind = where[-1] if where else kind
            seen[kind] = seen.get(kind, 0) + 1
            if seen[kind] == 1:
                folder = Path(tempfile.mkdtemp(prefix="tailgit-failure-"))
                write(folder, files)
                print(f"{folder}: {failure}\n", flush=True)
    shutil.rmtree(top)
    used = time.process_time() - start
    failures = sum(seen.values())
    print(f"{codes[0]} valid, {codes[3]} not, {failures} failures in {used:.0f} s")
    for kind, number in seen.items():
        print(f"{number:6} {kind}")
    return 1 if seen else 0


if __name__ == "__main__":
    sys.exit(main())
