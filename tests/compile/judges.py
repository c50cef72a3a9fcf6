"""The tools that will read our files, asked what they think of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from wgconfig import WGConfig


def judge_nft(text: bytes) -> None:
    """`nft -c` in a network namespace of its own, away from the machine's rules."""
    done = subprocess.run(
        ["unshare", "-rn", "nft", "-c", "-f", "-"],
        input=text,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def judge_zone(domain: str, file: Path) -> None:
    done = subprocess.run(
        ["named-checkzone", domain, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "loaded serial 1" in done.stdout


def judge_quick(file: Path, expected: str) -> None:
    """wg-quick's own reading of the file, and that of wgconfig."""
    stripped = subprocess.run(
        ["wg-quick", "strip", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert _lines(stripped) == _lines(expected)
    reader = WGConfig(str(file))
    reader.read_file()
    keys = [line.split(" = ")[1] for line in _lines(expected) if "PublicKey" in line]
    assert sorted(reader.peers) == sorted(keys)
    assert "PrivateKey" not in reader.interface


def _lines(text: str) -> list[str]:
    return [
        line for line in text.splitlines() if line.strip() and not line.startswith("#")
    ]
