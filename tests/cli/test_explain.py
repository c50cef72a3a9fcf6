"""`tailgit explain`: the question on the command line and the printed answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailgit.cli import run
from tailgit.cli.explain import _destination
from tailgit.errors import Exit, UsageError

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("text", "name", "port"),
    [
        ("db-1", "db-1", None),
        ("db-1:22", "db-1", 22),
        ("100.64.0.7", "100.64.0.7", None),
        ("100.64.0.7:443", "100.64.0.7", 443),
        ("fd00::1", "fd00::1", None),
        ("fd00::1:443", "fd00::1:443", None),
        ("[fd00::1]", "fd00::1", None),
        ("[fd00::1]:443", "fd00::1", 443),
        ("tag:db", "tag:db", None),
        ("tag:db:5432", "tag:db", 5432),
        ("group:data-team:22", "group:data-team", 22),
        ("autogroup:member", "autogroup:member", None),
    ],
)
def test_destination_is_split_at_its_port(
    text: str, name: str, port: int | None
) -> None:
    """A port is what stands behind a name; colons of IPv6 and of kinds are none."""
    assert _destination(text) == (name, port)


@pytest.mark.parametrize("text", ["db-1:0", "db-1:65536", "db-1:ssh", "db-1:22-23"])
def test_odd_port_is_refused(text: str) -> None:
    """One flow has one port."""
    with pytest.raises(UsageError, match="is no port"):
        _destination(text)


def test_allowed_names_the_rule(acme: Path, capsys: Capture) -> None:
    """A yes comes with the rule's file, line, ports and name."""
    assert run(["explain", "ana-laptop", "db-1:5432", "--repo", str(acme)]) == Exit.DONE
    first, second = capsys.readouterr().out.splitlines()
    assert first == "ana-laptop -> db-1 port 5432: yes"
    assert second.startswith("  policy.yaml:3:")
    reason = "(data-postgres: The data team reads the replicas.)"
    assert second.endswith(f"tcp:5432  {reason}")


def test_denied_is_an_answer_and_exit_3_only_if_asked(
    acme: Path, capsys: Capture
) -> None:
    """A no is a result like any other; `--exit-code` makes it one for scripts."""
    question = ["explain", "ana-laptop", "db-1:22", "--repo", str(acme)]
    assert run(question) == Exit.DONE
    assert "no rule allows it" in capsys.readouterr().out
    assert run([*question, "--exit-code"]) == Exit.INVALID


def test_json_answer(acme: Path, capsys: Capture) -> None:
    """The answer as data has the rules with their places."""
    question = ["explain", "ana-laptop", "db-1:5432", "--proto", "tcp"]
    assert run([*question, "--repo", str(acme), "--format", "json"]) == Exit.DONE
    document = json.loads(capsys.readouterr().out)
    assert document["format_version"] == 1
    assert document["allowed"] is True
    assert [rule["name"] for rule in document["rules"]] == ["data-postgres"]
    assert document["rules"][0]["file"] == "policy.yaml"
    assert document["rules"][0]["line"] == 3


def test_unknown_name_is_a_usage_error(acme: Path, capsys: Capture) -> None:
    """A device that does not exist is neither allowed nor denied."""
    assert run(["explain", "ana-lptop", "db-1", "--repo", str(acme)]) == Exit.USAGE
    assert "did you mean `ana-laptop`?" in capsys.readouterr().err


def test_port_of_a_protocol_without_ports(acme: Path, capsys: Capture) -> None:
    """ICMP has no ports, so asking for one is a mistake."""
    question = ["explain", "ana-laptop", "db-1:22", "--proto", "icmp"]
    assert run([*question, "--repo", str(acme)]) == Exit.USAGE
    assert "icmp has no ports" in capsys.readouterr().err


def test_invalid_tailnet_is_not_explained(acme: Path, capsys: Capture) -> None:
    """A broken policy allows nothing and denies nothing: findings and exit 3."""
    (acme / "policy.yaml").write_text("grants: [{src: [group:x], dst: [tag:db]}]\n")
    assert run(["explain", "ana-laptop", "db-1", "--repo", str(acme)]) == Exit.INVALID
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "policy.yaml:1:" in printed.err


def test_names_of_files_cannot_act_on_the_terminal(acme: Path, capsys: Capture) -> None:
    """The escapes in a hostile file name are shown, not obeyed; JSON is plain ASCII."""
    (acme / "policy.yaml").rename(acme / "p\x1b[2J\u202e.yaml")
    assert run(["explain", "ana-laptop", "db-1:5432", "--repo", str(acme)]) == Exit.DONE
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "[2J" in said
    run(["explain", "ana-laptop", "db-1", "--repo", str(acme), "--format", "json"])
    assert capsys.readouterr().out.isascii()


OFFICE = """\
groups: {group:ops: [ana@acme.com]}
postures: {"posture:managed": ["custom:managed == true"]}
tagOwners: {tag:old: []}
devices:
  gone: {tags: [tag:db], disabled: true}
  box: {tags: [tag:old]}
  phone: {owner: ana@acme.com, gateway: db-1}
  gw:
    tags: [tag:old]
    publicKey: "6naMHJ82eek3e9rcZNfgvkTTrATbytdgHSECIAQ7XDw="
    routes: [10.20.0.0/16]
ssh:
  # Whoever is on duty.
  - {action: check, src: [group:ops], dst: [tag:db], users: [root]}
"""

RULES = """\
grants:
  - {src: [group:data-team], dst: [tag:db], ip: ["tcp:5432"], expires: 2099-01-31}
  - {src: [autogroup:member], dst: [tag:old], ip: ["tcp:80"]}
  - {src: [autogroup:member], dst: [10.20.0.0/16], ip: ["tcp:443"]}
  - src: [autogroup:member]
    dst: [tag:db]
    ip: ["udp:53"]
    srcPosture: ["posture:managed"]
"""


@pytest.mark.parametrize(
    ("question", "note"),
    [
        (["box", "gw:80"], "box is tagged, so it is not in `autogroup:member`"),
        (["ana-laptop", "db-1:22"], "on tcp:5432 (policy.yaml:2:5), you asked port 22"),
        (["ana-laptop", "10.20.0.9:443"], "no autoApprover lets it through"),
        (["ana-laptop", "gone"], "gone is disabled"),
        (["ana-laptop", "db-1:53", "--proto", "udp"], "custom:managed is not declared"),
        (["ana-new", "db-1:5432"], "ana-new awaits its key"),
        (["phone", "db-1:5432"], "phone is via gateway db-1, which can act as it"),
        (["ana-laptop", "db-1:5432"], "until 2099-01-31"),
        (
            ["ana-laptop", "db-1:5432", "--at", "2099-02-01"],
            "allowed it through 2099-01-31",
        ),
        (["ana-laptop", "db-1", "--ssh", "root"], "no rule opens tcp port 22"),
        (["ana-laptop", "db-1", "--ssh", "ana"], "lets ana-laptop in as root"),
        (["box", "db-1", "--ssh", "root"], "it is not in `group:ops`"),
    ],
)
def test_what_stands_in_the_way_is_said(
    acme: Path, capsys: Capture, question: list[str], note: str
) -> None:
    """Tags, ports, routes, postures, keys, gateways, deadlines: the reason by name."""
    (acme / "office.yaml").write_text(OFFICE)
    (acme / "policy.yaml").write_text(RULES)
    assert run(["explain", *question, "--repo", str(acme)]) == Exit.DONE
    said = capsys.readouterr().out
    assert note in said


def test_a_login_is_another_question(acme: Path, capsys: Capture) -> None:
    """With --ssh the ssh rules answer, with action, names and the comment above."""
    (acme / "office.yaml").write_text(OFFICE)
    question = ["explain", "ana-laptop", "db-1", "--ssh", "root", "--repo", str(acme)]
    assert run([*question, "--exit-code"]) == Exit.DONE
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "ana-laptop -> db-1 as root: yes, after a check"
    assert second == "  office.yaml:14:5  check root  (Whoever is on duty.)"
    question[4] = "ana"
    assert run([*question, "--exit-code"]) == Exit.INVALID
    capsys.readouterr()
    assert run([*question, "--format", "json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["allowed"] is False
    question[2] = "db-1:22"
    assert run(question) == Exit.USAGE


def test_notes_are_cut_with_a_count(acme: Path, capsys: Capture) -> None:
    """A group has a reason for each device: five are printed, JSON has them all."""
    devices = [f"  n-{number}: {{tags: [tag:db]}}\n" for number in range(8)]
    (acme / "many.yaml").write_text("devices:\n" + "".join(devices))
    question = ["explain", "ana-laptop", "tag:db:22", "--repo", str(acme)]
    assert run(question) == Exit.DONE
    said = capsys.readouterr().out
    assert said.count("note: ") == 5
    assert said.endswith("  and 4 more (--format json)\n")
    assert run([*question, "--format", "json"]) == Exit.DONE
    assert len(json.loads(capsys.readouterr().out)["notes"]) == 9
