"""What a policy says, parsed: rules and tests, ssh, postures, ipsets, approvers.

Frozen values that the loader builds; selectors are parsed, every one keeps its place.
What the selectors stand for is `access`'s business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tailgit.model.addresses import Network
from tailgit.model.deadline import Deadline
from tailgit.model.findings import Origin, Place
from tailgit.model.ports import Ports
from tailgit.model.selectors import Selector

Attribute = str | int | bool
"""A value of a device's attribute, and what a posture compares it with."""

Operator = Literal[
    "==", "!=", "<", "<=", ">", ">=", "IN", "NOT IN", "IS SET", "NOT SET"
]


@dataclass(frozen=True, slots=True)
class IpSet:
    """A named set of addresses; `prefixes` is what is left after all its entries.

    `mentions` are the hosts and ipsets that its entries name.
    """

    name: str
    prefixes: tuple[Network, ...]
    place: Place
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of a posture; `values` has one entry but for IN, NOT IN, (NOT) SET."""

    attribute: str
    operator: Operator
    values: tuple[Attribute, ...] = ()


@dataclass(frozen=True, slots=True)
class Posture:
    """What a device must be like: all conditions hold."""

    name: str
    conditions: tuple[Condition, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class App:
    """An application capability of a grant; each value is canonical JSON text."""

    capability: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SshRule:
    """Who may log in as whom (POLICY.md §6).

    `users` are login names, `autogroup:nonroot` and `localpart:*@DOMAIN` as written
    and trimmed. `check_period` is in seconds, 0 for `always`, None for the default.
    """

    action: Literal["accept", "check"]
    src: tuple[Selector, ...]
    dst: tuple[Selector, ...]
    users: tuple[str, ...]
    place: Place
    check_period: int | None = None
    accept_env: tuple[str, ...] = ()
    posture: tuple[str, ...] = ()
    name: str = ""
    description: str = ""
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class SshTest:
    """An example of the ssh rules: login names that `src` may use on every `dst`."""

    src: Selector
    dst: tuple[Selector, ...]
    place: Place
    accept: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    attributes: tuple[tuple[str, Attribute], ...] = ()


@dataclass(frozen=True, slots=True)
class NodeAttr:
    """Attributes for devices: every target gets every one of `attributes`."""

    target: tuple[Selector, ...]
    place: Place
    attributes: tuple[str, ...] = ()
    ip_pool: tuple[Network, ...] = ()
    app: tuple[App, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One box of the policy: any of `src` may reach any of `dst` on `ports`.

    An acl whose destinations open different ports becomes one rule for each port
    set; a grant is always one. Rules only allow; their order means nothing. With
    `via` (tags) only routers that have one of them carry it; with `posture` the source
    must have one of those; `app` capabilities open no ports.
    """

    src: tuple[Selector, ...]
    dst: tuple[Selector, ...]
    ports: Ports
    place: Place
    section: Literal["acls", "grants"] = "grants"
    name: str = ""
    description: str = ""
    disabled: bool = False
    expires: Deadline | None = None
    posture: tuple[str, ...] = ()
    via: tuple[str, ...] = ()
    app: tuple[App, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A destination of a test: a selector and exactly one port."""

    selector: Selector
    port: int
    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Test:
    """An example of the policy: `src` reaches all of `accept` and none of `deny`.

    `protocol` None means TCP, UDP or ICMP: one of them suffices (POLICY.md §8).
    """

    __test__ = False  # pytest would collect the class by its name

    src: Selector
    accept: tuple[Target, ...]
    deny: tuple[Target, ...]
    place: Place
    protocol: int | None = None
    attributes: tuple[tuple[str, Attribute], ...] = ()


@dataclass(frozen=True, slots=True)
class AutoApprovers:
    """Who may have which routes approved: prefix -> unparsed selectors.

    `origins` runs parallel to `routes`: the list of approvers that each came from.
    `exit_node` names who may be an exit node; it alone approves 0.0.0.0/0 and ::/0.
    """

    routes: tuple[tuple[Network, tuple[str, ...]], ...] = ()
    origins: tuple[Origin, ...] = field(default=(), compare=False, repr=False)
    exit_node: tuple[str, ...] = ()
    exit_origins: tuple[Place, ...] = field(default=(), compare=False, repr=False)
