"""What changes on one node between two bundles, for people and for the kind of switch.

Compiled files are judged as what they are: peers by name, everything else by its
lines. Bundles come from our own compiler, so their texts are trusted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from tailgit.compile.bundle import Bundle

_COUNTED = {"firewall.nft": "filter", "interface": "interface", "hosts": "names"}
"""Files whose changed lines are counted, and what people call them."""


@dataclass(frozen=True, slots=True)
class Lines:
    """How many lines of one file come and go."""

    what: str
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class Difference:
    """The files that differ (sorted) and what that means; names of peers are sorted.

    `peers_rekeyed` have another key and nothing else; `own_key` says that the node
    itself goes over to another one.
    """

    files: tuple[str, ...] = ()
    peers_added: tuple[str, ...] = ()
    peers_removed: tuple[str, ...] = ()
    peers_changed: tuple[str, ...] = ()
    lines: tuple[Lines, ...] = ()
    peers_rekeyed: tuple[str, ...] = ()
    own_key: bool = False

    @property
    def only_keys(self) -> bool:
        """Whether keys change, and nothing else does."""
        others = set(self.files) - {"wireguard.conf"}
        moved = self.peers_added or self.peers_removed or self.peers_changed
        return bool((self.own_key or self.peers_rekeyed) and not others and not moved)

    @property
    def takes(self) -> bool:
        """Whether anybody may lose something by it."""
        lost = any(each.what == "filter" and each.removed for each in self.lines)
        changed = self.peers_changed or self.peers_rekeyed
        return bool(lost or self.peers_removed or changed)

    @property
    def gives(self) -> bool:
        """Whether anybody may gain something by it."""
        got = any(each.what == "filter" and each.added for each in self.lines)
        changed = self.peers_changed or self.peers_rekeyed
        return bool(got or self.peers_added or changed)


def difference(old: Bundle | None, new: Bundle) -> Difference:
    """What `new` changes against `old`; None stands for a node without anything."""
    before, after = dict(old.files) if old else {}, dict(new.files)
    files = tuple(
        sorted(
            name
            for name in before.keys() | after.keys()
            if before.get(name) != after.get(name)
        )
    )
    added, removed, changed, rekeyed = _peers(before, after)
    lines = tuple(
        counted
        for name, what in _COUNTED.items()
        if name in files
        for counted in [_lines(what, before.get(name, b""), after.get(name, b""))]
        if counted.added or counted.removed
    )
    own = old is not None and _keys(old) != _keys(new)
    return Difference(files, added, removed, changed, lines, rekeyed, own)


def _keys(bundle: Bundle) -> list[bytes]:
    """Whose bundle it is: a node finds its own key in the manifest."""
    lines = bundle.manifest.splitlines()
    return [line for line in lines if line.startswith(b"publicKey ")]


def _lines(what: str, before: bytes, after: bytes) -> Lines:
    if not before:  # a first generation: a whole fleet of these has much to count
        return Lines(what, len(_placed(after)), 0)
    old, new = Counter(_placed(before)), Counter(_placed(after))
    return Lines(what, (new - old).total(), (old - new).total())


def _placed(text: bytes) -> list[tuple[bytes, bytes]]:
    """Each line with the set that it stands in: an address that moves from one set to
    another is a change, although no line is new. An element of a set is a line of its
    own, without the signs around it: the first and the last one that leave change none
    of the others."""
    found: list[tuple[bytes, bytes]] = []
    # What is before the first set is in none, in most files everything.
    outside, mark, sets = text.partition(b"\tset ")
    if mark and outside and not outside.endswith(b"\n"):
        outside, mark, sets = b"", b"", text
    found += [(b"", line) for line in outside.splitlines() if line.strip() != b"}"]
    inside = b""
    for line in (mark + sets).splitlines():
        if inside and line.find(b",") == len(line) - 1 and b"{" not in line:
            found.append((inside, line[:-1].strip()))  # as most lines of large files
            continue
        if line.startswith(b"\tset "):
            inside = line
        elif line.startswith(b"\tchain "):
            inside = b""
        bare = line.strip()
        elements = bare.removeprefix(b"elements = {")
        if inside and (elements != bare or bare.endswith((b",", b" }"))):
            listed = map(bytes.strip, elements.rstrip(b" }").split(b","))
            found += [(inside, element) for element in listed if element]
        elif bare != b"}":
            found.append((inside, line))
    return found


def _peers(
    before: dict[str, bytes], after: dict[str, bytes]
) -> tuple[tuple[str, ...], ...]:
    """Names of peers that come, go, stay with other settings and with another key."""
    then, now = (
        _sections(files.get("wireguard.conf", b"")) for files in (before, after)
    )
    # Only sections that differ say anything, and mostly those are few.
    same = set(then).intersection(now)
    old = _settings(one for one in then if one not in same)
    new = _settings(one for one in now if one not in same)
    stay = new.keys() & old.keys()
    rekeyed = {n for n in stay if new[n] != old[n] and _keyless(new[n], old[n])}
    return (
        tuple(sorted(new.keys() - old.keys())),
        tuple(sorted(old.keys() - new.keys())),
        tuple(sorted(n for n in stay - rekeyed if new[n] != old[n])),
        tuple(sorted(rekeyed)),
    )


def _keyless(*peers: tuple[str, ...]) -> bool:
    """Whether the settings of peers are the same but for the key."""
    bare = {tuple(s for s in one if not s.startswith("PublicKey")) for one in peers}
    return len(bare) == 1


def peers(wireguard: bytes) -> dict[str, tuple[str, ...]]:
    """The `[Peer]` sections of a compiled wireguard.conf: name -> its settings.

    The name is the section's comment; one without a comment goes by its key.
    """
    return _settings(_sections(wireguard))


def _sections(wireguard: bytes) -> list[str]:
    return wireguard.decode().split("[Peer]\n")[1:]


def _settings(sections: Iterable[str]) -> dict[str, tuple[str, ...]]:
    return dict(map(_peer, sections))


@lru_cache(maxsize=8192)
def _peer(section: str) -> tuple[str, tuple[str, ...]]:
    """The name in one section, and its settings; a peer stands in many files alike."""
    lines = [line.strip() for line in section.splitlines() if line.strip()]
    names = [line[1:].strip() for line in lines if line.startswith("#")]
    settings = tuple(line for line in lines if not line.startswith("#"))
    keys = [line for line in settings if line.startswith("PublicKey")]
    return (names or keys or ["?"])[0], settings
