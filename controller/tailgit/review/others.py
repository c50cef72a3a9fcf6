"""What also changes and is not compared: so that nobody takes silence for sameness.

Logins (`ssh`), capabilities of applications (`app`) and attributes of nodes are no
packets. Whether they mean the same on both sides is told; what they mean is not.
"""

from __future__ import annotations

from tailgit.access.attributes import node_attributes
from tailgit.access.postures import wanted_postures
from tailgit.access.selectors import devices_of, prefixes_of
from tailgit.access.ssh import ssh_lists
from tailgit.model.selectors import Selector
from tailgit.model.tailnet import Tailnet


def others(old: Tailnet, new: Tailnet) -> tuple[str, ...]:
    """The names of those that differ."""
    found = {
        "ssh rules": _logins(old) != _logins(new),
        "app grants": _apps(old) != _apps(new),
        "node attributes": _attributes(old) != _attributes(new),
    }
    return tuple(name for name, differs in found.items() if differs)


def _logins(tailnet: Tailnet) -> object:
    """Who may log in where, by device and in the order that decides."""
    if not tailnet.ssh_rules:
        return {}
    return {
        name: [
            (
                each.rule.action,
                each.check_period,
                sorted(device.name for device in each.sources),
                each.logins,
                each.rule.accept_env,
            )
            for each in admissions
        ]
        for name, admissions in ssh_lists(tailnet).items()
        if admissions
    }


def _apps(tailnet: Tailnet) -> list[object]:
    return [
        (
            _ends(tailnet, rule.src),
            _ends(tailnet, rule.dst),
            wanted_postures(tailnet, rule),
            rule.via,
            rule.expires,
            rule.app,
        )
        for rule in tailnet.rules
        if rule.app and not rule.disabled
    ]


def _ends(tailnet: Tailnet, selectors: tuple[Selector, ...]) -> list[object]:
    """What selectors are called, and what is behind them."""
    return [
        (
            str(each),
            [device.name for device in devices_of(tailnet, each)],
            prefixes_of(tailnet, each),
        )
        for each in selectors
    ]


def _attributes(tailnet: Tailnet) -> object:
    return (
        {name: given for name, given in node_attributes(tailnet).items() if given}
        if tailnet.node_attrs
        else {}
    ), [(each.ip_pool, each.app) for each in tailnet.node_attrs]
