"""One tailnet, judged: references, addresses, routes, hygiene.

What is unused, empty, said already or for everybody (*hygiene*) is judged once there
is no error: a misspelt name makes another one unused and a rule empty, and whoever
reads that first mends the wrong line.
"""

from __future__ import annotations

from dataclasses import dataclass

from tailgit.check.attachments import check_attachments
from tailgit.check.deadlines import check_deadlines
from tailgit.check.deliveries import check_deliveries
from tailgit.check.devices import check_devices
from tailgit.check.examples import check_examples
from tailgit.check.keys import check_keys
from tailgit.check.lists import check_lists
from tailgit.check.lookalikes import check_lookalikes
from tailgit.check.paths import check_paths
from tailgit.check.policy import check_policy
from tailgit.check.ranges import check_endpoints, check_ranges
from tailgit.check.references import check_references
from tailgit.check.routes import check_routes
from tailgit.check.rules import check_rules
from tailgit.check.unused import check_unused
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
    return _judged(tailnet, surroundings, sound=True)


_JUDGES = (
    check_references,
    check_devices,
    check_keys,
    check_attachments,
    check_deliveries,
    check_endpoints,
    check_routes,
    check_policy,
    check_lookalikes,
    check_lists,
)
_HYGIENE = check_paths, check_rules, check_unused, check_examples


def _judged(
    tailnet: Tailnet, surroundings: Surroundings, *, sound: bool
) -> tuple[Finding, ...]:
    """Every finding; those of hygiene only if nothing before was an error."""
    findings = Bounded()
    try:
        for judge in _JUDGES:
            findings.extend(judge(tailnet))
        findings.extend(check_ranges(tailnet, surroundings.routes))
        findings.extend(check_deadlines(tailnet, surroundings.now))
        if sound and not any(each.is_error for each in findings):
            for judge in _HYGIENE:
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
        for finding in _judged(tailnet, surroundings, sound=not wrong)
        if finding.place not in wrong and finding.code not in silent
    ]
    return in_order((*loaded.findings, *more))
