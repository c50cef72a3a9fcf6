"""A policy of Tailscale or Headscale, written as our YAML.

The sections have the same names and meaning here, so this is a translation of form:
keys and older names get one spelling, comments and order stay. Three things are more
than that. A policy without any rules allows everything, which is written out, since
here absence is no rule. A section that tailgit does not know is kept as a comment. And
Headscale's users without an e-mail address get one, where the caller says which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tailgit.edit.fmt.tree import Collection, Comment, Entry, File, Scalar
from tailgit.errors import InvalidTailnet
from tailgit.importers.draft import judged
from tailgit.importers.layout import as_yaml, listing, mapping, remark
from tailgit.importers.notes import Imported, Note, in_order, of_findings
from tailgit.importers.people import People
from tailgit.importers.remarks import quoted, read_remarks, source_at
from tailgit.load.decode import decode
from tailgit.load.hujson import read_hujson
from tailgit.load.located import Items, Map
from tailgit.load.secrets import find_secrets
from tailgit.load.shape import root_shape
from tailgit.load.source import POLICY_FILE, ROOT_FILE
from tailgit.load.spellings import respell
from tailgit.model.codes import finding
from tailgit.model.findings import Bounded, Finding, Place
from tailgit.model.near import meant
from tailgit.model.text import shown

FILE = "policy.yaml"
_RULES = ("acls", "grants")
_TAILNET = b"""tailnet:
  format: 1
  name: any
  domain: any.internal
  ipv4: 100.64.0.0/10
  ipv6: fd7a:115c:a1e0::/48
"""
_KEPT_LINES = 200
"""Lines of an unknown section that are kept as a comment; more is named, not kept."""


@dataclass(slots=True)
class _Policy:
    """One policy on its way: values with places, the tree with comments."""

    file: str
    text: str
    sections: Map
    tree: File
    notes: list[Note] = field(default_factory=list)

    @property
    def root(self) -> Collection:
        assert self.tree.root is not None  # _read has seen to it
        return self.tree.root


def import_policy(data: bytes, file: str, people: People | None = None) -> Imported:
    """The policy as our file; `InvalidTailnet` with what makes it unreadable.

    `people` says who Headscale's users are; without it they stay as they are.
    """
    policy = _read(data, file)
    policy.notes += _judged(data, file)
    _unknown_sections(policy)
    if people is not None:
        policy.notes += people.rename(policy.root, policy.sections)
    _write_out(policy)
    return Imported({FILE: as_yaml(policy.tree)}, in_order(policy.notes))


def _read(data: bytes, file: str) -> _Policy:
    findings: list[Finding] = Bounded()
    findings.extend(find_secrets(data, file))
    sections = read_hujson(data, file, findings)
    raw = _keys(sections) if sections is not None else {}
    if sections is not None:
        respell(sections, findings)
        findings.extend(_surrogates(sections))
    if sections is None or any(each.is_error for each in findings):
        raise InvalidTailnet(findings)
    text = decode(data, file, [])
    assert text is not None  # read_hujson has decoded it, too
    policy = _Policy(file, text, sections, read_remarks(text))
    if policy.tree.root is None:
        # An empty pipe would become a policy that allows everything.
        message = "there is no policy in it"
        empty = finding("yaml-root", Place(file), message, "an empty one is `{}`")
        raise InvalidTailnet([empty])
    policy.notes += _spelt(policy.tree.root, sections, raw)
    return policy


def _keys(value: Map | Items) -> dict[int, list[str]]:
    """The keys of each mapping as they are written, before one is respelt."""
    found: dict[int, list[str]] = {}
    waiting: list[Map | Items] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Map):
            found[id(each)] = list(each)
        inner = each.values() if isinstance(each, Map) else each
        waiting += [one for one in inner if isinstance(one, (Map, Items))]
    return found


def _surrogates(value: Map | Items) -> Iterator[Finding]:
    """Halves of a character, `\\ud83d` alone: no text in UTF-8 can have one."""
    pairs = value.items() if isinstance(value, Map) else enumerate(value)
    for step, inner in pairs:
        texts = [each for each in (step, inner) if isinstance(each, str)]
        if any("\ud800" <= c <= "\udfff" for text in texts for c in text):
            at = value.key(str(step)) if isinstance(value, Map) else value.at(step)
            message = f"half of a character in `{shown(' '.join(texts)[:60])}`"
            yield finding("bad-character", at, message, "write the whole character")
        if isinstance(inner, (Map, Items)):
            yield from _surrogates(inner)


def _spelt(
    tree: Collection, value: Map | Items, raw: Mapping[int, list[str]]
) -> Iterator[Note]:
    """Gives the tree's keys and words the spelling of `value`, which it came from."""
    if isinstance(value, Map):
        names = list(value)
        kept, at = [], 0
        before = raw[id(value)]
        for entry, old in zip(tree.entries, before, strict=True):
            if len(before) != len(names) and old.startswith("#") and old not in value:
                place = value.at()
                message = f"`{shown(old)}` is the state of a web interface"
                yield Note("left-out", place, message)
                continue
            name, at = names[at], at + 1
            if name != old:
                entry.key = quoted(name)
                message = f"`{shown(old)}` is spelt `{name}`"
                yield Note("changed", value.key(name), message)
            kept.append(entry)
        tree.entries = kept
        inner = list(value.values())
    else:
        inner = list(value)
    for entry, one in zip(tree.entries, inner, strict=True):
        if isinstance(one, (Map, Items)) and isinstance(entry.value, Collection):
            yield from _spelt(entry.value, one, raw)
        elif isinstance(entry.value, Scalar) and entry.value.value != str(one):
            behind = entry.value.behind
            entry.value = quoted(str(one))
            entry.value.behind = behind


def _judged(data: bytes, file: str) -> list[Note]:
    """What `check` says of the policy as it is, at its own places.

    Mistakes are judged without a tailnet, since its devices are not known here; what
    is not enforced is judged in one, since alone a policy is enforced nowhere.
    """
    _, findings = judged({POLICY_FILE: data})
    alone = [each for each in findings if each.code != "unknown-section"]
    notes = [each for each in of_findings(alone, file) if each.kind == "mistake"]
    _, findings = judged({ROOT_FILE: _TAILNET, POLICY_FILE: data})
    return notes + [
        each for each in of_findings(findings, file) if each.kind == "not-enforced"
    ]


def _unknown_sections(policy: _Policy) -> None:
    """Out of the tree, into a comment and a note; a misspelt one is an error.

    To leave out `grnts` would leave a policy without rules, which allows everything.
    """
    known = root_shape().fields or {}
    kept: list[Entry] = []
    lost: list[Comment] = []
    for entry, key in zip(policy.root.entries, list(policy.sections), strict=True):
        at = policy.sections.key(key)
        if key in known:
            kept.append(entry)
            continue
        near = meant(key, known)
        if near:
            message = f"unknown section `{shown(key)}`"
            raise InvalidTailnet([finding("unknown-section", at, message, near)])
        help_ = "what it says does not hold here"
        message = f"tailgit does not know the section `{shown(key)}`"
        if not any(name in policy.sections for name in _RULES):
            # `{"message": "forbidden"}` from some API is no policy without rules.
            why = "write `acls` or `grants` if it is a policy all the same"
            raise InvalidTailnet([finding("unknown-section", at, message, why)])
        lines = source_at(policy.text, at.line, at.column).split("\n")
        if len(lines) <= _KEPT_LINES:
            help_ += "; it is kept as a comment"
            lost.append(remark(f"Not imported: {shown(key)}"))
            lost[-1].blank = True
            lost += [*entry.leading, *(remark(shown(each.rstrip())) for each in lines)]
        policy.notes.append(Note("left-out", at, message, help_))
    policy.root.entries = kept
    policy.tree.tail += lost


def _write_out(policy: _Policy) -> None:
    """The rule that a policy without rules has: everybody may reach everything."""
    if any(name in policy.sections for name in _RULES):
        return
    message = "neither `acls` nor `grants`: everything is allowed, and now it says so"
    help_ = "narrow the rule, or write `grants: []` for nothing at all"
    policy.notes.append(Note("changed", Place(policy.file), message, help_))
    anything = {key: listing([quoted("*")]) for key in ("src", "dst", "ip")}
    entry = Entry(None, mapping({**anything}), [], [], False)
    entry.leading = [remark("The policy had no rules at all, which allows everything.")]
    section = Collection(flow=False, mapping=False, line=0, entries=[entry])
    grants = Entry(quoted("grants"), section, [], [], False)
    policy.root.flow = False
    policy.root.entries.append(grants)
