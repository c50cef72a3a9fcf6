"""The engine against 334 verdicts of the real control plane (`TAILGIT_CORPUS`).

The corpus and its judge, `score.py`, are not part of the project; where they are not
there the tests are skipped, and the run says so in a line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CORPUS = Path(
    os.environ.get("TAILGIT_CORPUS", Path(__file__).parents[3] / "shared" / "corpus")
)
ENGINE = Path(__file__).with_name("engine.py")

LOCALPART = {"ssh-d3", "ssh-d4", "ssh-d11", "ssh-e5"}
"""Where an ssh rule has `localpart:`, Tailscale splits it by user and also sends it to
sources that are no destination (POLICY.md §6). Who may log in where is the same but
for those sources, and nobody wrote that they may be logged in to."""

EXACT = {
    "effective": (
        *("error", "error_text", "per_node", "peers", "approved_routes", "caps"),
        "node_attrs",
    ),
    "wire": ("error", "per_node", "peers", "approved_routes"),
}


def _score(tmp_path: Path, level: str, groups: str) -> dict[str, Any]:
    """What score.py says about the engine."""
    if not (CORPUS / "score.py").is_file():
        pytest.skip(f"the policy corpus was not run: none at {CORPUS}")
    report = tmp_path / "score.json"
    done = subprocess.run(
        [
            *(sys.executable, str(CORPUS / "score.py"), "--batch"),
            *("--engine", f"{sys.executable} {ENGINE}"),
            *("--level", level, "--groups", groups, "--json", str(report)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.is_file(), done.stderr
    found: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return found


@pytest.mark.parametrize("level", EXACT)
def test_engine_agrees_with_the_control_plane(tmp_path: Path, level: str) -> None:
    """Every case, in every group: rejections and their sentences, filters, peers with
    AllowedIPs, approvals, capabilities and attributes; filters also as literal sets."""
    found = _score(tmp_path, level, ",".join(EXACT[level]))
    assert found["failures"] == {}
    for group in EXACT[level]:
        counted = found["by_group"][group]
        assert counted["ok"] == sum(counted.values()) > 0, group
    assert found["by_group"]["error"]["ok"] == 334


def test_logins_agree_but_for_localpart(tmp_path: Path) -> None:
    """Of the ssh rules the cases that don't agree are exactly those known ones."""
    found = _score(tmp_path, "effective", "ssh")
    assert set(found["failures"]) == LOCALPART
