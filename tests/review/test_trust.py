"""What stands behind names: keys, owners, approvers, tests; each change its line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from jsonschema import validate

from tailgit.cli import run
from tailgit.errors import Exit
from tailgit.load import load
from tailgit.resources import directory
from tailgit.review.trust import Side, TrustChange, trust_difference
from tests.review.contractor import ACME, commit, git

GOLDEN = Path(__file__).parent / "golden"
KEYS = (
    "6Zg1fQ0o3Pqj4m0sO5GmVbq5tGgRUuTzvKyJ0uUoY1E=",
    "6naMHJ82eek3e9rcZNfgvkTTrATbytdgHSECIAQ7XDw=",
    "bmXOC+F1FxEMF9dyiK2H5/1SUtzH0JuVo51h2wPfgyo=",
)
HOST_KEYS = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB5JIiy0tqmFHPOyBTJLmMKmoXmzOQyLhNmOlDyXqvXL",
)


def replaced(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    file.write_text(text)


@pytest.fixture
def quiet(tmp_path: Path) -> Path:
    """A commit on the example company by which nobody gains or loses anything today:
    a key, a host key, an owner and a test."""
    folder = tmp_path / "acme"
    shutil.copytree(ACME, folder)
    keys = f"    publicKey: {KEYS[0]}\n    ssh: {{hostKey: {HOST_KEYS[0]}}}\n"
    replaced(folder / "devices.yaml", ("tags: [tag:db]\n", f"tags: [tag:db]\n{keys}"))
    replaced(
        folder / "people.yaml",
        ("ben@acme.com: {name: Ben Okafor}", "ben@acme.com: {}\n  eve@acme.com: {}"),
        ("[ana@acme.com, ben@acme.com]", "[ana@acme.com, ben@acme.com, eve@acme.com]"),
    )
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "before")
    replaced(
        folder / "devices.yaml",
        (KEYS[0], KEYS[1]),
        (HOST_KEYS[0], HOST_KEYS[1]),
        ("owner: ben@acme.com", "owner: eve@acme.com"),
    )
    removed = "  - {src: ben@acme.com, proto: tcp, deny: "
    replaced(folder / "policy.yaml", (f'{removed}["db-1:5432", "ana-desk:22"]}}\n', ""))
    commit(folder, "Tidy up")
    return folder


def test_text_is_what_it_was(quiet, golden, capsys):
    """No device gains a port, and yet there is more to look at than to pass over."""
    assert run(["diff", "HEAD~1", "HEAD", "--repo", str(quiet)]) == Exit.DONE
    said = capsys.readouterr().out
    for revision, name in (("HEAD~1", "ba5eba5"), ("HEAD", "4ead4ea")):
        said = said.replace(git(quiet, "rev-parse", revision)[:7], name)
    golden(GOLDEN / "quiet.txt", said)
    assert max(map(len, said.splitlines())) <= 100


def test_json_names_each_change(quiet, capsys):
    """Programs get the same, with whole values and weights, as the schema says."""
    arguments = ["diff", "HEAD~1", "HEAD", "--repo", str(quiet), "--format", "json"]
    assert run(arguments) == Exit.DONE
    document = json.loads(capsys.readouterr().out)
    schema = json.loads((directory("schemas") / "report" / "diff.json").read_text())
    validate(document, schema)
    assert document["trust"]["noop"] is False
    found = {each["kind"]: each for each in document["trust"]["changes"]}
    assert found.keys() == {"public-key", "host-key", "owner", "test-removed"}
    assert all(each["weight"] == "danger" for each in found.values())
    assert found["public-key"]["before"] == KEYS[0]
    assert found["public-key"]["after"] == KEYS[1]
    assert found["host-key"]["name"] == "db-1"
    assert found["test-removed"]["side"] == "base"


BEFORE = f"""\
tailnet:
  {{format: 1, name: t, domain: t.internal, ipv4: 100.64.0.0/10, ipv6: fd5c::/48}}
users: {{ana@x.com: {{}}, ben@x.com: {{}}}}
groups: {{"group:dev": [ana@x.com, ben@x.com]}}
tagOwners: {{tag:web: [ana@x.com]}}
devices:
  web-1: {{tags: [tag:web], publicKey: {KEYS[0]}, nextPublicKey: {KEYS[1]}}}
  web-2: {{tags: [tag:web], expires: 2031-01-31}}
grants: [{{src: [group:dev], dst: [tag:web], ip: ["*"]}}]
tests:
  - {{src: group:dev, accept: ["web-1:22", "web-2:22"]}}
"""


def difference_of(folder: Path, *changes: tuple[str, str]) -> TrustChange:
    """What a change of the small tailnet above does to trust."""
    sides = []
    for name, some in (("old", ()), ("new", changes)):
        (folder / name).mkdir(parents=True)
        (folder / name / "tailnet.yaml").write_text(BEFORE)
        replaced(folder / name / "tailnet.yaml", *some)
        loaded = load(folder / name)
        assert loaded.tailnet is not None, loaded.findings
        side = Side.of(loaded)
        assert side is not None
        sides.append(side)
    return trust_difference(*sides)


def said(change: TrustChange) -> list[tuple[str, str, str]]:
    return [(each.weight.value, each.name, each.text) for each in change.lines]


def test_an_announced_key_is_no_danger(tmp_path):
    """A rotation that the repository announced is one line, and not alarming."""
    new = f"publicKey: {KEYS[1]}"
    old = f"publicKey: {KEYS[0]}, nextPublicKey: {KEYS[1]}"
    found = said(difference_of(tmp_path, (old, new)))
    text = "key 6Zg1…Y1E= -> 6naM…XDw=, as nextPublicKey announced"
    assert found == [("notable", "web-1", text)]


def test_a_key_that_nobody_announced_is_a_danger(tmp_path):
    """Whoever has that key is the device from now on."""
    found = said(difference_of(tmp_path, (KEYS[0], KEYS[2])))
    text = "key 6Zg1…Y1E= -> bmXO…fgyo=, which no nextPublicKey announced"
    assert found == [("danger", "web-1", text.replace("fgyo=", "gyo="))]


def test_the_key_of_another_device_is_named_as_such(tmp_path):
    """A device that is taken out and comes back under another name keeps its trust."""
    change = difference_of(
        tmp_path, ("  web-1: {", "  web-3: {"), ("web-1:22", "web-3:22")
    )
    assert ("danger", "web-3", "has the key 6Zg1…Y1E= that web-1 had") in said(change)
    kinds = [each.kind for each in change.lines]
    assert {"device-added", "device-removed"} <= set(kinds)


def test_a_renaming_is_no_removal(tmp_path):
    """With `formerly` it is one device, with its old addresses, under another name."""
    new = "  web-3: {formerly: [web-1], "
    change = difference_of(tmp_path, ("  web-1: {", new), ("web-1:22", "web-3:22"))
    devices = [each for each in change.lines if each.part == "devices"]
    assert [(e.name, e.text) for e in devices] == [("web-3", "called web-1 before")]
    names = {each.kind for each in change.lines if each.part == "names"}
    assert names == {"name-added", "name-removed"}


def test_a_test_in_two_halves_is_the_same_test(tmp_path):
    """What counts is what is asked for; less of it is a danger, more is none."""
    whole = '{src: group:dev, accept: ["web-1:22", "web-2:22"]}'
    one = '{src: group:dev, accept: ["web-1:22"]}'
    other = '{src: group:dev, accept: ["web-2:22"]}'
    halves = f"{other}\n  - {one}"
    assert difference_of(tmp_path / "1", (whole, halves)).is_noop
    (line,) = difference_of(tmp_path / "2", (whole, one)).lines
    assert (line.weight, line.kind) == ("danger", "test-removed")
    assert line.text == "test removed: group:dev reaches web-2:22"
    more = f"{whole}\n  - {{src: group:dev, deny: ['ana-desk:1']}}"
    more = more.replace("ana-desk:1", "100.64.9.9:1")
    (line,) = difference_of(tmp_path / "3", (whole, more)).lines
    assert (line.weight, line.kind) == ("plain", "test-added")


@pytest.mark.parametrize(
    ("was", "now", "weight"),
    [
        ("expires: 2031-01-31", "expires: 2030-01-31", "plain"),
        ("expires: 2031-01-31", "expires: 2031-01-31T10:00:00Z", "plain"),
        ("expires: 2031-01-31", "expires: 2032-01-31", "notable"),
        (", expires: 2031-01-31", "", "danger"),
    ],
)
def test_an_end_that_goes_is_worse_than_one_that_comes(was, now, weight, tmp_path):
    """Earlier is harmless, later is notable, never is a danger."""
    (line,) = difference_of(tmp_path, (was, now)).lines
    assert (line.kind, line.weight) == ("expires", weight)


def test_order_and_spelling_mean_nothing(tmp_path):
    """A remark, another order of a list, a default that is written out."""
    changes = (
        ("[ana@x.com, ben@x.com]", "[ben@x.com, ana@x.com]"),
        ("tags: [tag:web], expires", "delivery: file, tags: [tag:web], expires"),
        ("tests:", "# a remark\ntests:"),
    )
    assert difference_of(tmp_path, *changes).is_noop


def test_an_unknown_section_is_named_by_its_own_name(tmp_path):
    """A section that this version passes over is not passed over in a review."""
    (line,) = difference_of(tmp_path, ("tests:", "derpMap: {a: 1}\ntests:")).lines
    assert (line.kind, line.text) == ("field-derpMap", 'derpMap {"a": 1}, none before')
