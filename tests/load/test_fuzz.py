"""A whole tailnet, damaged at random: findings or a tailnet, never a traceback."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tailgit.check import examine
from tailgit.load import load
from tailgit.model.codes import CODES
from tailgit.report.findings import as_json, as_text
from tests.load.files import ACME, write
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
@settings(max_examples=250)
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
@settings(max_examples=150)
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
    as_json(findings)
    shutil.rmtree(folder)
