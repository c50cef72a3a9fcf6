#!/usr/bin/env python3
"""Answers `score.py`: one question a line on stdin, one answer a line on stdout."""

import json
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def main() -> None:
    sys.path[:0] = [str(TOP / "controller"), str(TOP)]
    from tests.conformance.answers import answer

    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
