"""Editing a device: the wanted value changes, and no other byte."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailgit.edit import spans
from tailgit.edit.device import set_device, set_devices
from tailgit.edit.files import replace_file
from tailgit.errors import InvalidTailnet, Refused, SourceError, UsageError
from tailgit.load import load
from tests.load.files import HEAD, committed, write

KEY = base64.b64encode(bytes(range(1, 33))).decode()
OTHER_KEY = base64.b64encode(bytes(range(2, 34))).decode()
_BLOB = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))
HOST_KEY = "ssh-ed25519 " + base64.b64encode(_BLOB).decode()
REST = "grants: []\ntagOwners: {tag:x: []}\n"
ENROLLED = {("publicKey",): KEY, ("ssh", "hostKey"): HOST_KEY}


def edited(folder: Path, text: str, fields: dict[tuple[str, ...], str]) -> str:
    """The device file after `fields` of the device `d` were set."""
    write(folder, {"tailnet.yaml": HEAD + REST, "d.yaml": text.encode()})
    path = set_device(folder, "d", fields)
    assert path == folder / "d.yaml"
    assert not list(folder.glob(".d.yaml*"))
    return path.read_bytes().decode()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


CASES = {
    "block, absent": (
        "devices:\n  d:\n    tags: [tag:x]  # why\n\n# end\n",
        {("publicKey",): KEY},
        f"devices:\n  d:\n    tags: [tag:x]  # why\n    publicKey: {KEY}\n\n# end\n",
    ),
    "block, replaced": (
        f"devices:\n  d:\n    publicKey: {OTHER_KEY}   # old\n    tags: [tag:x]\n",
        {("publicKey",): KEY},
        f"devices:\n  d:\n    publicKey: {KEY}   # old\n    tags: [tag:x]\n",
    ),
    "quotes kept": (
        f"devices:\n  d: {{publicKey: '{OTHER_KEY}', tags: [tag:x]}}\n",
        {("publicKey",): KEY},
        f"devices:\n  d: {{publicKey: '{KEY}', tags: [tag:x]}}\n",
    ),
    "flow, absent": (
        "devices: {a: {tags: [tag:x]}, d: {tags: [tag:x] }, e: {tags: [tag:x]}}\n",
        {("publicKey",): KEY},
        (
            "devices: {a: {tags: [tag:x]}, d: {tags: [tag:x], "
            f"publicKey: {KEY} }}, e: {{tags: [tag:x]}}}}\n"
        ),
    ),
    "flow over lines, comma behind": (
        "devices: {\n  d: {\n    tags: [tag:x],  # why\n  },\n}\n",
        {("publicKey",): KEY},
        (
            "devices: {\n  d: {\n    tags: [tag:x], "
            f"publicKey: {KEY},  # why\n  }},\n}}\n"
        ),
    ),
    "ssh absent": (
        "devices:\n  d:\n    tags:\n    - tag:x\n  e:\n    tags: [tag:x]\n",
        {("ssh", "host"): "192.0.2.1", ("ssh", "hostKey"): HOST_KEY},
        (
            "devices:\n  d:\n    tags:\n    - tag:x\n"
            f'    ssh: {{host: 192.0.2.1, hostKey: "{HOST_KEY}"}}\n'
            "  e:\n    tags: [tag:x]\n"
        ),
    ),
    "ssh in block": (
        "devices:\n  d:\n    ssh:\n      host: h  # the host\n    tags: [tag:x]\n",
        {("ssh", "hostKey"): HOST_KEY},
        (
            "devices:\n  d:\n    ssh:\n      host: h  # the host\n"
            f'      hostKey: "{HOST_KEY}"\n    tags: [tag:x]\n'
        ),
    ),
    "ssh empty": (
        'devices:\n  d: {tags: [tag:x], endpoints: ["192.0.2.1:1"], ssh: {}}\n',
        {("ssh", "hostKey"): HOST_KEY},
        (
            'devices:\n  d: {tags: [tag:x], endpoints: ["192.0.2.1:1"], '
            f'ssh: {{hostKey: "{HOST_KEY}"}}}}\n'
        ),
    ),
    "defaults go along": (
        (
            "deviceDefaults: {ssh: {user: ops, port: 2222}}\n"
            'devices:\n  d: {tags: [tag:x], endpoints: ["192.0.2.1:1"]}\n'
        ),
        {("ssh", "hostKey"): HOST_KEY},
        (
            "deviceDefaults: {ssh: {user: ops, port: 2222}}\n"
            'devices:\n  d: {tags: [tag:x], endpoints: ["192.0.2.1:1"], '
            f'ssh: {{user: ops, port: 2222, hostKey: "{HOST_KEY}"}}}}\n'
        ),
    ),
    "no line break at the end": (
        "devices:\n  d:\n    tags: [tag:x]",
        {("publicKey",): KEY},
        f"devices:\n  d:\n    tags: [tag:x]\n    publicKey: {KEY}\n",
    ),
    "crlf and byte order mark": (
        "\ufeffdevices:\r\n  d:\r\n    tags: [tag:x]\r\n  e: {tags: [tag:x]}\r\n",
        {("publicKey",): KEY},
        (
            f"\ufeffdevices:\r\n  d:\r\n    tags: [tag:x]\r\n    publicKey: {KEY}\r\n"
            "  e: {tags: [tag:x]}\r\n"
        ),
    ),
    "letters of several bytes in front": (
        "# ä😀\ndevices:\n  d: {tags: [tag:x]} # ü\n",
        {("publicKey",): KEY},
        f"# ä😀\ndevices:\n  d: {{tags: [tag:x], publicKey: {KEY}}} # ü\n",
    ),
    "a number stays one": (
        "devices:\n  d: {tags: [tag:x], ssh: {host: h, port: 22}}\n",
        {("ssh", "port"): "2222"},
        "devices:\n  d: {tags: [tag:x], ssh: {host: h, port: 2222}}\n",
    ),
    "behind a block scalar": (
        "devices:\n  d:\n    owner: >-\n      ana@acme.com\n\n  e: {tags: [tag:x]}\n",
        {("publicKey",): KEY},
        (
            "devices:\n  d:\n    owner: >-\n      ana@acme.com\n\n"
            f"    publicKey: {KEY}\n  e: {{tags: [tag:x]}}\n"
        ),
    ),
    "over a block scalar": (
        f"devices:\n  d:\n    publicKey: >-\n      {OTHER_KEY}\n    tags: [tag:x]\n",
        {("publicKey",): KEY},
        f"devices:\n  d:\n    publicKey: {KEY}\n    tags: [tag:x]\n",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_edit(tmp_path: Path, case: str) -> None:
    """The new text, byte for byte."""
    before, fields, after = CASES[case]
    assert edited(tmp_path, before, fields) == after


def test_setting_it_again_writes_nothing(tmp_path: Path) -> None:
    """Not even the file's time changes."""
    text = "devices:\n  d: {tags: [tag:x], ssh: {host: h}}\n"
    edited(tmp_path, text, ENROLLED)
    before = (tmp_path / "d.yaml").stat()
    set_device(tmp_path, "d", ENROLLED)
    after = (tmp_path / "d.yaml").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_mode_is_kept(tmp_path: Path) -> None:
    """A file of a group stays the group's."""
    write(tmp_path, {"tailnet.yaml": HEAD + REST})
    write(tmp_path, {"d.yaml": "devices: {d: {tags: [tag:x]}}\n"})
    (tmp_path / "d.yaml").chmod(0o664)
    set_device(tmp_path, "d", {("publicKey",): KEY})
    assert (tmp_path / "d.yaml").stat().st_mode & 0o777 == 0o664


def test_the_device_is_found_in_a_repository(tmp_path: Path) -> None:
    """From a folder above the root, in the file that defines it."""
    files: dict[str, str | bytes] = {
        "net/tailnet.yaml": HEAD + REST,
        "net/x/d.yaml": "devices: {d: {tags: [tag:x]}}\n",
    }
    repo = committed(tmp_path / "repo", files)
    assert set_device(repo, "d", {("publicKey",): KEY}) == repo / "net/x/d.yaml"
    tailnet = load(repo).tailnet
    assert tailnet is not None
    assert tailnet.devices["d"].public_key == KEY


REFUSED = {
    "no such device": ("devices: {e: {tags: [tag:x]}}\n", ENROLLED, UsageError),
    "invalid before": ("devices: {d: {tags: tag:x}}\n", ENROLLED, InvalidTailnet),
    "invalid after": (
        "devices: {d: {tags: [tag:x]}}\n",
        {("publicKey",): "nonsense"},
        InvalidTailnet,
    ),
    "no host": (
        "devices: {d: {tags: [tag:x]}}\n",
        {("ssh", "hostKey"): HOST_KEY},
        InvalidTailnet,
    ),
    "a control character": (
        "devices: {d: {tags: [tag:x], ssh: {host: h}}}\n",
        {("ssh", "user"): "a\nb"},
        Refused,
    ),
    "not a single value": (
        "devices: {d: {tags: [tag:x]}}\n",
        {("tags",): "tag:y"},
        Refused,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_edits_write_nothing(tmp_path: Path, case: str) -> None:
    """The file is as it was, and nothing lies beside it."""
    text, fields, error = REFUSED[case]
    write(tmp_path, {"tailnet.yaml": HEAD + REST, "d.yaml": text})
    with pytest.raises(error):
        set_device(tmp_path, "d", fields)
    assert (tmp_path / "d.yaml").read_text() == text
    assert names(tmp_path) == ["d.yaml", "tailnet.yaml"]


def test_json_is_refused(tmp_path: Path) -> None:
    """A JSON file has no comments to keep, and no editor of ours."""
    text = '{"devices": {"d": {"tags": ["tag:x"]}}}'
    write(tmp_path, {"tailnet.yaml": HEAD + REST, "d.json": text})
    with pytest.raises(Refused, match=r"d\.json is JSON"):
        set_device(tmp_path, "d", {("publicKey",): KEY})


def test_a_wrong_edit_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edit is not trusted: with a fault in it, nothing is written."""
    text = "devices:\n  d:\n    tags: [tag:x]\n  e: {tags: [tag:x]}\n"
    write(tmp_path, {"tailnet.yaml": HEAD + REST, "d.yaml": text})
    # Valid YAML and a valid key, but not the one that was asked for.
    monkeypatch.setattr(spans, "flow", lambda _: OTHER_KEY)
    with pytest.raises(Refused, match="can't be edited safely"):
        set_device(tmp_path, "d", {("publicKey",): KEY})
    assert (tmp_path / "d.yaml").read_text() == text


def test_a_file_that_changed_meanwhile_is_left(tmp_path: Path) -> None:
    """Somebody's editor saved between our reading and our writing."""
    path = write(tmp_path, {"a": "new"}) / "a"
    with pytest.raises(Refused, match="meanwhile"):
        replace_file(path, b"old", b"ours")
    assert path.read_text() == "new"
    with pytest.raises(SourceError):
        replace_file(tmp_path / "missing", b"", b"x")
    assert names(tmp_path) == ["a"]


def test_several_devices_at_once(tmp_path: Path) -> None:
    """Numbers, lists and text, in two files, with one load; the paths come back."""
    write(
        tmp_path,
        {
            "tailnet.yaml": HEAD + REST,
            "a.yaml": "devices:\n  a: {tags: [tag:x]}\n  b:\n    tags: [tag:x]\n",
            "c.yaml": "devices:\n  c: {tags: [tag:x], formerly: [old]}\n",
            "e.yaml": "devices: {e: {tags: [tag:x]}}\n",
        },
    )
    wanted: dict[str, dict[tuple[str, ...], str | int | list[str]]] = {
        "a": {("relaySlot",): 3, ("ipv4",): "100.64.0.9"},
        "b": {("relaySlot",): 4, ("formerly",): ["one", "two"]},
        "c": {("formerly",): ["older", "old"], ("publicKey",): ""},
    }
    files = set_devices(tmp_path, wanted)
    assert files == (tmp_path / "a.yaml", tmp_path / "c.yaml")
    assert (tmp_path / "a.yaml").read_text() == (
        "devices:\n  a: {tags: [tag:x], relaySlot: 3, ipv4: 100.64.0.9}\n"
        "  b:\n    tags: [tag:x]\n    relaySlot: 4\n    formerly: [one, two]\n"
    )
    assert (tmp_path / "c.yaml").read_text() == (
        "devices:\n  c: {tags: [tag:x], formerly: [older, old]}\n"
    )
    assert set_devices(tmp_path, wanted) == ()


def test_several_devices_or_none(tmp_path: Path) -> None:
    """One that is not there, or one bad value: no file is written."""
    one, two = "devices: {a: {tags: [tag:x]}}\n", "devices: {b: {tags: [tag:x]}}\n"
    write(tmp_path, {"tailnet.yaml": HEAD + REST, "a.yaml": one, "b.yaml": two})
    slot = {("relaySlot",): 3}
    with pytest.raises(UsageError, match="no device `x`"):
        set_devices(tmp_path, {"a": slot, "x": slot})
    with pytest.raises(InvalidTailnet):
        set_devices(tmp_path, {"a": slot, "b": {("relaySlot",): -3}})
    assert (tmp_path / "a.yaml").read_text() == one
    assert (tmp_path / "b.yaml").read_text() == two


def test_an_error_that_was_there_is_no_hindrance(tmp_path: Path) -> None:
    """A pin mends two devices with one address: the clash must not stop it."""
    pinned = "{tags: [tag:x], ipv4: 100.64.0.9}"
    text = f"devices: {{a: {pinned}, b: {pinned}}}"
    write(tmp_path, {"tailnet.yaml": HEAD + REST, "d.yaml": text})
    set_devices(tmp_path, {"b": {("ipv4",): "100.64.0.10"}})
    assert "b: {tags: [tag:x], ipv4: 100.64.0.10}" in (tmp_path / "d.yaml").read_text()


BLANK = st.sampled_from(["", "  # a comment", "   "])
LINES = st.sampled_from(["", "\n", "    # between\n", "# ä😀\n", "      # deep\n"])
OWN = st.lists(
    st.sampled_from(
        [
            ("tags: [tag:x]", "tags: [tag:x]"),
            ("tags:\n    - tag:x", "tags: [tag:x, ]"),
            ('endpoints: ["192.0.2.1:1"]', "endpoints: ['192.0.2.1:1']"),
            ("ssh:\n      host: h\n      user: u", "ssh: {host: h , user: u}"),
            (f"publicKey: {OTHER_KEY}", f"publicKey: '{OTHER_KEY}'"),
            ("disabled: true", "disabled: true"),
            ("formerly:\n      [old,\n      older]", "formerly: [old, older]"),
        ]
    ),
    unique_by=lambda pair: pair[0][:5],
    max_size=6,
)


@st.composite
def device_files(draw: st.DrawFn) -> str:
    """A file with the devices c, d and e, in any of the styles people use."""
    text = draw(
        st.sampled_from(["", "# top\n", "deviceDefaults: {ssh: {user: ops}}\n"])
    )
    text += f"devices:{draw(BLANK)}\n"
    for name in draw(st.permutations(["c", "d", "e"])):
        fields = draw(OWN)
        if not any(block.startswith("tags") for block, _ in fields):
            fields = [*fields, ("tags: [tag:x]", "tags: [tag:x]")]
        if not any(block.startswith("endp") for block, _ in fields):
            fields = [*fields, ("ssh: {host: h}", "ssh: {host: h}")]
            fields = list({block[:3]: (block, flow) for block, flow in fields}.values())
        if draw(st.booleans()):
            inner = draw(st.sampled_from([", ", ",\n      "])).join(
                f for _, f in fields
            )
            text += f"  {name}: {{{inner}{draw(st.sampled_from(['', ' ', ',']))}}}"
            text += draw(BLANK) + "\n"
        else:
            text += f"  {name}:\n"
            for block, _ in fields:
                text += f"    {block}{draw(BLANK)}\n{draw(LINES)}"
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return text.replace("\n", newline).removesuffix(
        draw(st.sampled_from(["", newline]))
    )


@given(device_files(), st.sampled_from("cde"))
@settings(max_examples=150)
def test_only_the_wanted_values_change(
    tmp_path_factory: pytest.TempPathFactory, text: str, name: str
) -> None:
    """Whatever the style, what was there stays, in order, around what is new."""
    folder = tmp_path_factory.mktemp("edit")
    write(folder, {"tailnet.yaml": HEAD + REST, "d.yaml": text.encode()})
    loaded = load(folder)
    assert loaded.tailnet is not None, (text, loaded.findings)
    before = loaded.tailnet.devices[name]

    set_device(folder, name, ENROLLED)

    after = load(folder).tailnet
    assert after is not None
    changed = after.devices[name]
    assert (changed.public_key, changed.ssh and changed.ssh.host_key) == (KEY, HOST_KEY)
    assert before.ssh is not None
    assert changed.ssh is not None
    assert (changed.ssh.host, changed.ssh.user, changed.ssh.port) == (
        before.ssh.host,
        before.ssh.user,
        before.ssh.port,
    )
    for other in {"c", "d", "e"} - {name}:
        old, new = loaded.tailnet.devices[other], after.devices[other]
        assert (old.public_key, old.ssh, old.tags, old.endpoints, old.formerly) == (
            new.public_key,
            new.ssh,
            new.tags,
            new.endpoints,
            new.formerly,
        )
    got = (folder / "d.yaml").read_bytes().decode()
    kept = text.replace(f"'{OTHER_KEY}'", "").replace(OTHER_KEY, "")
    shortened = got.replace(f"'{OTHER_KEY}'", "").replace(OTHER_KEY, "")
    assert is_subsequence(kept, shortened)
    assert len(shortened) - len(kept) <= len(KEY) + len(HOST_KEY) + 80


def is_subsequence(inner: str, outer: str) -> bool:
    rest = iter(outer)
    return all(character in rest for character in inner)
