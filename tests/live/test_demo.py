"""The demo, and that the README shows what it really prints."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]

# What differs from run to run: keys, fingerprints, digests, commits.
CHANGING = (
    (r"SHA256:[A-Za-z0-9+/]{43}", "FINGERPRINT"),
    (r"[A-Za-z0-9+/]{43}=", "KEY"),
    (r"\b[0-9a-f]{64}\b", "DIGEST"),
    (r"\bPlan [0-9a-f]{8}\b", "Plan ID"),
    (r"\b[0-9a-f]{7}\b", "COMMIT"),
)


def normal(text):
    for pattern, word in CHANGING:
        text = re.sub(pattern, word, text)
    return text


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """One run: its output and its data."""
    file = tmp_path_factory.mktemp("demo") / "out.json"
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "demo.py"), "--json", str(file)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(file.read_text())


def test_demo_meets_all_its_expectations(demo):
    """It ends with its count, and the data says the same as the last line."""
    out, data = demo
    count = len(data["checked"])
    assert count > 60
    assert data["met"] == data["expectations"] == count
    assert out.endswith(f"\ndemo: {count} of {count} expectations met\n")
    stages = {each["stage"] for each in data["checked"]}
    assert stages == {"before", "open", "revoked", "kept", "after", "again"}


def test_demo_changes_the_place_of_at_least_twelve_flows(demo):
    """At least twelve flows pass and twelve are stopped, before and after."""
    out, _ = demo
    counts = re.findall(r"(\d+) flows passed, (\d+) were stopped", out)
    assert len(counts) == 2
    assert all(int(number) >= 12 for pair in counts for number in pair)


def test_readme_shows_what_the_demo_prints(demo):
    """Every paragraph of the README's transcript is one of the output, in its order."""
    readme = (ROOT / "README.md").read_text()
    shown = re.search(
        r"<!-- transcript: scripts/demo.py -->\n```\n(.*?)```", readme, re.DOTALL
    )
    assert shown
    paragraphs = normal(shown[1]).strip().split("\n\n")
    assert len(paragraphs) > 10
    rest = normal(demo[0])
    for paragraph in paragraphs:
        assert paragraph in rest, f"the demo does not print (any more):\n{paragraph}"
        rest = rest.split(paragraph, 1)[1]
