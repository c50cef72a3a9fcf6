"""One tailnet, judged: references, addresses, routes, hygiene."""

from __future__ import annotations

from dataclasses import dataclass

from tailgit.check.devices import check_devices
from tailgit.check.policy import check_policy
from tailgit.check.references import check_references
from tailgit.check.routes import check_routes
from tailgit.load import Loaded
from tailgit.model.addresses import Network
from tailgit.model.codes import ABSENCES, too_many
from tailgit.model.findings import Bounded, Finding, TooManyFindings, in_order
from tailgit.model.tailnet import Tailnet

__all__ = ["Surroundings", "check", "examine"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a check may know besides the repository; nothing by default.

    `now` is in epoch seconds, for deadlines; `routes` are the prefixes that the
    machine running the check routes somewhere, its default route left out.
    """

    now: int | None = None
    routes: tuple[Network, ...] = ()


_NOWHERE = Surroundings()


def check(
    tailnet: Tailnet, surroundings: Surroundings = _NOWHERE
) -> tuple[Finding, ...]:
    """Everything that a parsed tailnet says wrongly, sorted by place.

    The policy's own tests are not run here: they need the relation of `access`.
    """
    findings = Bounded()
    try:
        for judge in (check_references, check_devices, check_routes, check_policy):
            findings.extend(judge(tailnet))
    except TooManyFindings:
        return in_order((*findings, too_many(tailnet.place)))
    return in_order(findings)


def examine(
    loaded: Loaded, surroundings: Surroundings = _NOWHERE
) -> tuple[Finding, ...]:
    """The findings of loading and of `check`, all at once.

    Where loading found errors, what could be built is checked too, so that nobody
    mends a repository in two rounds; a place that has an error already gets no other,
    and what is not there is not missed while a part of the files could not be read.
    """
    tailnet = loaded.tailnet or loaded.partial
    if tailnet is None:
        return loaded.findings
    wrong = {finding.place for finding in loaded.findings if finding.is_error}
    silent = frozenset[str]() if loaded.whole else ABSENCES
    more = [
        finding
        for finding in check(tailnet, surroundings)
        if finding.place not in wrong and finding.code not in silent
    ]
    return in_order((*loaded.findings, *more))
