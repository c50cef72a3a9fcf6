"""The parcel: its tree against a naive verifier, its tar against tar itself."""

from __future__ import annotations

import subprocess
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgit.deploy.parcel import LARGEST, Envelope, leaf, one_line, order, parcel, tree

HEX = st.binary(min_size=32, max_size=32).map(bytes.hex)
NODES = st.dictionaries(
    st.text("abz-1", min_size=1, max_size=6),
    st.tuples(st.binary(max_size=9), st.binary(max_size=9)),
    min_size=1,
    max_size=33,
)


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def climb(start: str, path: bytes) -> str:
    """Where a path leads, worked out the way a node does: line by line."""
    here = start
    for line in path.decode().splitlines():
        side, sibling = line.split(" ")
        left, right = (sibling, here) if side == "L" else (here, sibling)
        here = digest(f"node\n{left}\n{right}\n")
    return here


def naive_root(leaves: list[str]) -> str:
    """The root, by the definition: pairs from the left, an odd one moves up."""
    if len(leaves) == 1:
        return leaves[0]
    above = [
        digest(f"node\n{leaves[i]}\n{leaves[i + 1]}\n")
        for i in range(0, len(leaves) - 1, 2)
    ]
    if len(leaves) % 2:
        above.append(leaves[-1])
    return naive_root(above)


@given(NODES)
def test_every_path_leads_from_its_leaf_to_the_signed_root(
    parts: dict[str, tuple[bytes, bytes]],
) -> None:
    """A node that only knows its own leaf and path arrives at the statement's root."""
    made = order(parts)
    leaves = {
        node: digest(
            f"leaf\n{sha256(envelope).hexdigest()}\n{sha256(manifest).hexdigest()}\n"
        )
        for node, (envelope, manifest) in parts.items()
    }
    root = naive_root([leaves[n] for n in sorted(parts, key=lambda n: n.encode())])
    assert made.statement == f"tailgit-apply 1\nroot {root}\n".encode()
    for node in parts:
        assert climb(leaves[node], made.paths[node]) == root


@given(NODES, st.binary(max_size=9))
def test_another_manifest_leads_elsewhere(
    parts: dict[str, tuple[bytes, bytes]], other: bytes
) -> None:
    """What was not signed can't borrow the path of what was."""
    made = order(parts)
    node, (envelope, manifest) = next(iter(parts.items()))
    wrong = leaf(envelope, other)
    reaches = climb(wrong, made.paths[node]) in made.statement.decode()
    assert reaches == (other == manifest)


@given(st.lists(HEX, min_size=1, max_size=40))
def test_paths_are_as_short_as_a_tree_allows(leaves: list[str]) -> None:
    """No path is longer than the logarithm of the fleet's size; alone, it is empty."""
    paths = tree(leaves).paths
    assert max(map(len, paths)) <= (len(leaves) - 1).bit_length()


def test_a_tree_without_leaves_is_refused() -> None:
    """Nothing to sign is a mistake, not an empty signature."""
    with pytest.raises(ValueError, match="leaf"):
        tree([])


def test_the_envelope_has_the_lines_of_the_protocol() -> None:
    """Key and value by one blank, in the order that the protocol fixes."""
    made = Envelope(
        tailnet="acme",
        node="db-1",
        commit="a" * 40,
        height=12,
        by="Ana Lima <ana@acme.com>",
        at="2026-11-22T13:00:00Z",
    )
    assert made.text().decode().splitlines() == [
        "tailgit-envelope 1",
        "tailnet acme",
        "node db-1",
        f"commit {'a' * 40}",
        "height 12",
        "kind apply",
        "by Ana Lima <ana@acme.com>",
        "at 2026-11-22T13:00:00Z",
    ]


@given(st.text(max_size=300))
def test_who_applied_is_one_printable_line_of_at_most_200_bytes(text: str) -> None:
    """A git identity can't add a line to the envelope or make a node refuse it."""
    made = one_line(text)
    assert made
    assert made.isprintable()
    assert made == made.strip() or len(made.encode()) >= 197
    assert len(made.encode()) <= 200


def test_the_parcel_is_a_plain_tar_in_the_order_of_the_protocol() -> None:
    """tar lists and extracts it, and the same parts are the same bytes."""
    parts = {
        "envelope": b"e\n",
        "statement": b"s\n",
        "signature": b"sig\n",
        "path": b"",
        "bundle": bytes(range(256)) * 40,
    }
    packed = parcel(**parts)
    assert packed == parcel(**parts)
    listed = subprocess.run(
        ["tar", "-tf", "-"], input=packed, capture_output=True, check=True
    )
    assert listed.stdout.decode().split() == [
        "envelope",
        "statement",
        "statement.sig",
        "path",
        "bundle.tar",
    ]
    taken = subprocess.run(
        ["tar", "-xOf", "-", "bundle.tar"],
        input=packed,
        capture_output=True,
        check=True,
    )
    assert taken.stdout == parts["bundle"]


def test_a_parcel_that_no_node_accepts_is_refused_here() -> None:
    """64 MiB is the node's limit, so it is ours."""
    with pytest.raises(ValueError, match="more than a node accepts"):
        parcel(
            envelope=b"",
            statement=b"",
            signature=b"",
            path=b"",
            bundle=bytes(LARGEST),
        )
