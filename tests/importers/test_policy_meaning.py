"""An imported policy means what the original means, and so does an exported one."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailgit.edit.fmt import formatted
from tailgit.edit.fmt.reader import comments_of
from tailgit.errors import TailgitError
from tailgit.importers.draft import Draft, judged
from tailgit.importers.export import export_policy
from tailgit.importers.policy import import_policy
from tests.importers.generate import policies, written
from tests.importers.worlds import (
    CORPUS,
    DEVICES,
    corpus_cases,
    corpus_devices,
    meaning,
)

RULES = {"acls", "grants"}
ALLOW_ALL = {"src": ["*"], "dst": ["*"], "ip": ["*"]}

thorough = settings(suppress_health_check=[HealthCheck.too_slow], max_examples=120)


def imported(policy: bytes) -> bytes:
    return import_policy(policy, "policy.hujson").files["policy.yaml"]


def is_canonical(text: bytes) -> bool:
    return formatted(text, "policy.yaml", []) == text


def exported(devices: bytes, policy: bytes) -> bytes:
    """The policy written again, for the same devices; it has no errors."""
    files = {"tailnet.yaml": devices, "policy.yaml": policy}
    tailnet = judged(files)[0].tailnet
    assert tailnet is not None
    return export_policy(Draft(files), "", tailnet).text.encode()


def with_rules(policy: dict[str, Any]) -> dict[str, Any]:
    """The rule that absent rules stand for, which an import writes out."""
    if {key.lower() for key in policy} & RULES:
        return policy
    return policy | {"grants": [ALLOW_ALL]}


@pytest.mark.skipif(not CORPUS.exists(), reason="the policy corpus is not here")
def test_captured_policies_mean_the_same_when_imported() -> None:
    """All policies of the corpus: same errors, same filters, peers, routes, logins."""
    sound = 0
    for case in corpus_cases():
        devices, policy = corpus_devices(case["topology"]), case["policy"]
        data = json.dumps(with_rules(policy)).encode()
        before = meaning({"tailnet.yaml": devices, "policy.hujson": data})
        text = imported(json.dumps(policy, indent=1).encode())
        after = meaning({"tailnet.yaml": devices, "policy.yaml": text})
        assert before == after, case["id"]
        assert is_canonical(text), case["id"]
        sound += before[1] is not None
    assert sound > 200


@pytest.mark.skipif(not CORPUS.exists(), reason="the policy corpus is not here")
def test_captured_policies_mean_the_same_when_exported() -> None:
    """What can be read without errors is exported, too, and read again."""
    seen = 0
    for case in corpus_cases():
        devices = corpus_devices(case["topology"])
        text = imported(json.dumps(case["policy"]).encode())
        before = meaning({"tailnet.yaml": devices, "policy.yaml": text})
        if before[1] is None:
            continue
        again = exported(devices, text)
        after = meaning({"tailnet.yaml": devices, "policy.hujson": again})
        assert before == after, case["id"]
        seen += 1
    assert seen > 200


@thorough
@given(st.data())
def test_any_policy_means_the_same_when_imported(data: st.DataObject) -> None:
    """Comments, spellings and layout change nothing, and no comment is lost."""
    policy = data.draw(policies(devices=data.draw(st.booleans())))
    text = data.draw(written(policy)).encode()
    before = meaning({"tailnet.yaml": DEVICES, "policy.hujson": text})
    after_text = imported(text)
    after = meaning({"tailnet.yaml": DEVICES, "policy.yaml": after_text})
    assert before == after
    assert is_canonical(after_text)
    said = text.decode()
    lines = said.count("//") + 2 * said.count("/*")
    assert len(comments_of(after_text.decode())) == lines


@thorough
@given(st.data())
def test_any_policy_means_the_same_when_exported(data: st.DataObject) -> None:
    """Names of devices become addresses; filters, peers, routes and logins stay."""
    policy = data.draw(policies(devices=True))
    text = imported(json.dumps(policy).encode())
    before = meaning({"tailnet.yaml": DEVICES, "policy.yaml": text})
    if before[1] is None or before[0]:
        return
    again = exported(DEVICES, text)
    assert before == meaning({"tailnet.yaml": DEVICES, "policy.hujson": again})


@settings(max_examples=400)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode()))
def test_bytes_are_a_policy_or_an_error(data: bytes) -> None:
    """Nothing that is read ends in another exception than our own."""
    with suppress(TailgitError):
        assert is_canonical(imported(data))


MOLD = b"""{ // c
"acls": [ /* d */ {"action": "accept", "src": ["*"], // e
"dst": ["*:*"]}, // f
],  "hosts": {"a": "10.0.0.1"}, "x": null, }
"""


@settings(max_examples=400)
@given(
    st.lists(st.tuples(st.integers(0, len(MOLD)), st.binary(max_size=3)), max_size=4)
)
def test_a_damaged_policy_is_read_or_an_error(cuts: list[tuple[int, bytes]]) -> None:
    """The same near the language: bytes put in, also in the midst of comments."""
    data = MOLD
    for at, more in cuts:
        data = data[:at] + more + data[at:]
    try:
        text = imported(data)
    except TailgitError:
        return
    assert is_canonical(text)
