"""`import wireguard`: machines of wg-quick files, what they carry and may reach."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailgit.access import Relation
from tailgit.edit.fmt import formatted
from tailgit.errors import InvalidTailnet, TailgitError
from tailgit.importers.draft import judged
from tailgit.importers.notes import Imported, as_text
from tailgit.importers.wireguard import import_wireguard
from tailgit.model.tailnet import Tailnet
from tests.importers.tunnels import Node, passes, private, public
from tests.importers.worlds import ROOT

HUB = f"""\
# Name = Hub
[Interface]
PrivateKey = {private("hub")}
Address = 10.8.0.1/24, fd42:42:42::1/64
ListenPort = 51820
PostUp = iptables -A FORWARD -i %i -j ACCEPT; iptables -t nat -A OUT -j MASQUERADE
DNS = 1.1.1.1

# Client: Ana's laptop (4f9cab12-1111)
[Peer]
PublicKey = {public("ana")}
PresharedKey = {private("psk")}
AllowedIPs = 10.8.0.2/32, fd42:42:42::2/128

[Peer] # ben
publickey = {public("ben")}
allowedips = 10.8.0.3/32
AllowedIPs = 192.168.5.0/24

### begin phone ###
[Peer]
PublicKey = {public("phone")}
AllowedIPs = 10.8.0.4/32
### end phone ###

#! [Peer]
#! PublicKey = {public("gone")}
#! AllowedIPs = 10.8.0.9/32
"""
ANA = f"""\
[Interface]
PrivateKey = {private("ana")}
Address = 10.8.0.2/32, fd42:42:42::2/128
[Peer]
PublicKey = {public("hub")}
Endpoint = 203.0.113.5:51820
AllowedIPs = 0.0.0.0/0, ::/0
PersistentKeepalive = 25
"""
BEN = f"""\
[Interface]
PrivateKey = {private("ben")}
Address = 10.8.0.3/24
[Peer]
PublicKey = {public("hub")}
Endpoint = vpn.example.com:51820
AllowedIPs = 10.8.0.0/24
"""
FILES = {
    "etc/wg0.conf": HUB.encode(),
    "ana.conf": ANA.encode(),
    "ben.conf": BEN.encode(),
}


def tailnet_of(made: Imported) -> Tailnet:
    """The tailnet that the files are; they are canonical and without errors."""
    for name, data in made.files.items():
        assert formatted(data, name, []) == data
    loaded, findings = judged(made.files)
    assert [str(each.message) for each in findings if each.is_error] == []
    assert loaded.tailnet is not None
    return loaded.tailnet


def talk(tailnet: Tailnet, one: str, other: str) -> bool:
    relation = Relation.of(tailnet)
    src, dst = (tailnet.devices[name].ipv4 for name in (one, other))
    return relation.accepts(other, src, dst, 6, 22)


def test_a_hub_and_its_spokes() -> None:
    """Keys, names, addresses, endpoints, routes and exit nodes of three files."""
    made = import_wireguard(FILES, "home", "home.internal")
    tailnet = tailnet_of(made)
    devices = tailnet.devices
    assert str(tailnet.ipv4), str(tailnet.ipv6) == ("10.8.0.0/24", "fd42:42:42::/64")
    assert list(devices) == ["ana", "ben", "hub", "phone"]
    assert [each.public_key for each in devices.values()] == [
        public(name) for name in ("ana", "ben", "hub", "phone")
    ]
    assert [str(each.ipv4) for each in devices.values()] == [
        "10.8.0.2",
        "10.8.0.3",
        "10.8.0.1",
        "10.8.0.4",
    ]
    assert str(devices["ana"].ipv6) == "fd42:42:42::2"
    assert [str(each) for each in devices["hub"].endpoints] == ["203.0.113.5:51820"]
    assert devices["hub"].exit_node
    assert devices["ana"].use_exit_node == "hub"
    assert [str(each.prefix) for each in devices["ben"].routes] == ["192.168.5.0/24"]
    assert Relation.of(tailnet).approved("ben")
    # Ana and ben talk through the hub; what the phone's file would say nobody knows.
    assert talk(tailnet, "ana", "ben")
    assert talk(tailnet, "phone", "hub")
    assert not talk(tailnet, "ana", "phone")


def test_what_is_in_no_file_is_said() -> None:
    """Hooks, DNS, pre-shared keys, host names, switched-off peers, missing files."""
    said = as_text(import_wireguard(FILES, "home", "home.internal").notes)
    for line in (
        "etc/wg0.conf:6:1: left-out: PostUp is not run: `iptables -A FORWARD -i %i",
        "etc/wg0.conf:7:1: left-out: DNS is not taken over",
        "etc/wg0.conf:12:1: left-out: PresharedKey is not taken over",
        "etc/wg0.conf:21:1: assumed: there is no file of `phone`",
        "etc/wg0.conf:26:1: left-out: the peer is switched off in the file",
        "ben.conf:6:1: left-out: the endpoint `vpn.example.com:51820` is a host name",
        "ana.conf:8:1: left-out: PersistentKeepalive is not taken over",
    ):
        assert line in said


def test_no_private_key_leaves_its_file() -> None:
    """Neither files nor notes hold a private or pre-shared key, or a hook's."""
    hook = f"PostUp = wg set %i private-key <(echo {private('hook')})"
    files = {
        **FILES,
        "x.conf": f"{ANA}".replace("PersistentKeepalive = 25", "").encode(),
    }
    files["x.conf"] = (
        files["x.conf"]
        .replace(private("ana").encode(), private("x").encode() + f"\n{hook}".encode())
        .replace(b"10.8.0.2/32, fd42:42:42::2/128", b"10.8.0.7/32")
    )
    made = import_wireguard(files, "home", "home.internal")
    everything = b"".join(made.files.values()).decode() + as_text(made.notes)
    for name in ("hub", "ana", "ben", "psk", "hook", "x"):
        assert private(name) not in everything
        assert private(name)[:20] not in everything
    assert public("x") in everything


def test_a_file_without_its_key_is_matched_by_address() -> None:
    """A template whose private key is to be filled in is still one machine."""
    ana = ANA.replace(private("ana"), "FILL-ME-IN").encode()
    made = import_wireguard({**FILES, "ana.conf": ana}, "home", "home.internal")
    tailnet = tailnet_of(made)
    assert list(tailnet.devices) == ["ana", "ben", "hub", "phone"]
    assert tailnet.devices["ana"].public_key == public("ana")


def test_a_full_mesh_is_one_grant() -> None:
    """Machines that all reach each other are one rule, not one for each."""
    nodes = {
        name: Node(
            f"{address}/24",
            {other: (f"{to}/32",) for other, to in ADDRESSES.items() if other != name},
        )
        for name, address in ADDRESSES.items()
    }
    files = {f"{name}.conf": node.text(name) for name, node in nodes.items()}
    made = import_wireguard(files, "mesh", "mesh.internal")
    assert (
        made.files["policy.yaml"]
        .decode()
        .endswith(
            "grants:\n  # All of these reach each other.\n"
            '  - {src: [a, b, c, d], dst: [a, b, c, d], ip: ["*"]}\n'
        )
    )


def test_the_range_has_room_around_its_machines() -> None:
    """First and last addresses of a tailnet's range are nobody's, so it is wider."""
    nodes = {
        "a": Node("10.8.0.0/32", {"b": ("10.8.0.15/32",)}),
        "b": Node("10.8.0.15/32", {"a": ("10.8.0.0/32",)}),
    }
    files = {f"{name}.conf": node.text(name) for name, node in nodes.items()}
    tailnet = tailnet_of(import_wireguard(files, "two", "two.internal"))
    assert [str(each.ipv4) for each in tailnet.devices.values()] == [
        "10.8.0.0",
        "10.8.0.15",
    ]
    assert tailnet.ipv4.prefixlen < 28


@pytest.mark.parametrize(
    ("comment", "name"),
    [
        ("# Name = Ana Lima", "ana-lima"),
        ("# friendly_name=ana", "ana"),
        ("# Client: ana (4f9cab12-11)", "ana"),
        ("### Client ana", "ana"),
        ("# BEGIN_PEER ana", "ana"),
        ("# ana's iPhone", "anas-iphone"),
        ("# 7even", "m-7even"),
        ("# AllowedIPs = 10.8.0.7/32", "peer-10-8-0-2"),
        ("", "peer-10-8-0-2"),
    ],
)
def test_names_come_from_comments(comment: str, name: str) -> None:
    """The comments that usual tools write at a peer name it."""
    text = (
        f"[Interface]\nPrivateKey = {private('hub')}\nAddress = 10.8.0.1/24\n\n"
        f"{comment}\n[Peer]\nPublicKey = {public('ana')}\nAllowedIPs = 10.8.0.2/32\n"
    )
    made = import_wireguard({"hub.conf": text.encode()}, "home", "home.internal")
    assert list(tailnet_of(made).devices) == sorted(["hub", name])


@pytest.mark.parametrize(
    ("bad", "line", "said"),
    [
        ("PrivateKey: {secret}", 3, "the line is no setting"),
        ("{secret}", 3, "the line is no setting"),
        ("Adress = 10.8.0.1/24", 3, "`Adress` is no setting"),
        ("Address = 10.8.0.300", 3, "`10.8.0.300` is no address"),
        ("ListenPort = ²", 3, "`²` is no number"),
        ("ListenPort = 70000", 3, "`70000` is no port"),
        ("AllowedIPs = 10.8.0.2", 3, "`AllowedIPs` does not belong into [Interface]"),
        ("[Peers]", 3, "`[Peers]` is no section"),
        ("[Interface]", 3, "a second section [Interface]"),
        ("[Peer]", 3, "the peer's PublicKey is missing"),
        ("[Peer]\nPublicKey = a,b", 4, "the peer's PublicKey is no public key"),
        ("[Peer]\nPublicKey = abc", 4, "the peer's PublicKey is no public key"),
        ("[Peer]\nPublicKey = {public}\nEndpoint = x", 5, "`x` has no port"),
        ("[Peer]\nPublicKey = {public}\nAllowedIPs = x", 5, "`x` is no address"),
        (
            "[Peer]\nPublicKey = {public}\n[Peer]\nPublicKey = {public}",
            6,
            "a second peer has this key",
        ),
    ],
)
def test_a_mistake_has_a_line(bad: str, line: int, said: str) -> None:
    """What is wrong is said at its place, and no key with it."""
    secret = private("secret")
    more = bad.format(secret=secret, public=public("x"))
    text = f"[Interface]\nPrivateKey = {private('hub')}\n{more}\n"
    with pytest.raises(InvalidTailnet) as caught:
        import_wireguard({"wg0.conf": text.encode()}, "home", "home.internal")
    found = caught.value.findings[0]
    assert (found.place.file, found.place.line) == ("wg0.conf", line)
    assert said in found.message
    assert secret[:12] not in found.message


def test_one_module_alone_loads_wgconfig() -> None:
    """The library under the AGPL stays at one edge, and policies don't load it."""
    package = ROOT / "controller" / "tailgit"
    users = [
        path.name
        for path in package.rglob("*.py")
        if "import WGConfig" in path.read_text()
    ]
    assert users == ["wgquick.py"]
    code = "import sys, tailgit.importers.policy, tailgit.importers.wireguard\n"
    code += "sys.exit('wgconfig' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "controller")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == 0


def test_two_files_of_one_machine_are_refused() -> None:
    """The same private key twice is a copy, and only one can be right."""
    with pytest.raises(InvalidTailnet) as caught:
        import_wireguard({"a.conf": ANA.encode(), "b.conf": ANA.encode()}, "n", "n.i")
    assert "the same machine as in a.conf:1:1" in caught.value.findings[0].message


def test_subnets_belong_to_the_last_on_the_way() -> None:
    """What a spoke sends to the hub for another spoke's LAN is that spoke's route."""
    nodes = {
        "hub": Node("10.8.0.1/24", {"a": ("10.8.0.2/32",), "b": ("10.8.0.3/32", LAN)}),
        "a": Node(
            "10.8.0.2/24", {"hub": ("10.8.0.0/24", "192.168.0.0/16", "172.20.1.0/24")}
        ),
        "b": Node(
            "10.8.0.3/24", {"hub": ("10.8.0.0/24", "192.168.9.0/24", "10.0.0.0/8")}
        ),
    }
    files = {f"{name}.conf": node.text(name) for name, node in nodes.items()}
    made = import_wireguard(files, "lans", "lans.internal")
    tailnet = tailnet_of(made)
    routes = {
        name: [str(route.prefix) for route in device.routes]
        for name, device in tailnet.devices.items()
    }
    assert routes == {
        "a": [],
        "b": [LAN],
        "hub": ["172.20.1.0/24", "192.168.9.0/24"],
    }
    relation = Relation.of(tailnet)
    assert relation.approved("b")
    a, lan = tailnet.devices["a"].ipv4, ip_address("192.168.5.9")
    assert relation.accepts("b", a, lan, 6, 22)
    said = as_text(made.notes)
    assert "`192.168.0.0/16` at `hub` holds others' subnets" in said
    assert "`10.0.0.0/8` holds the tailnet's own range" in said


LAN = "192.168.5.0/24"
NAMES = ("a", "b", "c", "d")
ADDRESSES = {name: f"10.8.0.{number}" for number, name in enumerate(NAMES, 2)}


@st.composite
def meshes(draw: st.DrawFn) -> dict[str, Node]:
    """Four machines with any AllowedIPs for any of the others."""
    prefixes = [f"{address}/32" for address in ADDRESSES.values()]
    prefixes += ["10.8.0.0/24", "10.8.0.4/31", "0.0.0.0/0"]
    nodes = {}
    for name in NAMES:
        others = [each for each in NAMES if each != name and draw(st.booleans())]
        peers = {
            other: tuple(
                draw(st.lists(st.sampled_from(prefixes), min_size=1, max_size=3))
            )
            for other in others
        }
        nodes[name] = Node(f"{ADDRESSES[name]}/24", peers)
    return nodes


@settings(max_examples=150)
@given(meshes())
def test_grants_are_what_allowed_ips_let_through(nodes: dict[str, Node]) -> None:
    """Two machines talk in the tailnet iff packets go both ways between them now."""
    files = {f"{name}.conf": node.text(name) for name, node in nodes.items()}
    tailnet = tailnet_of(import_wireguard(files, "mesh", "mesh.internal"))
    relation = Relation.of(tailnet)
    for one, src in ADDRESSES.items():
        for other, dst in ADDRESSES.items():
            if one != other:
                both = passes(nodes, one, src, dst) and passes(nodes, other, dst, src)
                ends = ip_address(src), ip_address(dst)
                assert relation.accepts(other, *ends, 6, 22) == both, (one, other)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=120), min_size=1, max_size=3))
def test_any_bytes_are_files_or_an_error(contents: list[bytes]) -> None:
    """Nothing ends in another exception than our own."""
    with suppress(TailgitError):
        import_wireguard({f"{n}.conf": d for n, d in enumerate(contents)}, "n", "n.i")


LINES = HUB.splitlines()


@settings(max_examples=400)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(LINES),
            st.sampled_from(
                ["Address", "AllowedIPs", "Endpoint", "ListenPort"]
            ).flatmap(
                lambda key: st.text(max_size=20).map(lambda value: f"{key} = {value}")
            ),
        ),
        max_size=16,
    )
)
def test_lines_in_any_order_are_a_file_or_an_error(lines: list[str]) -> None:
    """The same near the format: lines of a real file, shuffled and damaged."""
    text = "\n".join(["[Interface]", *lines]).encode(errors="surrogatepass")
    try:
        made = import_wireguard({"x.conf": text}, "n", "n.i")
    except TailgitError:
        return
    assert all(formatted(data, name, []) == data for name, data in made.files.items())
