"""Labs on paper: which tailnets can be built, and what each machine would run."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest

from tailgit.errors import LabError, UsageError
from tailgit.lab.topology import (
    CONTROLLER,
    Machine,
    machine_script,
    router_script,
    sshd_config,
    topology_of,
)
from tailgit.model.findings import Place
from tailgit.model.tailnet import Device, Endpoint, Ssh, Tailnet
from tests.lab.small import topology

PLACE = Place("tailnet.yaml")


def device(name: str, *endpoints: str, ssh: Ssh | None = None) -> Device:
    return Device(
        name,
        IPv4Address("100.64.0.1"),
        IPv6Address("fd00::1"),
        51820,
        PLACE,
        endpoints=tuple(Endpoint(ip_address(e), 51820) for e in endpoints),
        ssh=ssh,
    )


def tailnet(*devices: Device) -> Tailnet:
    return Tailnet(
        "acme",
        "acme.internal",
        IPv4Network("100.64.0.0/10"),
        IPv6Network("fd00::/48"),
        PLACE,
        devices={d.name: d for d in devices},
    )


def test_a_node_has_its_endpoint_addresses() -> None:
    """A device's machine has exactly the addresses of its endpoints, each once."""
    made = topology_of(tailnet(device("db-1", "203.0.113.1", "2001:db8::1")))
    (node,) = made.nodes
    assert node.addresses == (ip_address("203.0.113.1"), ip_address("2001:db8::1"))
    assert made.name == "acme"


def test_sshd_listens_where_the_repo_says() -> None:
    """A declared ssh port is listened on besides 22, and a host name is an alias."""
    ssh = Ssh("db.example.org", port=2200)
    made = topology_of(tailnet(device("db-1", "203.0.113.1", ssh=ssh)))
    (node,) = made.nodes
    assert node.ssh_ports == (22, 2200)
    assert node.aliases == ("db.example.org",)
    assert "ListenAddress 203.0.113.1:2200" in sshd_config(node).splitlines()


def test_devices_behind_nat_are_refused_by_name() -> None:
    """Devices without endpoints are named, all of them, with what to do."""
    with pytest.raises(LabError) as caught:
        topology_of(tailnet(device("a", "203.0.113.1"), device("b"), device("c")))
    assert caught.value.message == (
        "b, c have no endpoints, so they are behind NAT, which the lab can't build yet"
    )
    assert "203.0.113.10:51820" in caught.value.help


def test_one_nat_for_two_devices_is_refused() -> None:
    """Two devices with one endpoint address can't both be public machines."""
    with pytest.raises(LabError, match=r"a and b share the endpoint address 203\.0"):
        topology_of(tailnet(device("a", "203.0.113.1"), device("b", "203.0.113.1")))


def test_an_empty_tailnet_is_refused() -> None:
    """No devices: there is nothing to build, and that is said."""
    with pytest.raises(LabError, match="acme has no devices"):
        topology_of(tailnet())


@pytest.mark.parametrize("name", ["", "Acme", "a b", "a/b", "-a", "x" * 33])
def test_a_lab_needs_a_plain_name(name: str) -> None:
    """A lab's name is a word, since it is looked up in lists of words."""
    with pytest.raises(UsageError):
        topology_of(tailnet(device("a", "203.0.113.1")), name)


def test_the_controller_takes_addresses_that_are_free() -> None:
    """A node that has the controller's usual address keeps it."""
    made = topology_of(tailnet(device("a", "192.0.2.2", "2001:db8:ffff::2")))
    (controller,) = (m for m in made.machines if m.name == CONTROLLER)
    assert controller.addresses == (
        ip_address("192.0.2.3"),
        ip_address("2001:db8:ffff::3"),
    )


def test_scripts_know_every_address_and_no_other() -> None:
    """The router has one route for each address of each machine on it."""
    made = topology("x")
    routes = [
        line.split()[2]
        for line in router_script(made).splitlines()
        if line.startswith("route add")
    ]
    wanted = [str(a) for _, machine in made.on_router for a in machine.addresses]
    assert sorted(routes) == sorted(wanted)


def test_one_family_gets_one_default_route() -> None:
    """A machine without IPv6 has no IPv6 default route, and the other way round."""
    v4 = machine_script(Machine("a", "node", (ip_address("203.0.113.1"),)))
    assert "route add default via 169.254.1.1 dev eth0 onlink" in v4
    assert "::/0" not in v4
    v6 = machine_script(
        replace(Machine("a", "node"), addresses=(ip_address("2001:db8::1"),))
    )
    assert "route add ::/0 via fe80::1 dev eth0" in v6
    assert "169.254" not in v6
