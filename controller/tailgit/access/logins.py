"""Why somebody may log in under a name, or why not: the `ssh` rules behind an answer.

The rules for packets are another matter: an ssh rule opens no port, so an answer says
where the port that a login needs is closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from tailgit.access.deadlines import as_of
from tailgit.access.ends import End, read_selector
from tailgit.access.matching import rules_between
from tailgit.access.postures import attributes_of, unmet
from tailgit.access.selectors import devices_of, is_identity_of
from tailgit.access.ssh import (
    Decision,
    logins_of,
    person_of,
    rules_in_order,
    ssh_decision,
)
from tailgit.model.deadline import Deadline
from tailgit.model.policy import SshRule
from tailgit.model.ports import TCP
from tailgit.model.selectors import Kind
from tailgit.model.tailnet import Device, Tailnet

PORT = 22


@dataclass(frozen=True, slots=True)
class Login:
    """The answer to «may SRC log in at DST as LOGIN»: for all of both, or not.

    `is_checked` says that somewhere they must show who they are again.
    """

    allowed: bool
    sentence: str
    rules: tuple[SshRule, ...] = ()
    notes: tuple[str, ...] = ()
    is_checked: bool = False


def explain_login(
    tailnet: Tailnet, src: str, dst: str, login: str, at: Deadline | None = None
) -> Login:
    """Why `src` may log in at `dst`, or why not; `UsageError` if a name is unknown."""
    tailnet = as_of(tailnet, at)
    one, other = read_selector(tailnet, src), read_selector(tailnet, dst)
    sources, targets = devices_of(tailnet, one), devices_of(tailnet, other)
    asked = f"{src} -> {dst} as {login}"
    for selector, found in ((one, sources), (other, targets)):
        if not found:
            return Login(False, f"{asked}: no, nobody is behind `{selector}`")
    pairs = list(product(sources, targets))
    got = {pair: ssh_decision(tailnet, *pair, login) for pair in pairs}
    return _answer(tailnet, asked, login, got)


_Pair = tuple[Device, Device]


def _answer(
    tailnet: Tailnet, asked: str, login: str, got: dict[_Pair, Decision]
) -> Login:
    rules = sorted(
        {each.rule.place: each.rule for each in got.values() if each.rule}.items()
    )
    passed = [pair for pair, each in got.items() if each.rule is not None]
    blocked = [pair for pair, each in got.items() if each.rule is None]
    checked = any(each.action == "check" for each in got.values())
    if not blocked:
        said = "yes, after a check" if checked else "yes"
        notes = tuple(_closed(tailnet, passed))
    elif passed:
        said = "only in part"
        notes = (f"allowed for {_listed(passed)}", f"not for {_listed(blocked)}")
    else:
        said = "no ssh rule allows it"
        found = (note for pair in blocked for note in _nearest(tailnet, *pair, login))
        notes = tuple(dict.fromkeys(found))
    behind = tuple(rule for _, rule in rules)
    return Login(not blocked, f"{asked}: {said}", behind, notes, checked)


def _closed(tailnet: Tailnet, pairs: list[_Pair]) -> Iterator[str]:
    """Pairs that may log in and can't get there."""
    closed = [
        (src, dst)
        for src, dst in pairs
        if src is not dst
        and not any(
            any(rules_between(tailnet, a, b, TCP, PORT))
            for a, b in zip(_ends(src), _ends(dst), strict=True)
        )
    ]
    if closed:
        yield f"no rule opens tcp port {PORT} for {_listed(closed)}"


def _ends(device: Device) -> tuple[End, ...]:
    return tuple(End(address, device, True) for address in device.addresses)


def _nearest(tailnet: Tailnet, src: Device, dst: Device, login: str) -> Iterator[str]:
    """Rules that name both ends, and what is in their way."""
    for rule in rules_in_order(tailnet):
        named = any(is_identity_of(tailnet, each, src) for each in rule.src)
        if not _leads_to(tailnet, rule, src, dst):
            continue
        if not named:
            if src.tags and any(each.kind is not Kind.TAG for each in rule.src):
                who = ", ".join(f"`{each}`" for each in rule.src[:3])
                yield f"{src.name} is tagged, so it is not in {who} ({rule.place})"
            continue
        postures = rule.posture or tailnet.default_src_posture
        missing = unmet(tailnet, postures, attributes_of(src)) if postures else ()
        if postures and len(missing) == len(postures):
            for line in missing:
                yield f"{rule.place} would allow it, but {src.name}: {line}"
        elif not (names := logins_of(rule, person_of(src))).holds(login):
            listed = [*names.names, *(["anybody but root"] * names.any_but_root)]
            said = ", ".join(listed) or "nobody"
            yield f"{rule.place} lets {src.name} in as {said}, you asked {login}"


def _leads_to(tailnet: Tailnet, rule: SshRule, src: Device, dst: Device) -> bool:
    person = person_of(src)
    return any(
        is_identity_of(tailnet, each, dst)
        or (each.kind is Kind.SELF and person is not None and person == person_of(dst))
        for each in rule.dst
    )


def _listed(pairs: list[_Pair]) -> str:
    names = [f"{src.name} -> {dst.name}" for src, dst in pairs]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more
