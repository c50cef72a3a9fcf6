"""One tailnet, judged: references, addresses, routes, hygiene."""

from __future__ import annotations

from tailgit.check.devices import check_devices
from tailgit.check.policy import check_policy
from tailgit.check.references import check_references
from tailgit.check.routes import check_routes
from tailgit.model.findings import Finding, in_order
from tailgit.model.tailnet import Tailnet

__all__ = ["check"]


def check(tailnet: Tailnet) -> tuple[Finding, ...]:
    """Everything that a parsed tailnet says wrongly, sorted by place.

    The policy's own tests are not run here: they need the relation of `access`.
    """
    return in_order(
        finding
        for judge in (check_references, check_devices, check_routes, check_policy)
        for finding in judge(tailnet)
    )
