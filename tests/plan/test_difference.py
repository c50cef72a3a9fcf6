"""What a change of bundles means for people."""

from __future__ import annotations

from dataclasses import replace

from tailgit.compile import compile_tailnet
from tailgit.plan.difference import difference, peers
from tests.compile.acme import acme
from tests.plan.small import bundle

HEAD = "[Interface]\nListenPort = 51820\nFwMark = 0x7467\n"


def conf(**keys: str) -> str:
    """A wireguard.conf with these peers: name -> the rest of its section."""
    return HEAD + "".join(
        f"\n[Peer]\n# {name}\nPublicKey = {key}\n" for name, key in keys.items()
    )


def test_peers_come_go_and_change_by_name() -> None:
    """A peer with another key is the same peer, and told apart from one that moved."""
    old = bundle("n", wireguard_conf=conf(ana="1", ben="2", kim="3"))
    new = bundle("n", wireguard_conf=conf(ana="1", ben="9", lee="4"))
    made = difference(old, new)
    assert made.peers_added == ("lee",)
    assert made.peers_removed == ("kim",)
    assert (made.peers_rekeyed, made.peers_changed) == (("ben",), ())
    assert made.files == ("wireguard.conf",)
    moved = {"wireguard.conf": dict(new.files)["wireguard.conf"] + b"AllowedIPs = x\n"}
    other = replace(new, files=tuple(moved.items()))
    assert difference(new, other).peers_changed == ("lee",)


def test_the_same_bundle_is_no_difference() -> None:
    """Nothing is said about what stays."""
    same = bundle("n", wireguard_conf=conf(ana="1"), hosts="x\n")
    made = difference(same, same)
    assert (made.files, made.lines, made.peers_added) == ((), (), ())


def test_a_file_that_is_new_or_gone_differs() -> None:
    """A gateway that stops to forward loses its sysctl file."""
    made = difference(bundle("n", sysctl="a\n"), bundle("n", hosts="b\nc\n"))
    assert made.files == ("hosts", "sysctl")
    assert [(x.what, x.added, x.removed) for x in made.lines] == [("names", 2, 0)]


def test_lines_that_only_move_count_for_nothing() -> None:
    """Order inside a file is told by the file's name alone."""
    made = difference(bundle("n", hosts="a\nb\n"), bundle("n", hosts="b\na\n"))
    assert made.files == ("hosts",)
    assert made.lines == ()


def test_an_address_that_changes_its_set_is_a_change() -> None:
    """Who gets which ports may swap without a single new line: that is counted."""
    text = "\tset one {{\n{}\n\t}}\n\tset two {{\n{}\n\t}}\n"
    old = bundle("a", **{"firewall.nft": text.format("x", "y")})
    new = bundle("a", **{"firewall.nft": text.format("y", "x")})
    assert [(each.added, each.removed) for each in difference(old, new).lines] == [
        (2, 2)
    ]


def test_a_peer_without_a_comment_goes_by_its_key() -> None:
    """The compiler names every peer; nothing breaks if one has no name."""
    assert list(peers(b"[Peer]\nPublicKey = k\n")) == ["PublicKey = k"]


def test_peers_are_found_in_what_the_compiler_writes() -> None:
    """Every peer of the example goes by the name of its device."""
    found = {
        node: peers(dict(made.files)["wireguard.conf"])
        for node, made in compile_tailnet(acme()).items()
    }
    assert set().union(*found.values()) == set(found)
    for node, names in found.items():
        assert all(node in found[name] for name in names)
