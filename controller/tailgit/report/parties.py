"""How reports of access say who, what, on which ports and why."""

from __future__ import annotations

from collections.abc import Sequence

from tailgit.access.lines import OWN, Line, Reason
from tailgit.access.parties import Member, Party, Subnet
from tailgit.model.deadline import Deadline, deadline_text
from tailgit.model.selectors import Kind

NO_LIMIT = 10**9
MOST_NAMES = 4
"""Of devices, people and subnets, where a count stands for the rest."""


_EMPTY: dict[Kind | None, str] = {
    Kind.PREFIX: "nobody has or carries it",
    Kind.HOST: "nobody has or carries it",
    Kind.IPSET: "nobody has or carries it",
    Kind.INTERNET: "no exit node",
    Kind.SHARED: "nothing is shared here",
}
"""What is said of an end with nobody behind it."""


def full_name(party: Party, names: int = MOST_NAMES) -> str:
    """A name with what else a rule asks at this end."""
    name = "their own devices" if party.name == OWN else listed(party.names, names)
    if party.asks:
        name += f" with {' or '.join(party.asks)}"
    if party.via:
        name += f" via {' or '.join(party.via)}"
    return name


def who_it_is(party: Party, names: int) -> str:
    """Who that is, in brackets: few by name, many by number."""
    if party.is_empty:
        return f" ({_EMPTY.get(party.kind, 'no device yet')})"
    parts = []
    devices = tuple(map(device_name, party.members))
    if len(devices) > names and party.names != devices:
        parts += [f"{party.people} people"] * (party.people > 1)
        parts.append(f"{len(devices)} devices")
    elif party.names != devices:
        parts += devices
    for subnet in party.subnets[:names]:
        said = subnet_text(subnet, names)
        is_name = (subnet.prefix,) == party.names
        parts.append(said.removeprefix(subnet.prefix).strip() if is_name else said)
    if len(party.subnets) > names:
        parts.append(f"{len(party.subnets) - names} more subnets")
    said = ", ".join(filter(None, parts))
    return f" ({said})" if said else ""


def subnet_text(subnet: Subnet, names: int = NO_LIMIT) -> str:
    if not subnet.routers:
        return subnet.prefix
    return f"{subnet.prefix} behind {listed(subnet.routers, names)}"


def device_name(member: Member) -> str:
    if len(member.versions) == 1:
        return f"{member.name} by IPv{member.versions[0]} only"
    return member.name


def listed(texts: Sequence[str], most: int) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def ports_text(line: Line) -> str:
    said = []
    if line.ports.ranges:
        text = str(line.ports)
        said.append("any port" if text == "*" else text)
    if line.apps:
        said.append(f"app {', '.join(line.apps)}")
    return "; ".join(said) or "no ports"


def until_text(until: Deadline | None) -> str:
    return f"  until {deadline_text(until)}" if until is not None else ""


def count(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def because(reason: Reason, here: Party) -> str:
    rule = reason.rule
    said = f"{rule.place.file}:{rule.place.line}"
    through = [each for each in reason.through if each not in here.names]
    if through:
        said += f"  as {listed(through, MOST_NAMES)}"
    text = description(reason)
    return f"{said}  {text}" if text else said


def description(reason: Reason) -> str:
    rule = reason.rule
    return ": ".join(filter(None, (rule.name, rule.description.split("\n")[0])))
