"""One wg-quick file, read: its machine, its peers, and where each of it stands.

wgconfig reads the values, and this is the only module that imports it (it is under the
AGPL, and a read-only edge). It takes whatever it finds, so every line is judged before:
what is wrong has a place here. Private and pre-shared keys end in this module: of the
first the public key is computed, of the second no more is kept than that there is one.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tailgit.load.decode import decode
from tailgit.model.codes import finding
from tailgit.model.findings import Bounded, Finding, Place
from tailgit.model.near import meant
from tailgit.model.text import shown

_OFF = "#! "
"""wgconfig's mark before the lines of a peer that is switched off."""
_KEYS: dict[str, tuple[str, ...]] = {
    "interface": (
        *("PrivateKey", "Address", "ListenPort", "DNS", "MTU", "Table", "FwMark"),
        *("PreUp", "PostUp", "PreDown", "PostDown", "SaveConfig"),
    ),
    "peer": (
        *("PublicKey", "PresharedKey", "AllowedIPs", "Endpoint"),
        "PersistentKeepalive",
    ),
}
_SECRET = ("PrivateKey", "PresharedKey")
_HEADER = re.compile(r"\[\s*([^\]\s]*)\s*\]\s*(?:#(.*))?")
_PUBLIC = re.compile(r"(?!A{43}=)[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")
_LONG = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")
_MOST_PEERS = 10_000


@dataclass(slots=True)
class Section:
    """`[Interface]` or a `[Peer]`: values by key, the line of each key, comments."""

    kind: str
    line: int
    disabled: bool
    comments: list[str] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    raw: list[tuple[str, int, str]] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)

    def all(self, key: str) -> list[str]:
        return self.values.get(key, [])

    def one(self, key: str) -> str:
        """The last value of a key, as wg takes it; empty if there is none."""
        found = self.values.get(key)
        return found[-1] if found else ""


@dataclass(slots=True)
class QuickFile:
    """A whole file; `public_key` is None if it does not say whose it is."""

    file: str
    interface: Section
    peers: list[Section]
    public_key: str | None = None

    def place(self, section: Section, key: str = "") -> Place:
        return Place(self.file, section.lines.get(key, section.line))


def read_quick(data: bytes, file: str, findings: list[Finding]) -> QuickFile | None:
    """The file, or None and findings; no finding quotes a key."""
    text = decode(data, file, findings)
    if text is None:
        return None
    wrong = Bounded()
    lines = text.replace("\r\n", "\n").split("\n")
    sections = list(_sections(lines, file, wrong))
    found = _shaped(sections, file, wrong)
    if found is None or wrong:
        findings.extend(wrong)
        return None
    _values(found, lines)
    found.public_key = _public_key(found)
    return found


def redacted(text: str) -> str:
    """A command of a hook without what may be a key in it, and not endless."""
    text = _LONG.sub("…", text)
    return text if len(text) <= 120 else f"{text[:120]}…"


def _sections(
    lines: list[str], file: str, findings: list[Finding]
) -> Iterator[Section]:
    """Every section with the lines in it; each line that is neither is a finding."""
    section: Section | None = None
    waiting: list[str] = []
    for number, whole in enumerate(lines, 1):
        line, at = whole.replace(_OFF, "").strip(), Place(file, number)
        if line.startswith("#"):
            waiting.append(line.strip("# \t"))
        elif line.startswith("["):
            if section is not None:
                yield section
            section = _header(line, at, findings)
            section.disabled = whole.startswith(_OFF)
            section.comments[:0], waiting = waiting, []
        elif line and section is None:
            message = "a setting stands before the first section"
            findings.append(finding("bad-value", at, message, "begin: `[Interface]`"))
        elif line and section is not None:
            section.comments += waiting
            waiting = []
            _setting(section, line, at, findings)
    if section is not None:
        yield section


def _header(line: str, at: Place, findings: list[Finding]) -> Section:
    match = _HEADER.fullmatch(line)
    kind = match[1].lower() if match else ""
    if match is None or kind not in _KEYS:
        message = f"`{shown(redacted(line))}` is no section of a wg-quick file"
        findings.append(finding("bad-value", at, message, "`[Interface]`, or `[Peer]`"))
    section = Section(kind, at.line, disabled=False)
    if match is not None and match[2]:
        section.comments.append(match[2].strip("# \t"))
    return section


def _setting(section: Section, line: str, at: Place, findings: list[Finding]) -> None:
    known = {key.lower(): key for key in _KEYS.get(section.kind, ())}
    word, sign, rest = line.partition("=")
    name = word.strip()
    key = known.get(name.lower(), "")
    value = rest.partition("#")[0].strip()
    if value.isnumeric() and not (value.isascii() and len(value) < 20):
        # wgconfig would stumble over it.
        findings.append(finding("bad-value", at, f"`{shown(value[:20])}` is no number"))
        return
    if key and sign:
        # Nobody needs the value of a secret; wgconfig gets the line itself.
        kept = "" if key in _SECRET else value
        section.raw.append((key, at.line, kept))
        section.lines.setdefault(key, at.line)
        if not value and key not in ("AllowedIPs", *_SECRET):
            message, help_ = f"`{key}` has no value", "write one, or take the line out"
            findings.append(finding("bad-value", at, message, help_))
        return
    plain = name.isascii() and name.isalnum() and len(name) <= 24
    near = meant(name, known.values()) if plain else ""
    elsewhere = next((k for k, keys in _KEYS.items() if _in(name, keys)), "")
    if plain and sign and not near and not elsewhere:
        section.raw.append((name, at.line, ""))  # some other program's; named later
        return
    said = f"`{name}`" if plain else "the line"
    message, help_ = f"{said} is no setting", near or "a line is `Key = value`"
    if elsewhere and sign:
        message = f"`{name}` does not belong into [{section.kind.title()}]"
        help_ = f"move it to [{elsewhere.title()}]"
    findings.append(finding("bad-value", at, message, help_))


def _in(name: str, keys: tuple[str, ...]) -> bool:
    return name.lower() in (key.lower() for key in keys)


def _shaped(
    sections: list[Section], file: str, findings: list[Finding]
) -> QuickFile | None:
    """One interface, and peers that differ in their keys."""
    own = [each for each in sections if each.kind == "interface"]
    peers = [each for each in sections if each.kind == "peer"]
    if len(own) != 1 or len(peers) > _MOST_PEERS:
        message = "the file has no section [Interface]"
        at = Place(file)
        if own:
            message, at = "a second section [Interface]", Place(file, own[-1].line)
        if len(peers) > _MOST_PEERS:
            message = f"more than {_MOST_PEERS} peers"
        help_ = "a wg-quick file has one, for its own machine"
        findings.append(finding("bad-value", at, message, help_))
        return None
    return QuickFile(file, own[0], peers)


def _values(found: QuickFile, lines: list[str]) -> None:
    """What wgconfig reads, section by section, in the usual spelling of keys.

    It knows peers by their keys, so it loses one of two equal ones and stumbles over
    an odd one; asked about one section at a time, as an [Interface], it does neither.
    """
    for section in (found.interface, *found.peers):
        text = ["[Interface]"]
        for key, number, _ in section.raw:
            line = lines[number - 1].replace(_OFF, "").strip()
            text.append(f"{key} = {line.partition('=')[2].strip()}")
        section.values = _read(text)


def _read(lines: list[str]) -> dict[str, list[str]]:
    from wgconfig import WGConfig  # type: ignore[import-untyped]  # it has no types

    reader: Any = WGConfig()
    reader.lines = lines
    reader.invalidate_data()
    found: dict[str, list[str]] = {}
    for key, value in reader.interface.items():
        if not key.startswith("_"):
            values = value if isinstance(value, list) else [value]
            found[key] = [str(each) for each in values if str(each)]
    return found


def _public_key(found: QuickFile) -> str | None:
    """Computed from the private key, which is forgotten then."""
    private = found.interface.values.pop("PrivateKey", [])
    for peer in found.peers:
        if peer.values.pop("PresharedKey", None):
            peer.values["PresharedKey"] = ["yes"]
    for text in private:
        raw = _decoded(text)
        if raw is not None:
            from cryptography.hazmat.primitives.asymmetric.x25519 import (
                X25519PrivateKey,
            )

            public = X25519PrivateKey.from_private_bytes(raw).public_key()
            return b64encode(public.public_bytes_raw()).decode()
    return None


def _decoded(text: str) -> bytes | None:
    try:
        raw = b64decode(text, validate=True)
    except (NoBase64, ValueError):
        return None
    return raw if len(raw) == 32 else None


def is_public_key(text: str) -> bool:
    return _PUBLIC.fullmatch(text) is not None
