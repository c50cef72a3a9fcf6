"""What the engine answers about `ssh` and `nodeAttrs`, in the corpus's own shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tailgit.access.attributes import node_attributes
from tailgit.access.ssh import Admission, ssh_lists
from tailgit.model.tailnet import Tailnet

Row = dict[str, Any]


def answer_ssh(tailnet: Tailnet) -> dict[str, list[Row]]:
    """The ordered rules of each node, as Tailscale sends them."""
    return wire(ssh_lists(tailnet))


def answer_node_attrs(tailnet: Tailnet) -> dict[str, list[str]]:
    """The attributes of each node, sorted."""
    return {name: list(each) for name, each in node_attributes(tailnet).items()}


def wire(lists: Mapping[str, Iterable[Admission]]) -> dict[str, list[Row]]:
    """Lists of admissions as rows of plain JSON."""
    return {name: [_row(each) for each in found] for name, found in lists.items()}


def _row(admission: Admission) -> Row:
    """On the wire `*` -> `=` is any login, and `root` -> nothing takes root out."""
    logins = admission.logins
    users = {"root": "", **{name: name for name in logins.names}}
    if logins.any_but_root:
        users["*"] = "="
    return {
        "action": admission.rule.action,
        "principals": sorted({str(address) for address in admission.principals}),
        "users": users,
        "accept_env": list(admission.rule.accept_env),
    }


def admits(rows: Iterable[Row], address: str, login: str) -> str:
    """What a client makes of such rows: accept, check or deny. First match decides."""
    for row in rows:
        account = row["users"].get(login, row["users"].get("*", ""))
        if login and account and address in row["principals"]:
            return str(row["action"])
    return "deny"
