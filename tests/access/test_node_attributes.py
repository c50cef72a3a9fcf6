"""Attributes add up: in any order, however often, for active devices only."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tailgit.access.attributes import node_attributes
from tests.conformance.ssh_judge import topology
from tests.conformance.ssh_policy import tailnet_of

TARGETS = ("*", "tag:db", "ana@example.com", "autogroup:tagged", "web", "100.64.0.3")

ENTRIES = st.lists(
    st.fixed_dictionaries(
        {
            "target": st.lists(st.sampled_from(TARGETS), max_size=2),
            "attr": st.lists(st.sampled_from("abc"), max_size=2),
        }
    ),
    max_size=5,
)


@settings(max_examples=60)
@given(ENTRIES)
def test_order_and_repetition_mean_nothing(entries):
    """Turned round and said twice, the entries give every device the same."""
    tailnet = tailnet_of(topology(), {"nodeAttrs": entries})
    twice = replace(tailnet, node_attrs=tailnet.node_attrs[::-1] * 2)
    assert node_attributes(twice) == node_attributes(tailnet)


def test_every_active_device_is_in_the_answer():
    """Devices without attributes are there with none; those switched off are not."""
    entry = {"target": ["*", "old", "gus@example.com"], "attr": ["a"]}
    found = node_attributes(tailnet_of(topology(), {"nodeAttrs": [entry]}))
    assert set(found) == {n["name"] for n in topology()["nodes"]} - {"old", "gus-pc"}
    assert set(found.values()) == {("a",)}
    assert set(node_attributes(tailnet_of(topology(), {})).values()) == {()}
