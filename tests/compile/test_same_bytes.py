"""Same policy, same bytes: nothing but the policy reaches a compiled file."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tailgit.compile import compile_tailnet, compiled_digest
from tests.compile.acme import EXAMPLE, acme, key_of

CONTROLLER = Path(__file__).parents[2] / "controller"


@pytest.fixture
def repo(tmp_path):
    """The example as a git repository, with keys."""
    folder = tmp_path / "repo"
    folder.mkdir()
    for file in EXAMPLE.glob("*.yaml"):
        (folder / file.name).write_bytes(file.read_bytes())
    devices = yaml.safe_load((folder / "devices.yaml").read_text())
    for name, device in devices["devices"].items():
        device["publicKey"] = key_of(name)
    (folder / "devices.yaml").write_text(yaml.safe_dump(devices))
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "Start")
    return folder


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *words],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--no-gpg-sign", "-m", message)


def render(folder: Path, out: Path, **environment: str) -> dict[str, bytes]:
    """What a process of its own writes with `tailgit render`."""
    subprocess.run(
        [
            *(sys.executable, "-m", "tailgit", "render"),
            *("--repo", str(folder), "--out", str(out)),
        ],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(CONTROLLER), **environment},
    )
    files = {str(p.relative_to(out)): p for p in out.rglob("*") if p.is_file()}
    assert "db-1/firewall.nft" in files
    return {name: path.read_bytes() for name, path in files.items()}


def test_hash_seed_locale_and_time_zone_change_nothing(repo, tmp_path):
    """Two processes with different seeds, locales and time zones write equal files."""
    one = render(repo, tmp_path / "a", PYTHONHASHSEED="1", LC_ALL="C", TZ="UTC")
    other = render(
        repo, tmp_path / "b", PYTHONHASHSEED="7", LC_ALL="C.UTF-8", TZ="Asia/Tokyo"
    )
    assert one == other


def test_another_commit_changes_nothing(repo, tmp_path):
    """A commit that edits a README leaves every file as it was."""
    before = render(repo, tmp_path / "a")
    (repo / "README.md").write_text("Read me.\n")
    commit(repo, "Explain")
    assert render(repo, tmp_path / "b") == before


def test_other_files_and_another_order_change_nothing(repo, tmp_path):
    """The same sections in other files, in another order, give the same files."""
    before = render(repo, tmp_path / "a")
    for number, name in enumerate(("policy", "devices", "people")):
        (repo / f"{name}.yaml").rename(repo / f"{number}-{name}.yml")
    policy = yaml.safe_load((repo / "0-policy.yml").read_text())
    policy["grants"].reverse()
    late = {"grants": policy["grants"][3:]}
    policy["grants"] = policy["grants"][:3]
    (repo / "0-policy.yml").write_text(yaml.safe_dump(policy))
    (repo / "zz.yaml").write_text(yaml.safe_dump(late))
    commit(repo, "Tidy up")
    assert render(repo, tmp_path / "b") == before


def test_a_policy_written_differently_gives_the_same_bytes():
    """Rules that mean the same compile to the same: split, doubled, other selectors."""
    tailnet = acme()
    digest = compiled_digest(compile_tailnet(tailnet))
    rules = [rule for rule in tailnet.rules for _ in range(2)]
    split = [
        _only(rule, source, target)
        for rule in reversed(rules)
        for source in rule.src
        for target in rule.dst
    ]
    changed = replace(tailnet, rules=tuple(split))
    assert compiled_digest(compile_tailnet(changed)) == digest


def _only(rule, source, target):
    return replace(rule, src=(source,), dst=(target,))


def test_a_rule_less_changes_both_ends_only():
    """Without one rule exactly the nodes at its two ends get other files."""
    tailnet = acme()
    before = compile_tailnet(tailnet)
    rules = tuple(rule for rule in tailnet.rules if rule.name != "web-database")
    assert len(rules) == len(tailnet.rules) - 1
    after = compile_tailnet(replace(tailnet, rules=rules))
    changed = {node for node in before if before[node].digest != after[node].digest}
    assert changed == {"web-1", "db-1"}
