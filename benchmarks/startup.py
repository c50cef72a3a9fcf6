"""CPU of `tailgit --help` against a bare `python -c pass`: at most 14 times.

Both are run by this interpreter, in turns, so that a busy machine slows both; what
counts is user plus system time of the child, and the median over all pairs.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from statistics import median

BOUND = 14.0
PAIRS = 21


def cpu(*arguments: str) -> float:
    """Seconds of CPU that one run of this interpreter takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    bare, full, one = (
        ["-c", "pass"],
        ["-m", "tailgit", "--help"],
        ["-m", "tailgit", "check", "--help"],
    )
    runs = {"bare": bare, "help": full, "check": one}
    for arguments in runs.values():
        cpu(*arguments)  # the first run writes the .pyc files
    times = [[cpu(*arguments) for arguments in runs.values()] for _ in range(PAIRS)]
    nothing, top, command = (median(column) for column in zip(*times, strict=True))
    print(f"python -c pass        {nothing * 1000:6.1f} ms")
    print(f"tailgit --help        {top * 1000:6.1f} ms  {top / nothing:5.1f} x")
    print(f"tailgit check --help  {command * 1000:6.1f} ms  {command / nothing:5.1f} x")
    print(f"bound {BOUND} x for the first, median of {PAIRS} pairs")
    return 1 if top / nothing > BOUND else 0


if __name__ == "__main__":
    sys.exit(main())
