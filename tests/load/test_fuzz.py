"""A whole tailnet, damaged at random: findings or a tailnet, never a traceback."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tailgit.check import examine
from tailgit.load import load, load_from
from tailgit.model.codes import CODES
from tailgit.report.findings import as_text
from tests.load import fuzz, fuzz_hujson, strict
from tests.load.files import ACME, write
from tests.load.fuzz_damage import Files, change_bytes, change_values
from tests.load.policies import Memory
from tests.load.test_shape import keys

PLAIN = {name: yaml.load(text, Loader=yaml.CBaseLoader) for name, text in ACME.items()}
VALUES: list[Any] = [
    *("", "x", "1", "-1", "99999", "true", "null", "*", "*:*", "tag:", "tag:db", "@"),
    *("group:", "group:x", "autogroup:self", "autogroup:", "db-1", "db-1:22", ":22"),
    *("0.0.0.0/0", "::/0", "10.0.0.0/99", "100.64.0.1", "fd5c:91aa:7be0::1", "[::]:1"),
    *("203.0.113.10:51820", "100.100.100.0/24", "ff00::/8", "\x1b[0m", "ä\u202e", "²"),
    *("tcp:٣", "a@b", "user:*@x", "A" * 43 + "=", "B" * 43 + "=", "ssh-ed25519 AAAA"),
    *([], {}, [[]], [{}], {"x": "y"}, {"a": {"b": ["c"]}}, ["*"], [""], ["tag:db:22"]),
]


@given(st.data())
@settings(max_examples=60)
def test_any_value_anywhere(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A few parts of a valid tailnet replaced, removed, renamed or put elsewhere."""
    files = copy.deepcopy(PLAIN)
    for _ in range(data.draw(st.integers(1, 4))):
        document = files[data.draw(st.sampled_from(sorted(files)))]
        paths = list(keys(document))
        if not paths:
            continue
        *path, last = data.draw(st.sampled_from(paths))
        holder: Any = document
        for step in path:
            holder = holder[step]
        value = data.draw(st.sampled_from(VALUES))
        match data.draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                holder[last] = copy.deepcopy(value)
            case "remove":
                del holder[last]
            case "add" if isinstance(holder, list):
                holder.append(copy.deepcopy(value))
            case "add":
                key = data.draw(st.sampled_from([v for v in VALUES if type(v) is str]))
                holder[key] = holder[last]
    texts = {
        name: yaml.dump(plain, allow_unicode=True) for name, plain in files.items()
    }
    judge(tmp_path_factory.mktemp("fuzz"), dict(texts))


@given(st.data())
@settings(max_examples=60)
def test_any_bytes_anywhere(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """One file of a valid tailnet with some bytes changed, cut or inserted."""
    name = data.draw(st.sampled_from(sorted(ACME)))
    content = bytearray(ACME[name].encode())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        end = start + data.draw(st.integers(0, 6))
        content[start:end] = data.draw(
            st.binary(max_size=3)
            | st.sampled_from([b"\n", b": ", b"- ", b"[", b"}", b'"', b"#", b"  "])
        )
    judge(tmp_path_factory.mktemp("fuzz"), {**ACME, name: bytes(content)})


@pytest.mark.parametrize("changed", [change_bytes, change_values])
@given(random=st.randoms(use_true_random=False), seed=st.sampled_from(fuzz.seeds()))
@settings(max_examples=400)
def test_check_survives_and_accepts_nothing_wrong(
    tmp_path_factory: pytest.TempPathFactory,
    changed: Callable[[Random, Files], Files],
    random: Random,
    seed: Files,
) -> None:
    """`tailgit check` ends soon, with 0 or 3, and 0 only where strict.py agrees."""
    fuzz.judge(tmp_path_factory.mktemp("fuzz") / "tailnet", changed(random, seed))


def test_the_same_in_a_process_of_its_own(tmp_path: Path) -> None:
    """What the fuzzer calls a check is what somebody gets who types it."""
    random = Random(4)
    for number in range(8):
        changed = (change_bytes, change_values)[number % 2]
        folder = tmp_path / str(number)
        fuzz.write(folder, changed(random, random.choice(fuzz.seeds())))
        command = [sys.executable, "-m", "tailgit", "check", str(folder)]
        typed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert fuzz.check(folder) == (typed.returncode, typed.stdout + typed.stderr)


def test_every_seed_is_valid(tmp_path: Path) -> None:
    """Else nothing would be learned from damaging it; strict.py agrees on all."""
    assert len(fuzz.seeds()) >= 8
    for number, files in enumerate(fuzz.seeds()):
        assert fuzz.judge(tmp_path / str(number), files) == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "users: {a@b.co: {}, a@b.co: {}}"),
        ("a.yaml", "users: &x {a@b.co: {}}"),
        ("a.yaml", "users: {a@b.co: {role: king}}"),
        ("a.yaml", "groups: {group:x: [nobody@acme.com]}"),
        ("a.yaml", "groups: {group:data-team: []}"),
        ("a.yaml", "hosts: {db-1: 10.0.0.1}"),
        ("a.yaml", "grants: [{src: [tag:nope], dst: ['*'], ip: ['*']}]"),
        ("a.yaml", "grants: [{src: ['*'], dst: ['*'], ip: [443]}, 5]"),
        ("a.yaml", "devices: {x: {disabled: 'true', tags: [tag:db]}}"),
        ("a.yaml", "devices: {x: {owner: ana@acme.com, tags: [tag:db]}}"),
        ("a.yaml", "devices: {x: {owner: ana@acme.com, formerly: [db-1]}}"),
        ("a.yaml", "devices: {x: {tags: [tag:db], endpoints: ['203.0.113.10:51820']}}"),
        ("a.json", '{"users": {}, "users": {}}'),
        ("a.json", '{"hosts": {"h": NaN}}'),
        ("a.yaml", "yes: {}"),
    ],
)
def test_the_strict_reader_refuses(tmp_path: Path, name: str, text: str) -> None:
    """A second reader that took everything would prove nothing; tailgit agrees."""
    files = {n: t.encode() for n, t in {**ACME, name: text}.items()}
    with pytest.raises(strict.Refused):
        strict.judge(files)
    assert fuzz.judge(tmp_path / "tailnet", files) == 3


def judge(folder: Path, files: dict[str, str | bytes]) -> None:
    """Loads and checks; a tailnet comes with no error, and no error without words."""
    loaded = load(write(folder, files))
    findings = examine(loaded)
    assert (loaded.tailnet is None) == any(f.is_error for f in loaded.findings)
    for finding in findings:
        assert finding.code in CODES
        assert finding.severity == CODES[finding.code].severity
        assert finding.message
        lines = (folder / finding.place.file).read_bytes().split(b"\n")
        assert 1 <= finding.place.line <= len(lines)
    assert as_text(findings).replace("\n", "").isprintable()
    shutil.rmtree(folder)


@given(st.integers(0, 2**32))
@settings(max_examples=150)
def test_a_damaged_policy(seed: int) -> None:
    """A policy.hujson with other values or bytes: findings, never a traceback."""
    fuzz_hujson.judge(fuzz_hujson.changed(Random(seed)))


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@settings(max_examples=150)
def test_any_bytes_as_a_policy(data: bytes) -> None:
    """Whatever a file of that name holds is read or refused."""
    fuzz_hujson.judge(data)


def test_the_policy_that_is_damaged_is_valid() -> None:
    """Else nothing would be learned from damaging it."""
    loaded = load_from(Memory({"policy.hujson": fuzz_hujson.POLICY}), "")
    assert [each for each in examine(loaded) if each.is_error] == []
