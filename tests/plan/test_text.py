"""Plans and results as people read them: exact text, no surprises, 100 columns."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgit.errors import Unreachable
from tailgit.plan.difference import Difference
from tailgit.plan.outcome import Applied, Outcome, Result
from tailgit.plan.plan import Commit, History, Plan
from tailgit.report.plan import applied_json, applied_text, plan_text
from tests.plan.small import COMMIT, bundle, device, fresh, planned, running, tailnet
from tests.plan.test_plan import mixed

COUNTS = "1 first, 1 change, 1 in sync, 1 unreachable, 1 not enrolled, 1 not delivered"

PLAN = """\
acme: 1111111 -> 2222222 "Postgres for data"
3 of 4 nodes answered

  + a  first, cold
  ~ b  change, hot, -1 peer (z), filter +1
  ? d  unreachable: no answer
  . f  not enrolled: no ssh.hostKey in the repository
  = in sync:  c
  = not delivered:  e

Order
  1  b (canary)
  2  a

Guards
  ok nodes that lose peers or rules: 1 of 3 (limit 5): b

compiled {compiled}
Plan {digest}: {counts}.
To apply:  tailgit apply
"""

APPLIED = """\
acme: 1111111 -> 2222222 "Postgres for data"

  + a  applied, generation 4
  x b  failed, generation 2, at activate: activation-failed: no link
  x d  unreachable: no answer
  = unchanged:  c

2 of 4 nodes have 2222222: 1 applied, 1 unchanged, 1 failed, 1 unreachable.
To finish:  tailgit apply
"""

OUTCOMES = (
    Outcome("a", Result.APPLIED, 4),
    Outcome("b", Result.FAILED, 2, "activate", "activation-failed", "no link"),
    Outcome("c", Result.UNCHANGED),
    Outcome("d", Result.UNREACHABLE, message="no answer"),
)


def test_a_plan_reads_like_this() -> None:
    """Commits, nodes by their state, a count, and the next command."""
    made = mixed()
    expected = PLAN.format(
        compiled=made.compiled, digest=made.digest[:8], counts=COUNTS
    )
    assert plan_text(made, "tailgit apply") == expected


def test_a_result_reads_like_this() -> None:
    """Each node that was to change, the others by name, and what is left to do."""
    assert applied_text(Applied(mixed(), OUTCOMES), "tailgit apply") == APPLIED


def test_nothing_to_do_is_said_only_when_every_node_was_read() -> None:
    """A node that was not read may need anything."""
    wanted = {name: bundle(name, hosts="x\n") for name in "ab"}
    net = tailnet(device("a"), device("b"))
    seen = {name: running(made) for name, made in wanted.items()}
    whole = planned(net, wanted, seen)
    text = plan_text(whole, "x")
    # What the nodes record is the older 1111111, whose bundles are the same.
    assert text.startswith('acme: in sync with 2222222 "Postgres for data"\n')
    assert "Nothing to do: every node has what 2222222 says." in text
    partly = {"a": seen["a"], "b": Unreachable("b", "no answer")}
    text = plan_text(planned(net, wanted, partly), "x")
    assert text.startswith("acme: 1111111 -> 2222222")
    assert "every node" not in text
    assert "Nothing to do on the nodes that answered" in text


def test_a_plan_that_is_refused_says_why_and_offers_no_command() -> None:
    """All the reasons, and nothing to copy and paste."""
    one = bundle("a", hosts="x\n")
    refused = planned(tailnet(device("a")), {"a": one}, {"a": running(one)}, History())
    text = plan_text(refused, "tailgit apply")
    assert "This can't be applied:\n  - a: applied is 1111111" in text
    assert "tailgit apply" not in text


def test_the_headline_starts_where_the_nodes_that_change_are() -> None:
    """After half an apply the others have the new commit, and no `(1 older)`."""
    wanted = {name: bundle(name, hosts="x\n") for name in "ab"}
    seen = {
        "a": running(wanted["a"], COMMIT.sha, COMMIT.height),
        "b": running(bundle("b", hosts="y\n")),
    }
    net = tailnet(device("a"), device("b"))
    text = plan_text(planned(net, wanted, seen), "x")
    assert text.startswith('acme: 1111111 -> 2222222 "Postgres for data"\n')


SIGNER = "ED25519 SHA256:abc (/home/ana/.ssh/id_ed25519)"


def test_nodes_that_do_not_know_the_signer_are_named_with_the_key() -> None:
    """Repeating can't help them, so the way out is told instead."""
    said = "the key that signed is not in allowed_signers"
    outcomes = tuple(
        Outcome(name, Result.FAILED, None, "stage", "bad-signature", said)
        for name in ("b", "d")
    )
    whole = (*outcomes, Outcome("c", Result.UNCHANGED))
    text = applied_text(Applied(mixed(), whole), "tailgit apply", SIGNER)
    assert text.endswith(
        f"\nb d: the key that signed is not known there: {SIGNER}\n"
        "Sign with one that is (--signing-key), or enroll again to make it known:\n"
        "  tailgit device enroll b --signer-key FILE.pub\n"
    )
    assert "To finish" not in text
    gone = (*whole, Outcome("a", Result.UNREACHABLE))
    text = applied_text(Applied(mixed(), gone), "tailgit apply", SIGNER)
    assert text.endswith("\nTo finish:  tailgit apply\n")


@pytest.mark.parametrize(
    ("outcome", "again"),
    [
        (Outcome("a", Result.UNREACHABLE), True),
        (Outcome("a", Result.UNCONFIRMED, 2, "confirm"), True),
        (Outcome("a", Result.NOT_STARTED), True),
        (Outcome("a", Result.FAILED, None, "stage", "busy", "x"), True),
        (Outcome("a", Result.FAILED, None, "stage", "io", "full"), True),
        (Outcome("a", Result.FAILED, None, "stage", "bad-grammar", "x"), False),
        (Outcome("a", Result.FAILED, phase="observe", message="its key"), False),
        (Outcome("a", Result.NOT_ENROLLED), False),
    ],
)
def test_repeating_is_advised_only_where_it_can_help(
    outcome: Outcome, again: bool
) -> None:
    """What a node refuses for what it was sent, it refuses again."""
    text = applied_text(Applied(mixed(), (outcome,)), "tailgit apply")
    assert ("To finish:  tailgit apply" in text) is again


def test_no_older_commit_is_nothing() -> None:
    """A fleet that never got anything starts from nothing."""
    made = planned(
        tailnet(device("a")),
        {"a": bundle("a", hosts="x\n")},
        {"a": fresh("a")},
        History(),
    )
    assert plan_text(made, "x").startswith("acme: nothing -> 2222222")


def test_the_json_of_a_result_is_one_document() -> None:
    """Outcomes with their codes, counts, and the exit code that the command has."""
    made = json.loads(applied_json(Applied(mixed(), OUTCOMES)))
    assert made["format_version"] == 1
    assert made["exit"] == 5
    assert made["counts"] == {
        "applied": 1,
        "unchanged": 1,
        "failed": 1,
        "unreachable": 1,
    }
    assert made["outcomes"][1]["code"] == "activation-failed"


TEXT = st.text(max_size=400)


def hostile(subject: str, note: str) -> Plan:
    made = mixed()
    rows = tuple(replace(row, notes=(note,)) for row in made.rows)
    return replace(made, commit=Commit(COMMIT.sha, subject, 7), rows=rows)


@given(TEXT, TEXT)
def test_no_text_can_steer_a_terminal_or_leave_the_page(
    subject: str, note: str
) -> None:
    """Whatever a commit or a node says: printable, and at most 100 columns."""
    made = hostile(subject, note)
    outcome = Outcome("a", Result.FAILED, 1, "stage", note, subject)
    for text in (plan_text(made, "x"), applied_text(Applied(made, (outcome,)), "x")):
        for line in text.splitlines():
            assert line.isprintable()
            assert len(line) <= 100


def test_a_long_list_of_peers_is_counted() -> None:
    """Six names, then a number: the rest stands in the JSON."""
    made = mixed()
    many = Difference(("wireguard.conf",), tuple(f"p{i}" for i in range(9)))
    rows = tuple(
        replace(row, difference=many if row.node == "b" else None) for row in made.rows
    )
    text = plan_text(replace(made, rows=rows), "x")
    assert "+9 peers (p0 p1 p2 p3 p4 p5 and 3 more)" in text
