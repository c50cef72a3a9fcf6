"""Every section that can name a device or a person follows a rename or a removal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailgit.edit.change import Change
from tailgit.edit.mentions import comments
from tailgit.edit.references import Role, references
from tailgit.edit.removal import remove_device, remove_user
from tailgit.edit.renaming import rename_device
from tailgit.edit.tree import open_tree
from tailgit.errors import Refused
from tests.load.files import HEAD, write

ROOT = (
    HEAD
    + """\
  controller: {device: gw}
delegations:
  teams/: {sections: [devices], devices: [gw], owners: [ana@a.b], dst: [ana@a.b]}
  other/: {sections: [devices], owners: ana@a.b}
"""
)

REST = """\
users: {ana@a.b: {}, ben@a.b: {}}
tagOwners: {tag:x: [ana@a.b]}
autoApprovers: {exitNode: [tag:x], routes: {10.1.0.0/16: [ana@a.b]}}
grants:
  - {src: [ana@a.b, ben@a.b], dst: [pc, box], ip: ["tcp:22"]}
ssh:
  - {action: accept, src: [ana@a.b], dst: [tag:x], users: [root]}
  - {action: accept, src: [ana@a.b, ben@a.b], dst: [tag:x], users: [pc]}
sshTests:
  - {src: ana@a.b, dst: [tag:x], accept: [root]}
  - {src: ben@a.b, dst: [box, pc], accept: [pc]}
nodeAttrs:
  - {target: [ana@a.b], attr: [one]}
  - {target: ["*", pc], attr: [two]}
dns:
  records:
    - {name: www, type: CNAME, value: pc}
    - {name: full, type: CNAME, value: pc.acme.internal}
    - {name: _sip._tcp, type: SRV, value: 10 5 5060 pc}
    - {name: away, type: CNAME, value: pc.example.org}
    - {name: text, type: TXT, value: pc}
"""

DEVICES = """\
deviceDefaults: {useExitNode: gw}
devices:
  gw: {tags: [tag:x], exitNode: true}
  pc: {owner: ana@a.b, gateway: gw}
  box: {tags: [tag:x]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tailnet with a reference in every place that can have one."""
    files: dict[str, str | bytes] = {
        "tailnet.yaml": ROOT,
        "rest.yaml": REST,
        "devices.yaml": DEVICES,
        "teams/one.yaml": "devices: {}\n",
        "other/one.yaml": "devices: {}\n",
    }
    return write(tmp_path, files)


@pytest.fixture
def valid(folder: Path) -> Path:
    """The same without sections that this version refuses."""
    start, end = REST.index("ssh:"), REST.index("dns:")
    return write(folder, {"rest.yaml": REST[:start] + REST[end:]})


def found(folder: Path, name: str) -> list[tuple[str, Role]]:
    return [
        (".".join(map(str, each.path)), each.role)
        for each in references(open_tree(folder))
        if each.name == name
    ]


def test_a_device_is_found_everywhere(folder: Path) -> None:
    """Rules, tests, attributes and records; not names at other places like it."""
    assert sorted(path for path, _ in found(folder, "pc")) == [
        "dns.records.0.value",
        "dns.records.1.value",
        "dns.records.2.value",
        "grants.0.dst.0",
        "nodeAttrs.1.target.1",
        "sshTests.1.dst.1",
    ]


def test_what_needs_a_device_is_found(folder: Path) -> None:
    """A gateway, an exit node, the controller: all of them need a person."""
    assert sorted(found(folder, "gw")) == sorted(
        [
            ("deviceDefaults.useExitNode", Role.NEEDED),
            ("devices.pc.gateway", Role.NEEDED),
            ("tailnet.controller.device", Role.NEEDED),
        ]
    )
    with pytest.raises(Refused, match="`gw` is still needed") as error:
        remove_device(folder, "gw")
    for place in ("devices.yaml:1:31", "devices.yaml:4:33", "tailnet.yaml:7:24"):
        assert place in str(error.value)


def test_a_person_is_found_everywhere(folder: Path) -> None:
    """Rules, ssh, attributes, owners of tags and devices, approvers, delegations."""
    assert sorted(path for path, _ in found(folder, "ana@a.b")) == [
        "autoApprovers.routes.10.1.0.0/16.0",
        "delegations.other/.owners",
        "delegations.teams/.dst.0",
        "delegations.teams/.owners.0",
        "devices.pc.owner",
        "grants.0.src.0",
        "nodeAttrs.0.target.0",
        "ssh.0.src.0",
        "ssh.1.src.0",
        "sshTests.0.src",
        "tagOwners.tag:x.0",
    ]


def after(change: Change, file: str) -> str:
    """A file's text as the change makes it."""
    files = {each.file: each.after for each in change.files}
    data = files[file]
    assert data is not None
    return data.decode()


def test_rename_of_all(valid: Path) -> None:
    """Each reference has the new name; hosts elsewhere stay, and are mentioned."""
    made = rename_device(valid, "pc", "desk")
    assert after(made.change, "rest.yaml") == (
        (valid / "rest.yaml")
        .read_text()
        .replace("[pc, box]", "[desk, box]")
        .replace("CNAME, value: pc}", "CNAME, value: desk}")
        .replace("pc.acme", "desk.acme")
        .replace("5060 pc", "5060 desk")
    )
    assert [str(each) for each in made.notes] == [
        "rest.yaml:11:40: `pc.example.org` mentions `pc`",
        "rest.yaml:12:38: `pc` mentions `pc`",
    ]


def test_a_reference_renames_itself_alone(folder: Path) -> None:
    """Ports, blanks and the rest of a record stay around the name."""
    texts = {"pc": "desk", "pc.acme.internal": "desk.acme.internal"}
    texts["10 5 5060 pc"] = "10 5 5060 desk"
    for each in references(open_tree(folder)):
        if each.name == "pc":
            assert each.renamed("desk") == texts[each.text]


def test_rename_of_what_is_needed(valid: Path) -> None:
    """A gateway, an exit node and the controller follow; globs are only mentioned."""
    made = rename_device(valid, "gw", "hub")
    text = ROOT.replace("device: gw", "device: hub")
    assert after(made.change, "tailnet.yaml") == text
    assert after(made.change, "devices.yaml") == (
        DEVICES.replace("useExitNode: gw", "useExitNode: hub")
        .replace("gateway: gw", "gateway: hub")
        .replace("gw: {tags: [tag:x], exitNode: true", "hub: {tags: [tag:x], ")
        .replace("[tag:x], }", "[tag:x], exitNode: true, formerly: [gw]}")
    )
    assert [str(each) for each in made.notes] == [
        "tailnet.yaml:9:43: `gw` mentions `gw`"
    ]


def test_removal_of_a_device(folder: Path) -> None:
    """Records of it go as a whole, items go alone."""
    made = remove_device(folder, "pc")
    text = after(made.change, "rest.yaml")
    assert "dst: [box], ip" in text
    assert "dst: [box], accept: [pc]" in text
    assert 'target: ["*"], attr' in text
    assert text.endswith(
        "dns:\n  records:\n"
        "    - {name: away, type: CNAME, value: pc.example.org}\n"
        "    - {name: text, type: TXT, value: pc}\n"
    )


def test_removal_of_a_person(folder: Path) -> None:
    """Nothing has the login any more; what would be about nobody is gone."""
    made = remove_user(folder, "ana@a.b")
    for each in made.change.files:
        assert b"ana@a.b" not in (each.after or b"")
    text = after(made.change, "rest.yaml")
    assert "ssh:\n  - {action: accept, src: [ben@a.b], dst: [tag:x]" in text
    assert "sshTests:\n  - {src: ben@a.b, dst: [box]" in text
    assert 'nodeAttrs:\n  - {target: ["*"], attr: [two]}\n' in text
    assert after(made.change, "tailnet.yaml").endswith(
        "  teams/: {sections: [devices], devices: [gw], owners: [], dst: []}\n"
        "  other/: {sections: [devices]}\n"
    )
    assert made.devices == ("pc",)


def test_comments_are_told_from_text() -> None:
    """A `#` in quotes, in a block or inside of a word begins none."""
    text = 'a: "x # no"  # one\nb: |\n  # no\nc: x#no # two\n# three\n'
    text += "d: [e, # four\n  f]\n"
    assert [comment for _, comment in comments(text)] == [
        *("# one", "# two", "# three", "# four"),
    ]
