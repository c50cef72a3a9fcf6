"""A tailnet's `tests:` as packets: does the network do what the policy says?

Each target of each test becomes an expectation for every device behind `src` and each
address family, with the meaning that `check` gives it (POLICY.md §8): `accept` holds
if some device behind the target is reached, `deny` if none is. A test without a
protocol tries TCP and UDP: one suffices to accept, neither may pass to deny.

Accepted probes go first and get a second, longer chance: a tunnel's first handshake
takes time. Denied ones go last, when tunnels that exist are up, so that what is
denied is not merely late.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tailgit.access.selectors import active_devices, addresses_in, devices_of
from tailgit.model.addresses import Address
from tailgit.model.findings import Place
from tailgit.model.policy import Target, Test
from tailgit.model.ports import NAMES, TCP, UDP
from tailgit.model.selectors import Kind
from tailgit.model.tailnet import Device, Tailnet
from tailgit.probe.executor import Executor
from tailgit.probe.probes import Outcome, Probe, Protocol, Result, listening

PATIENCE = 6.0
"""Seconds for the second chance: WireGuard repeats a lost handshake after five."""

_PROTOCOLS: dict[int | None, tuple[Protocol, ...]] = {
    None: ("tcp", "udp"),
    TCP: ("tcp",),
    UDP: ("udp",),
}


@dataclass(frozen=True, slots=True)
class Expectation:
    """One device and family of a test's source against one of its targets.

    Without `probes` it can't be judged by packets; `reason` says why.
    """

    place: Place
    src: str
    target: str
    family: str
    accept: bool
    probes: tuple[Probe, ...]
    reason: str = ""

    def __str__(self) -> str:
        verb = "reaches" if self.accept else "must not reach"
        return f"{self.src} {verb} {self.target}{f' {self.family}'.rstrip()}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An expectation, what its probes did, and whether it is met.

    `met` is None where nothing was probed. `notes` say which probes were at fault, or,
    where one of several suffices, which others failed.
    """

    expectation: Expectation
    met: bool | None
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()


def expectations(tailnet: Tailnet) -> tuple[Expectation, ...]:
    """Everything that `tests:` promise, in the order of the files."""
    return tuple(
        expectation
        for test in tailnet.tests
        for targets, accept in ((test.accept, True), (test.deny, False))
        for target in targets
        for expectation in _of_target(tailnet, test, target, accept)
    )


def verify(executor: Executor, wanted: Sequence[Expectation]) -> tuple[Verdict, ...]:
    """Send the probes of all expectations, and judge each; in their order."""
    probes = dict.fromkeys(p for each in wanted for p in each.probes)
    outcomes: dict[Probe, Outcome] = {}
    accepted = [each for each in wanted if each.accept]
    denied = dict.fromkeys(p for e in wanted if not e.accept for p in e.probes)
    with listening(executor, probes) as listeners:
        first = dict.fromkeys(p for each in accepted for p in each.probes)
        outcomes |= _by_probe(listeners.send(first))
        late = dict.fromkeys(
            p
            for e in accepted
            if e.probes and not _judge(e, outcomes).met
            for p in e.probes
        )
        if late:
            outcomes |= _by_probe(listeners.send(late, limit=PATIENCE))
        outcomes |= _by_probe(listeners.send(denied))
    return tuple(_judge(each, outcomes) for each in wanted)


def _by_probe(outcomes: Iterable[Outcome]) -> dict[Probe, Outcome]:
    return {outcome.probe: outcome for outcome in outcomes}


def _judge(expectation: Expectation, all_outcomes: dict[Probe, Outcome]) -> Verdict:
    outcomes = tuple(all_outcomes[probe] for probe in expectation.probes)
    if not outcomes:
        return Verdict(expectation, None, (), (expectation.reason,))
    if not expectation.accept:
        wrong = [o for o in outcomes if o.reached or o.result is Result.ERROR]
        return Verdict(expectation, not wrong, outcomes, tuple(map(str, wrong)))
    reached = {o.probe.dst for o in outcomes if o.result is Result.PASSED}
    failed = tuple(str(o) for o in outcomes if o.probe.dst not in reached)
    return Verdict(expectation, bool(reached), outcomes, failed)


def _of_target(
    tailnet: Tailnet, test: Test, target: Target, accept: bool
) -> Iterator[Expectation]:
    sources = [
        (device, version)
        for device in devices_of(tailnet, test.src)
        for version in sorted(
            {a.version for a in addresses_in(tailnet, test.src, device)}
        )
    ]
    made = [
        Expectation(
            target.place, src.name, target.text, f"IPv{version}", accept, probes
        )
        for src, version in sources
        if (probes := _probes(tailnet, test, target, src, version))
    ]
    if made:
        yield from made
    else:
        reason = _reason(tailnet, test, target)
        yield Expectation(
            target.place, str(test.src), target.text, "", accept, (), reason
        )


def _probes(
    tailnet: Tailnet, test: Test, target: Target, src: Device, version: int
) -> tuple[Probe, ...]:
    return tuple(
        Probe(src.name, dst.name, protocol, address, target.port)
        for dst, address in _behind(tailnet, target, src)
        if dst.name != src.name and address.version == version
        for protocol in _PROTOCOLS.get(test.protocol, ())
    )


def _behind(
    tailnet: Tailnet, target: Target, src: Device
) -> Iterator[tuple[Device, Address]]:
    """The devices behind a target, with the addresses that it names."""
    if target.selector.kind is Kind.SELF:
        for device in active_devices(tailnet).values():
            if not device.tags and not src.tags and device.owner == src.owner:
                yield from ((device, address) for address in device.addresses)
        return
    for device in devices_of(tailnet, target.selector):
        for address in addresses_in(tailnet, target.selector, device):
            yield device, address


def _reason(tailnet: Tailnet, test: Test, target: Target) -> str:
    """Why there is not one packet to send."""
    if test.protocol not in _PROTOCOLS:
        name = NAMES.get(test.protocol or 0, str(test.protocol))
        return f"{name} can't be probed yet, only tcp and udp"
    if not devices_of(tailnet, test.src):
        return f"no device is behind `{test.src}`"
    return f"no other device is behind `{target.selector}`"
