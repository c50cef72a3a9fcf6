"""CPU of `tailgit check` of 400 servers: at most 12 bare Pythons and 0.3 seconds.

    python benchmarks/check.py

Runs `tailgit check examples/fleet` (two tailnets, staging and prod, 413 servers and the
laptops) as it is typed, in turns with `python -c pass`. What counts is user plus system
time of the process and its children, the best of some rounds; the bare Python stands
for the speed of the machine.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

ROUNDS = 9
BARE = 12.0
SECONDS = 0.3
FLEET = Path(__file__).parents[1] / "examples" / "fleet"


def cpu(*arguments: str) -> float:
    """Seconds of CPU that one run of this interpreter takes, children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    runs = (["-c", "pass"], ["-m", "tailgit", "check", "--no-local", str(FLEET)])
    for arguments in runs:
        cpu(*arguments)  # the first run writes the .pyc files
    times = [[cpu(*each) for each in runs] for _ in range(ROUNDS)]
    bare, check = (min(column) for column in zip(*times, strict=True))
    bound = BARE * bare + SECONDS
    print(f"python -c pass   {bare * 1000:7.1f} ms")
    print(f"tailgit check    {check * 1000:7.1f} ms")
    print(f"bound            {bound * 1000:7.1f} ms = {BARE} x the first + {SECONDS} s")
    return 1 if check > bound else 0


if __name__ == "__main__":
    sys.exit(main())
