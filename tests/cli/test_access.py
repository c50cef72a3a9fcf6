"""`tailgit access`: what somebody may reach, who may reach something, as printed."""

from __future__ import annotations

import csv
import io
import json
from html import unescape
from pathlib import Path

import pytest

from tailgit.cli import run
from tailgit.errors import Exit

Capture = pytest.CaptureFixture[str]

RULES = """\
tagOwners: {tag:gw: [], tag:new: []}
autoApprovers: {routes: {10.20.0.0/16: [tag:gw]}}
hosts: {printer: 10.20.0.9}
grants:
  # The data team reads the replicas.
  - {src: [group:data-team], dst: [tag:db], ip: ["tcp:5432"], name: data-postgres}
  - {src: [ana@acme.com], dst: [tag:db], ip: ["tcp:22"], expires: 2099-01-31}
  - {src: [ben@acme.com], dst: [printer], ip: ["tcp:631", "tcp:9100"]}
  - {src: [tag:new], dst: [tag:db], ip: ["udp:53"]}
  - {src: [autogroup:member], dst: [autogroup:self], ip: ["tcp:22"]}
"""

MORE = """\
users: {ben@acme.com: {}}
devices:
  ben-phone: {owner: ben@acme.com, expires: 2098-05-31}
  gw-1:
    tags: [tag:gw]
    routes: [10.20.0.0/16]
    publicKey: "6naMHJ82eek3e9rcZNfgvkTTrATbytdgHSECIAQ7XDw="
    endpoints: ["203.0.113.12:51820"]
  db-2: {tags: [tag:db]}
"""


@pytest.fixture
def office(acme: Path) -> Path:
    """The small tailnet with a router, a printer behind it, and deadlines."""
    (acme / "policy.yaml").write_text(RULES)
    (acme / "more.yaml").write_text(MORE)
    return acme


def asked(capsys: Capture, repo: Path, *words: str) -> str:
    """What the command prints for a question that it can answer."""
    assert run(["access", *words, "--repo", str(repo)]) == Exit.DONE
    return capsys.readouterr().out


def test_what_a_person_may_reach(office: Path, capsys: Capture) -> None:
    """A line for each thing that the policy names, and below it the rules that cause
    it, with the name under which a rule means the person."""
    assert asked(capsys, office, "ana@acme.com") == (
        "ana@acme.com (ana-laptop, ana-new) may reach 4 of 6 devices:\n"
        "  their own devices (ana-laptop, ana-new)       tcp:22\n"
        "      policy.yaml:10  as autogroup:member\n"
        "  tag:db (db-1, db-2)                           tcp:5432\n"
        "      policy.yaml:6  as group:data-team  "
        "data-postgres: The data team reads the replicas.\n"
        "  tag:db (db-1, db-2)                           tcp:22  until 2099-01-31\n"
        "      policy.yaml:7\n"
    )


def test_who_may_reach_something(office: Path, capsys: Capture) -> None:
    """The other way round, with the router before a subnet and devices that end."""
    assert asked(capsys, office, "--to", "printer") == (
        "1 of 6 devices may reach printer (10.20.0.9 behind gw-1):\n"
        "  note: ben-phone ends with 2098-05-31\n"
        "  ben@acme.com (ben-phone)                      tcp:631,9100\n"
        "      policy.yaml:8\n"
    )


def test_a_line_for_a_part_says_for_whom(office: Path, capsys: Capture) -> None:
    """What holds for some of a group is marked with who that is."""
    said = asked(capsys, office, "autogroup:member")
    assert (
        "  tag:db (db-1, db-2)                           tcp:22  until 2099-01-31\n"
        "      only group:data-team (ana-laptop, ana-new)\n" in said
    )


def test_nobody_yet_and_nothing(office: Path, capsys: Capture) -> None:
    """An empty tag says so and what it would reach; to reach nothing is a sentence."""
    said = asked(capsys, office, "tag:new").splitlines()
    assert said[0] == "tag:new (no device yet) may reach 2 of 6 devices:"
    assert asked(capsys, office, "gw-1") == "gw-1 may reach nothing.\n"
    assert asked(capsys, office, "--to", "gw-1") == "Nobody may reach gw-1.\n"


def test_the_whole_policy_and_everybody(office: Path, capsys: Capture) -> None:
    """Alone it shows each party of the policy; with --by, everybody, also the idle."""
    said = asked(capsys, office)
    assert said.startswith("autogroup:member (ana-laptop, ana-new, ben-phone)\n")
    assert said.endswith("acme: 5 lines of access, 6 devices\n")
    said = asked(capsys, office, "--by", "user")
    assert "ana@acme.com (ana-laptop, ana-new) may reach" in said
    assert "Nothing for tag:db, tag:gw, 10.20.0.0/16." in said
    said = asked(capsys, office, "--by", "device")
    assert "ana-laptop, ana-new may reach" in said


def test_time_is_now_or_what_is_asked(office: Path, capsys: Capture) -> None:
    """What is over at the time is not there, neither as a rule nor as a device."""
    assert "tcp:22  until" not in asked(
        capsys, office, "ana@acme.com", "--at", "2099-02-01"
    )
    said = asked(capsys, office, "--to", "printer", "--at", "2098-06-01")
    assert said.startswith("0 of 5 devices may reach printer")
    assert "ben@acme.com (no device yet)" in said
    assert run(["access", "--at", "soon", "--repo", str(office)]) == Exit.USAGE


def test_json_has_everything(office: Path, capsys: Capture) -> None:
    """Programs get every line with its devices, routers, ports and rules."""
    document = json.loads(asked(capsys, office, "ben-phone", "--format", "json"))
    assert document["format_version"] == 1
    (answer,) = document["answers"]
    line = next(each for each in answer["lines"] if each["dst"]["names"] == ["printer"])
    assert line["dst"]["subnets"] == [{"prefix": "10.20.0.9", "routers": ["gw-1"]}]
    assert line["ranges"][0] == {"protocol": 6, "first": 631, "last": 631}
    assert line["rules"][0]["file"] == "policy.yaml"
    assert line["rules"][0]["line"] == 8
    assert line["src"]["devices"][0]["until"] == "2098-05-31"


def test_a_grid_has_ports_where_who_and_what_meet(
    office: Path, capsys: Capture
) -> None:
    """Rows are who, columns what; a cell says until when, and where it is in part."""
    said = asked(capsys, office, "--by", "user", "--grid", "--format", "csv")
    head, *rows = csv.reader(io.StringIO(said))
    assert head == ["", "their own devices", "tag:db", "printer"]
    assert rows == [
        ["ana@acme.com", "tcp:22", "tcp:5432, tcp:22  until 2099-01-31", ""],
        ["ben@acme.com", "tcp:22", "", "tcp:631,9100"],
        ["tag:new", "", "udp:53", ""],
    ]
    said = asked(capsys, office, "--by", "tag", "--grid")
    assert "tcp:5432 (in part)" in said
    said = asked(capsys, office, "--grid", "--format", "markdown")
    assert {line.count("|") for line in said.splitlines()} == {5}


def test_csv_is_a_table_without_formulas(office: Path, capsys: Capture) -> None:
    """Each line is a row, and no cell begins as a formula does."""
    name = "'=cmd()'"
    text = RULES.replace("name: data-postgres", f"name: {name}")
    (office / "policy.yaml").write_text(text.replace("# The data", "# @SUM(A1) data"))
    rows = list(csv.DictReader(io.StringIO(asked(capsys, office, "--format", "csv"))))
    assert len(rows) == 5
    row = next(row for row in rows if row["source"] == "group:data-team")
    assert row["descriptions"].startswith("'=cmd()")
    assert row["destination_devices"] == "db-1; db-2"
    assert row["ports"] == "tcp:5432"
    assert not [
        v for row in rows for v in row.values() if v.startswith(("=", "+", "-", "@"))
    ]


def test_markdown_holds_nothing_but_text(office: Path, capsys: Capture) -> None:
    """No name or comment becomes a link, a mention, a cell or a tag."""
    odd = "# [x](http://evil.example) | @admin <img src=x>\n  - {src: [group:data"
    text = RULES.replace(
        "# The data team reads the replicas.\n  - {src: [group:data", odd
    )
    (office / "policy.yaml").write_text(text)
    said = asked(capsys, office, "ana@acme.com", "--format", "markdown")
    table = [line for line in said.splitlines() if line.startswith("|")]
    assert all(line.count("|") == 6 for line in table)
    assert "](" not in said
    assert "@" not in said
    assert "<img" not in said


def test_long_lists_are_cut_with_a_count(acme: Path, capsys: Capture) -> None:
    """A screen gets the first lines and the number of the others; --all is all."""
    devices = [f"  n-{number}: {{tags: [tag:db]}}\n" for number in range(250)]
    (acme / "many.yaml").write_text("devices:\n" + "".join(devices))
    rules = [
        f'  - {{src: [group:data-team], dst: [n-{number}], ip: ["tcp:1"]}}\n'
        for number in range(250)
    ]
    (acme / "policy.yaml").write_text("grants:\n" + "".join(rules))
    cut, whole = (asked(capsys, acme, "ana@acme.com", *x) for x in ((), ("--all",)))
    assert "and 50 more lines (--all shows them)" in cut
    assert cut.count("tcp:1") == 200
    assert whole.count("tcp:1") == 250
    said = asked(capsys, acme, "--to", "tag:db")
    assert "tag:db (251 devices)" in said


def test_terminal_is_safe(office: Path, capsys: Capture) -> None:
    """Escapes in a file's name are shown, not obeyed, in every form."""
    (office / "policy.yaml").rename(office / "p\x1b[2J\u202e.yaml")
    for form in ("text", "json", "markdown", "csv"):
        said = asked(capsys, office, "ana@acme.com", "--format", form)
        assert "\x1b" not in said, form
        assert "\u202e" not in said, form


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ana@acme.com", "--to", "db-1"], "three questions"),
        (["ana@acme.com", "--by", "tag"], "three questions"),
        (["ana-lptop"], "did you mean `ana-laptop`?"),
        (["--to", "autogroup:self"], "does not say whose"),
        (["--by", "color"], "color"),
        (["ana-laptop", "--grid"], "--grid is for the whole policy"),
        (["--grid", "--format", "json"], "--grid is for the whole policy"),
    ],
)
def test_odd_questions_are_usage_errors(
    office: Path, capsys: Capture, words: list[str], said: str
) -> None:
    """One question at a time, about somebody who exists."""
    assert run(["access", *words, "--repo", str(office)]) == Exit.USAGE
    assert said in capsys.readouterr().err


def test_an_invalid_tailnet_has_no_answer(office: Path, capsys: Capture) -> None:
    """A broken policy allows nothing and denies nothing: findings and exit 3."""
    (office / "policy.yaml").write_text("grants: [{src: [group:x], dst: [tag:db]}]\n")
    assert run(["access", "--repo", str(office)]) == Exit.INVALID
    assert capsys.readouterr().out == ""


BARE = """\
{
  "groups": {"group:dev": ["alice@x.com"]},
  "tagOwners": {"tag:db": ["group:dev"]},
  "acls": [
    // Developers read.
    {"action": "accept", "src": ["group:dev"],
     "dst": ["tag:db:5432", "10.0.0.0/8:443"]},
  ],
}
"""


def test_a_policy_alone_is_answered_for_who_it_names(
    tmp_path: Path, capsys: Capture
) -> None:
    """A policy.hujson without a tailnet has users and tags, and addresses count as
    they are written; that there are no devices is said."""
    (tmp_path / "policy.hujson").write_text(BARE)
    said = asked(capsys, tmp_path, "alice@x.com")
    assert "  tag:db " in said
    assert "policy.hujson:6  as group:dev  Developers read." in said
    assert "note: no devices here" in said
    assert "alice@x.com" in asked(capsys, tmp_path, "--to", "10.9.9.9")
    question = ["explain", "alice@x.com", "10.9.9.9:443", "--repo", str(tmp_path)]
    assert run([*question, "--exit-code"]) == Exit.DONE
    question[2] = "10.9.9.9:80"
    assert run([*question, "--exit-code"]) == Exit.INVALID


@pytest.mark.parametrize("form", ["csv", "markdown"])
def test_a_review_sees_which_devices_end(
    office: Path, capsys: Capture, form: str
) -> None:
    """In a table as in the text: an end of the device, not only one of the rule."""
    said = unescape(asked(capsys, office, "--to", "printer", "--format", form))
    assert "ben-phone ends with 2098-05-31" in said
