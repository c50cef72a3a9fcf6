"""A difference as text: who gains or loses what by which line, and then trust.

A line for each party and destination with its sign, where it comes from on the right,
and below it who that is in devices. Nothing is worked out here, and no line is left
out; only lists of names are cut, with a count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tailgit.access.deadlines import Until
from tailgit.access.parties import Party
from tailgit.model.deadline import deadline_text
from tailgit.model.ports import ALL, ICMP, ICMPV6, NAMES, TCP, UDP, Ports
from tailgit.model.text import shown
from tailgit.report.columns import headed, wrapped
from tailgit.report.parties import MOST_NAMES, count, device_name, listed, subnet_text
from tailgit.report.trust_change import trust_sections, trust_verdict
from tailgit.review.access import AccessChange
from tailgit.review.causes import COMES_OR_GOES, Cause
from tailgit.review.counting import Counts
from tailgit.review.keeps import Kept
from tailgit.review.lines import ChangedLine
from tailgit.review.trust import TrustChange

_MOST_CAUSES = 3
_MOST_KEPT = 8

NO_DEVICE = "no device yet"


@dataclass(frozen=True, slots=True)
class Compared:
    """One tailnet on both sides: `was` and `is_` say whether there was and is one."""

    root: str
    name: str
    change: AccessChange
    trust: TrustChange
    was: bool = True
    is_: bool = True
    is_alone: bool = False

    @property
    def is_noop(self) -> bool:
        """Whether neither half changes: nobody's access, and nothing behind a name."""
        return self.change.is_noop and self.trust.is_noop and self.was and self.is_


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """Every tailnet that was compared, and the commits of both sides, if any."""

    tailnets: tuple[Compared, ...]
    base: str | None = None
    head: str | None = None
    as_merged: bool = False

    @property
    def is_noop(self) -> bool:
        """Whether neither access nor trust changes in any tailnet."""
        return all(each.is_noop for each in self.tailnets)


def as_text(report: ChangeReport) -> str:
    blocks = [_block(report, each) for each in report.tailnets]
    lines = [line for block in blocks for line in (*block, "")]
    return "\n".join(map(shown, lines[:-1]))


def _block(report: ChangeReport, each: Compared) -> list[str]:
    head = f"{each.name}: {_commit(report.base)} -> {_commit(report.head)}"
    if each.root and len(report.tailnets) > 1:
        head += f"  in {each.root}"
    if report.as_merged:
        head += ", once merged"
    notes = [] if each.was else ["a new tailnet"]
    notes += [] if each.is_ else ["the tailnet is removed"]
    lines = [f"{head}{''.join(f', {note}' for note in notes)}", ""]
    change = each.change
    if each.is_noop:
        return [*lines, "No change."]
    if change.is_noop:
        # Half a verdict would be taken for the whole one.
        lines.append(f"No change in access; {trust_verdict(each.trust)}.")
        return [*lines, *trust_sections(each.trust)]
    lines.append("Access")
    for sign, some in (("+", change.gained), ("-", change.lost)):
        entries = _entries(sign, [line for line in some if not line.is_implied])
        # Where nobody has a device, it needn't be said of each line.
        lines += [e for e in entries if not (each.is_alone and e.strip() == NO_DEVICE)]
    for kept in change.kept:
        lines += _kept(kept)
    verdict = trust_verdict(each.trust)
    sums = (*_sums(change, each), f"{verdict[0].upper()}{verdict[1:]}.")
    lines += ["", *(f"  {line}" for line in sums)]
    return [*lines, *trust_sections(each.trust)]


def _commit(commit: str | None) -> str:
    return commit[:7] if commit else "files"


# Lines of access


def _entries(sign: str, lines: Sequence[ChangedLine]) -> Iterator[str]:
    """Lines; those of a device that comes or goes, and the parts of a rule, as one."""
    joined: dict[object, list[ChangedLine]] = {}
    for number, line in enumerate(lines):
        key: object = number
        if _is_about_itself(line):
            key = (line.src.names, line.causes, line.is_ahead)
        elif line.is_by_rule:
            key = line.rules[0].place
        joined.setdefault(key, []).append(line)
    for some in joined.values():
        if some[0].is_by_rule and not _is_whole_rule(some):
            yield from _parts(sign, some)
        elif len(some) == 1:
            yield from _entry(sign, some[0])
        else:
            yield from _joined(sign, some)


def _is_whole_rule(lines: Sequence[ChangedLine]) -> bool:
    """Whether it is one line, and that calls its ends what its rule calls them."""
    line, rule = lines[0], lines[0].rules[0]
    return (
        len(lines) == 1
        and set(line.src.names) <= set(map(str, rule.src))
        and (line.is_self or set(line.dst.names) <= set(map(str, rule.dst)))
    )


def _parts(sign: str, lines: Sequence[ChangedLine]) -> Iterator[str]:
    """A rule as it is written, and below it the parts of it that are news."""
    rule = lines[0].rules[0]
    src, dst = (
        listed(list(map(str, some)), MOST_NAMES) for some in (rule.src, rule.dst)
    )
    what = f"{src} -> {dst}  {ports_words(rule.ports)}"
    yield from _headed(sign, what, lines[0].causes)
    also = "was not open before" if sign == "+" else "nothing else opens"
    yield f"      of that, what {also}:"
    for line in lines:
        what = f"{_name(line.src)} -> {_name(line.dst)}  {_ports(line)}"
        yield from wrapped(what, "      ", "          ")
        detail = _who(line)
        if detail:
            yield from wrapped(detail, "          ")


def _is_about_itself(line: ChangedLine) -> bool:
    """Whether it has no other cause than that its source comes or goes."""
    names = tuple(member.name for member in line.src.members)
    return bool(names) and all(
        cause.who == names and cause.text in COMES_OR_GOES for cause in line.causes
    )


def _entry(sign: str, line: ChangedLine) -> Iterator[str]:
    what = f"{_name(line.src)} -> {_name(line.dst)}  {_ports(line)}"
    yield from _headed(sign, what, line.causes)
    detail = _who(line)
    if detail:
        yield from wrapped(detail, "      ")


def _joined(sign: str, lines: Sequence[ChangedLine]) -> Iterator[str]:
    parts = "; ".join(f"{_name(line.dst)} {_ports(line)}" for line in lines)
    yield from _headed(sign, f"{_name(lines[0].src)} -> {parts}", lines[0].causes)


def _headed(sign: str, what: str, causes: Sequence[Cause]) -> Iterator[str]:
    """A line with what caused it."""
    said = [_cause(each) for each in causes[:_MOST_CAUSES]]
    if len(causes) > _MOST_CAUSES:
        said.append(f"and {count(len(causes) - _MOST_CAUSES, 'more cause')}")
    return headed(sign, what, said)


def _cause(cause: Cause) -> str:
    where = f"{cause.place.file}:{cause.place.line}"
    return f"{where}{' before' * cause.is_old} ({cause.text})"


def _name(party: Party) -> str:
    own = party.names == ("autogroup:self",)
    name = "their own devices" if own else listed(party.names, MOST_NAMES)
    if party.asks:
        name += f" with {' or '.join(party.asks)}"
    if party.via:
        name += f" via {' or '.join(party.via)}"
    return name or "nobody"


def _ports(line: ChangedLine) -> str:
    return f"{ports_words(line.ports)}{_time(line)}"


def ports_words(ports: Ports) -> str:
    """`tcp/22,443`, `udp/53`, `any`; ping is not said where there is more."""
    by_protocol: dict[int, list[str]] = {}
    for protocol, first, last in ports.ranges:
        text = str(first) if first == last else f"{first}-{last}"
        by_protocol.setdefault(protocol, []).append(text)
    everything = f"{ALL[0]}-{ALL[1]}"
    others = {p: t for p, t in by_protocol.items() if p not in (ICMP, ICMPV6)}
    if not others:
        return "ping"
    if others == {TCP: [everything], UDP: [everything]}:
        return "any"
    if set(others) == {TCP, UDP} and others[TCP] == others[UDP]:
        return f"tcp,udp/{','.join(others[TCP])}"
    return " ".join(
        NAMES.get(protocol, f"protocol-{protocol}")
        + ("" if texts == [everything] else f"/{','.join(texts)}")
        for protocol, texts in sorted(others.items())
    )


def _time(line: ChangedLine) -> str:
    """When it ends, and when it ended before."""
    if line.was_held and line.is_held:
        return f" {_end(line.until)} (before: {_end(line.was)})"
    until = line.until if line.is_held else line.was
    return f" {_end(until)}" if until is not None else ""


def _end(until: Until) -> str:
    return "without end" if until is None else f"until {deadline_text(until)}"


def _who(line: ChangedLine) -> str:
    """The devices behind both names, if the names do not say them already."""
    if line.is_ahead:
        return NO_DEVICE
    src, dst = _devices(line.src), _devices(line.dst)
    if src == _name(line.src) and dst == _name(line.dst):
        return ""
    several = len(line.src.members) + len(line.src.subnets) > 1
    if line.is_held:
        verb = "reach" if several else "reaches"
    else:
        verb = "no longer reach" if several else "no longer reaches"
    return f"{src} {verb} {dst}" if src and dst else src or dst


def _devices(party: Party) -> str:
    names = [device_name(member) for member in party.members]
    if len(names) > MOST_NAMES:
        people = f"{party.people} people, " * (party.people > 1)
        names = [f"{people}{len(names)} devices"]
    subnets = [subnet_text(each, MOST_NAMES) for each in party.subnets[:MOST_NAMES]]
    if len(party.subnets) > MOST_NAMES:
        subnets.append(f"{len(party.subnets) - MOST_NAMES} more subnets")
    return ", ".join((*names, *subnets))


# What stays, and the sums


def _kept(kept: Kept) -> Iterator[str]:
    if not kept.lines:
        yield f"  = {kept.who} keeps nothing"
        return
    said = [
        f"{listed(line.dst.names, MOST_NAMES)} {ports_words(line.ports)}"
        + _through(line.reasons[0].through, kept.who)
        + f" ({line.reasons[0].rule.place.file}:{line.reasons[0].rule.place.line})"
        for line in kept.lines[:_MOST_KEPT]
    ]
    if len(kept.lines) > _MOST_KEPT:
        said.append(f"and {len(kept.lines) - _MOST_KEPT} more")
    yield from wrapped(f"{kept.who} keeps {'; '.join(said)}", "  = ", "      ")


def _through(names: Iterable[str], who: str) -> str:
    listed_ = [name for name in names if name != who]
    return f" through {listed(listed_, MOST_NAMES)}" if listed_ else ""


def _sums(change: AccessChange, each: Compared) -> Iterator[str]:
    if each.is_alone:
        yield "No devices here: two stand for each name that the change is about."
        return
    yield sums_text(change.counts)
    ahead = [line for line in (*change.gained, *change.lost) if line.is_ahead]
    if ahead:
        yield f"{count(len(ahead), 'line')} for devices that nobody has yet."


def sums_text(counts: Counts) -> str:
    gain, lose = counts.gain, counts.lose
    gains = f"{count(gain, 'device pair')} gain{'s' * (gain == 1)} access"
    same = f"{counts.unchanged} {'is' if counts.unchanged == 1 else 'are'} unchanged"
    return f"{gains}, {lose} lose{'s' * (lose == 1)} it, {same}."
