"""Whether the controller still gets in: what counts as proof of that, and what not.

Each case is a repository as people write it, read by the loader.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tailgit.guard.lockout import lockout
from tailgit.load import load
from tailgit.model.tailnet import Tailnet

TAILNET = """\
tailnet:
  format: 1
  name: acme
  domain: acme.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
  controller: {controller}
users:
  ana@acme.com: {{}}
tagOwners: {{tag:ops: [], tag:db: [], tag:gw: []}}
autoApprovers: {{routes: {{10.20.0.0/16: [tag:gw]}}}}
devices:
  ops-1:
    tags: [tag:ops]
    publicKey: 6Zg1fQ0o3Pqj4m0sO5GmVbq5tGgRUuTzvKyJ0uUoY1E=
    endpoints: ["203.0.113.10:51820"]
    {ops}
  db-1:
    tags: [tag:db]
    ipv4: 100.64.0.7
    ipv6: fd5c:91aa:7be0::7
    publicKey: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
    endpoints: ["203.0.113.11:51820"]
    ssh: {{{ssh}, hostKey: "{hostkey}"}}
    {db}
  nyc-gw:
    tags: [tag:gw]
    ipv4: 100.64.0.9
    publicKey: bGV0IHRoaXMgYmUgYSBrZXkgb2YgMzIgYnl0ZXMuLi4=
    endpoints: ["203.0.113.12:51820"]
    routes: [10.20.0.0/16]
    {gw}
  new-1:
    tags: [tag:db]
    ipv4: 100.64.0.8
"""

HOST_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGqfJ/GoVtEOp2H3cRF2dowuQVhqKeByS4Fe5UsEQFUH"
)
INSIDE = "host: 100.64.0.7"
DEVICE = "{device: ops-1}"
TO_DB = '{src: [tag:ops], dst: [tag:db], ip: ["tcp:22"]}'
TO_LAN = '{src: [tag:ops], dst: [10.20.0.0/16], ip: ["tcp:22"]}'


def net(
    tmp_path: Path,
    *grants: str,
    ssh: str = INSIDE,
    controller: str = DEVICE,
    ops: str = "",
    db: str = "",
    gw: str = "",
    more: str = "",
) -> Tailnet:
    """The tailnet of a repository with these grants."""
    text = TAILNET.format(
        controller=controller, ssh=ssh, ops=ops, db=db, gw=gw, hostkey=HOST_KEY
    )
    if controller == "absent":
        text = text.replace("  controller: absent\n", "")
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "tailnet.yaml").write_text(text + more)
    listed = "".join(f"  - {grant}\n" for grant in grants)
    (tmp_path / "policy.yaml").write_text(
        f"grants:\n{listed}" if listed else "grants: []\n"
    )
    loaded = load(tmp_path)
    assert loaded.tailnet is not None, loaded.findings
    assert not [each for each in loaded.findings if each.is_error], loaded.findings
    return loaded.tailnet


def why(tailnet: Tailnet, base: Tailnet | None = None) -> str:
    """What is said about db-1; "" if the controller gets in."""
    guard = lockout(tailnet, ["db-1"], base)
    assert guard.stops is bool(guard.why)
    return guard.why[0].removeprefix("db-1: ") if guard.why else ""


@pytest.mark.parametrize("controller", ["absent", "{outside: true}", DEVICE])
@pytest.mark.parametrize("host", ["203.0.113.11", "2001:db8::7", "db.example.com"])
def test_a_node_that_is_reached_outside_stays_reached(
    tmp_path: Path, controller: str, host: str
) -> None:
    """The tunnel's policy says nothing about it, with no rule at all."""
    made = net(tmp_path, ssh=f"host: '{host}'", controller=controller)
    assert why(made) == ""


INSIDE_HOSTS = [
    *("100.64.0.7", "fd5c:91aa:7be0::7", "::ffff:100.64.0.7", "db-1", "DB-1"),
    "db-1.acme.internal",
]


@pytest.mark.parametrize("host", INSIDE_HOSTS)
def test_a_node_that_is_reached_through_the_tunnel_needs_a_rule(
    tmp_path: Path, host: str
) -> None:
    """By address in either family, or by a name of the tailnet."""
    ssh = f"host: '{host}'"
    assert why(net(tmp_path, TO_DB, ssh=ssh)) == ""
    said = why(net(tmp_path, ssh=ssh))
    assert said.startswith("no rule lets ops-1 reach it at ")
    assert said.endswith(" tcp port 22")


def test_via_tunnel_is_inside(tmp_path: Path) -> None:
    """`via: tunnel` stands for the device's own address."""
    assert why(net(tmp_path, ssh="via: tunnel")).startswith("no rule lets ops-1")
    assert why(net(tmp_path, TO_DB, ssh="via: tunnel")) == ""


@pytest.mark.parametrize(
    "grant",
    [
        '{src: [tag:ops], dst: [tag:db], ip: ["tcp:2222"]}',
        '{src: [tag:ops], dst: [tag:db], ip: ["udp:22"]}',
        '{src: [tag:ops], dst: [tag:db], ip: ["icmp:*"]}',
        '{src: [tag:db], dst: [tag:ops], ip: ["tcp:22"]}',
        '{src: [tag:gw], dst: [tag:db], ip: ["tcp:22"]}',
        '{src: [tag:ops], dst: [tag:gw], ip: ["tcp:22"]}',
        '{src: [tag:ops], dst: [tag:db], ip: ["tcp:22"], disabled: true}',
    ],
)
def test_a_rule_that_is_not_quite_it_is_no_proof(tmp_path: Path, grant: str) -> None:
    """Another port or protocol, the other direction, other devices, a disabled one."""
    said = "no rule lets ops-1 reach it at 100.64.0.7 tcp port 22"
    assert why(net(tmp_path, grant)) == said


def test_the_port_is_that_of_sshd(tmp_path: Path) -> None:
    """22 open is no way in where sshd listens on 2222."""
    assert why(net(tmp_path, TO_DB, ssh=f"{INSIDE}, port: 2222")).endswith("port 2222")


def test_a_rule_that_ends_is_no_proof(tmp_path: Path) -> None:
    """The node ends it by itself, and then nothing can be mended any more."""
    ending = f'{TO_DB[:-1]}, expires: "2999-01-31"}}'
    assert why(net(tmp_path, ending)) == (
        "only rules that end let ops-1 reach it at 100.64.0.7 tcp port 22; one without "
        "`expires` has to"
    )
    assert why(net(tmp_path, ending, TO_DB)) == ""


def test_a_controller_that_ends_is_no_proof(tmp_path: Path) -> None:
    """Its device, or the person that it belongs to."""
    said = "the way there goes through ops-1, which ends (2999-01-31)"
    assert why(net(tmp_path, TO_DB, ops='expires: "2999-01-31"')) == said


@pytest.mark.parametrize(
    ("controller", "said"),
    [
        (
            "absent",
            "nothing says from which device; write tailnet.controller: {device: NAME}",
        ),
        (
            "{outside: true}",
            "the controller is outside of it; give it an ssh.host outside",
        ),
    ],
)
def test_who_goes_through_the_tunnel_has_to_be_declared(
    tmp_path: Path, controller: str, said: str
) -> None:
    """A rule from somebody is no proof for somebody else."""
    start = "it is reached through the tunnel (100.64.0.7), and "
    assert why(net(tmp_path, TO_DB, controller=controller)) == start + said


def test_the_controllers_device_has_to_be_there(tmp_path: Path) -> None:
    """Disabled in this commit, it would lock itself out of all nodes inside."""
    said = "the controller's device ops-1 is not in the tailnet"
    assert why(net(tmp_path, TO_DB, ops="disabled: true")) == said


def test_the_controller_reaches_itself(tmp_path: Path) -> None:
    """What it logs in to at its own address never leaves the machine."""
    assert why(net(tmp_path, controller="{device: db-1}")) == ""


@pytest.mark.parametrize(
    ("dst", "host", "proof"),
    [
        ("100.64.0.7", "100.64.0.7", True),
        ("100.64.0.7", "fd5c:91aa:7be0::7", False),
        ("fd5c:91aa:7be0::7", "100.64.0.7", False),
        ("100.64.0.7", "db-1", False),
        ("fd5c:91aa:7be0::7", "db-1.acme.internal", False),
    ],
)
def test_a_rule_for_one_family_is_none_for_the_other(
    tmp_path: Path, dst: str, host: str, proof: bool
) -> None:
    """A name may be asked for in either, so it needs both."""
    grant = f'{{src: [tag:ops], dst: ["{dst}"], ip: ["tcp:22"]}}'
    assert (why(net(tmp_path, grant, ssh=f"host: '{host}'")) == "") is proof


def test_the_address_of_another_device_is_judged_as_that_ones(tmp_path: Path) -> None:
    """A node behind a forwarded port of nyc-gw: the way there is what counts."""
    ssh = "host: 100.64.0.9, port: 2222"
    to_gw = '{src: [tag:ops], dst: [tag:gw], ip: ["tcp:2222"]}'
    assert why(net(tmp_path, to_gw, ssh=ssh)) == ""
    assert why(net(tmp_path, TO_DB, ssh=ssh)).startswith("no rule lets ops-1 reach")
    said = why(net(tmp_path, to_gw, ssh=ssh, gw='expires: "2999-01-31"'))
    assert "goes through nyc-gw, which ends" in said
    # Also for the controller's own device: this is no way to itself.
    assert why(net(tmp_path, ssh=ssh, controller="{device: db-1}"))


@pytest.mark.parametrize("host", ["100.64.0.77", "100.64.0.8"])
def test_an_address_that_nobody_has_is_no_way(tmp_path: Path, host: str) -> None:
    """A rule may name it all the same; so may the device await its key."""
    grant = '{src: [tag:ops], dst: ["100.64.0.0/16"], ip: ["tcp:22"]}'
    said = why(net(tmp_path, grant, ssh=f"host: {host}"))
    assert said == f"no device of the tailnet has the address {host}"


@pytest.mark.parametrize(
    ("record", "proof"),
    [
        ("{name: sql, type: CNAME, value: db-1}", True),
        ("{name: sql, type: A, value: 100.64.0.7}", True),
        ("{name: sql, type: A, value: 203.0.113.11}", True),
        ("{name: sql, type: CNAME, value: nyc-gw}", False),
        ("{name: other, type: A, value: 203.0.113.11}", False),
    ],
)
def test_names_of_the_tailnets_own_zone_are_followed(
    tmp_path: Path, record: str, proof: bool
) -> None:
    """A name in it that nothing has leads nowhere."""
    more = f"dns:\n  records:\n    - {record}\n"
    made = net(tmp_path, TO_DB, ssh="host: sql.acme.internal", more=more)
    assert (why(made) == "") is proof


BEHIND = "host: 10.20.0.5"


def test_a_node_behind_a_router_needs_a_rule_too(tmp_path: Path) -> None:
    """The address is no tailnet address, yet the way leads through the tunnel."""
    assert why(net(tmp_path, TO_LAN, ssh=BEHIND)) == ""
    web = '{src: [tag:ops], dst: [10.20.0.0/16], ip: ["tcp:443"]}'
    said = "no rule lets ops-1 reach it at 10.20.0.5 tcp port 22"
    assert why(net(tmp_path, web, ssh=BEHIND)) == said
    ending = why(net(tmp_path, TO_LAN, ssh=BEHIND, gw='expires: "2999-01-31"'))
    assert "goes through nyc-gw, which ends" in ending


def test_a_route_that_is_taken_away_locks_out(tmp_path: Path) -> None:
    """It was reached behind the router before; without the rule nothing leads there."""
    before = net(tmp_path / "old", TO_LAN, ssh=BEHIND)
    after = net(tmp_path / "new", ssh=BEHIND)
    said = "ops-1 reaches it behind nyc-gw, and would get no route any more"
    assert why(after, before) == said
    off = net(tmp_path / "off", TO_LAN, ssh=BEHIND, gw="disabled: true")
    assert why(off, before) == said


def test_a_controller_in_the_same_lan_needs_no_rule(tmp_path: Path) -> None:
    """Nothing led through the tunnel before, or its site says that it stands there."""
    made = net(tmp_path, ssh=BEHIND)
    assert why(made, made) == ""
    web = '{src: [tag:ops], dst: [10.20.0.0/16], ip: ["tcp:443"]}'
    there = net(tmp_path, web, ssh=BEHIND, ops="site: nyc", gw="site: nyc")
    assert why(there) == ""
    assert why(net(tmp_path, ssh=BEHIND, controller="{outside: true}")) == ""
    assert why(net(tmp_path, ssh=BEHIND, controller="{device: nyc-gw}")) == ""


def test_nobody_knows_where_an_undeclared_controller_is(tmp_path: Path) -> None:
    """In that subnet or behind its router: one line of the repository says it."""
    assert why(net(tmp_path, TO_LAN, ssh=BEHIND, controller="absent")) == (
        "10.20.0.5 lies in 10.20.0.0/16, which nyc-gw carries, and nothing says "
        "whether the controller is there; write tailnet.controller: {outside: true} or "
        "{device: NAME}"
    )


def test_only_what_is_written_to_is_judged(tmp_path: Path) -> None:
    """A node that stays as it is can't be lost by this change."""
    made = net(tmp_path)
    assert lockout(made, [], None).holds
    guard = lockout(made, ["nyc-gw", "db-1"], None)
    assert (guard.devices, guard.total, guard.limit) == (("db-1",), 2, 0)
