"""Each line names the place that caused it, also where that is far from the rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailgit.load import load
from tailgit.model.deadline import parse_deadline
from tailgit.model.tailnet import Tailnet
from tailgit.review.access import AccessChange, difference
from tailgit.review.lines import ChangedLine

BEFORE = """\
tailnet: {format: 1, name: t, domain: t.internal, ipv4: 100.64.0.0/10, ipv6: fd5c::/48}
users:
  ana@x.com: {}
  ben@x.com: {role: auditor}
  kim@x.com: {}
groups:
  group:dev: [ana@x.com]
  group:ops:
    - ben@x.com
    - kim@x.com
tagOwners: {tag:db: [], tag:gw: [], tag:exit: []}
hosts: {printer: 10.20.0.9}
ipsets: {ipset:lan: ["10.20.0.0/24"]}
postures: {"posture:managed": ["custom:managed == true"]}
autoApprovers:
  routes: {10.20.0.0/16: [tag:gw]}
  exitNode: [tag:exit]
devices:
  ana-laptop: {owner: ana@x.com}
  ana-phone: {owner: ana@x.com}
  ben-laptop: {owner: ben@x.com, attributes: {"custom:managed": true}}
  kim-laptop: {owner: kim@x.com}
  db-1: {tags: [tag:db]}
  db-2: {tags: [tag:db]}
  gw-1: {tags: [tag:gw], routes: [10.20.0.0/16]}
  exit-1: {tags: [tag:exit], exitNode: true}
grants:
  - {src: [group:dev], dst: [tag:db], ip: ["tcp:5432"], name: read}
  - {src: [group:ops], dst: [tag:db], ip: ["tcp:22"]}
  - {src: [group:dev], dst: [printer], ip: ["tcp:631"]}
  - {src: [group:ops], dst: [ipset:lan], ip: ["tcp:80"]}
  - {src: [autogroup:auditor], dst: [tag:gw], ip: ["tcp:443"]}
  - {src: [group:dev], dst: [autogroup:internet], ip: ["*"]}
  - {src: [autogroup:member], dst: [autogroup:self], ip: ["tcp:22"]}
  - src: [group:ops]
    dst: [tag:gw]
    ip: ["tcp:9"]
    srcPosture: ["posture:managed"]
"""

SAID: list[tuple[str, str, str, str]] = [
    # what is replaced, by what, a line of the difference, its causes
    (
        "group:dev: [ana@x.com]",
        "group:dev: [ana@x.com, kim@x.com]",
        "+ kim@x.com -> tag:db tcp:5432",
        "7 joined group:dev",
    ),
    (
        "    - kim@x.com\n",
        "",
        "- kim@x.com -> tag:db tcp:22",
        "8 left group:ops",
    ),
    (
        "db-2: {tags: [tag:db]}",
        "db-2: {tags: [tag:gw]}",
        "- group:dev -> db-2 tcp:5432",
        "24 no longer tagged tag:db",
    ),
    (
        "db-2: {tags: [tag:db]}",
        "db-2: {owner: ana@x.com}",
        "- group:ops -> db-2 tcp:22",
        "24 no longer tagged tag:db",
    ),
    (
        "printer: 10.20.0.9",
        "printer: 10.20.0.10",
        "+ group:dev -> printer tcp:631",
        "12 host printer changed",
    ),
    (
        '"10.20.0.0/24"',
        '"10.20.0.0/25"',
        "- group:ops -> 10.20.0.128/25 tcp:80",
        "13 ipset:lan changed",
    ),
    (
        '"custom:managed": true',
        '"custom:managed": false',
        "- group:ops -> tag:gw tcp:9",
        "21 attributes changed",
    ),
    (
        "custom:managed == true",
        "custom:managed == false",
        "- group:ops -> tag:gw tcp:9",
        "14 posture:managed changed",
    ),
    (
        "ben@x.com: {role: auditor}",
        "ben@x.com: {}",
        "- ben@x.com -> tag:gw tcp:443",
        "4 role of ben@x.com changed",
    ),
    (
        "gw-1: {tags: [tag:gw], routes: [10.20.0.0/16]}",
        "gw-1: {tags: [tag:gw]}",
        "- group:dev -> printer tcp:631",
        "25 routes of gw-1 changed",
    ),
    (
        "routes: {10.20.0.0/16: [tag:gw]}",
        "routes: {10.20.0.0/16: [tag:db]}",
        "- group:dev -> printer tcp:631",
        "1 approval of its routes changed",
    ),
    (
        "exitNode: true",
        "exitNode: false",
        "- group:dev -> autogroup:internet any",
        "26 exit-1 is no longer an exit node",
    ),
    (
        "  ana-phone: {owner: ana@x.com}\n",
        "",
        "- ana-phone -> tag:db tcp:5432",
        "20 before device removed",
    ),
    (
        "  db-2: {tags: [tag:db]}\n",
        "  db-2: {tags: [tag:db]}\n  db-3: {tags: [tag:db]}\n",
        "+ group:dev -> db-3 tcp:5432",
        "25 new device",
    ),
    (
        "ana-phone: {owner: ana@x.com}",
        "ana-phone: {owner: ana@x.com, disabled: true}",
        "- ana-phone -> tag:db tcp:5432",
        "20 device disabled",
    ),
    (
        "kim@x.com: {}",
        "kim@x.com: {disabled: true}",
        "- kim@x.com -> tag:db tcp:22",
        "5 kim@x.com disabled",
    ),
    (
        "kim-laptop: {owner: kim@x.com}",
        "kim-laptop: {owner: ana@x.com}",
        "- kim@x.com -> tag:db tcp:22",
        "22 now ana@x.com's",
    ),
    (
        "kim-laptop: {owner: kim@x.com}",
        "kim-laptop: {owner: ana@x.com}",
        "+ ana-laptop, ana-phone -> kim-laptop tcp:22",
        "22 now ana@x.com's",
    ),
    (
        'ip: ["tcp:5432"], name: read',
        'ip: ["tcp:5433"], name: read',
        "+ group:dev -> tag:db tcp:5433",
        "28 grant read edited",
    ),
    (
        "name: read",
        "name: read, disabled: true",
        "- group:dev -> tag:db tcp:5432",
        "28 grant read disabled",
    ),
    (
        '  - {src: [group:ops], dst: [tag:db], ip: ["tcp:22"]}\n',
        "",
        "- group:ops -> tag:db tcp:22",
        "29 before grant removed",
    ),
    (
        '[autogroup:self], ip: ["tcp:22"]',
        '[autogroup:self], ip: ["tcp:23"]',
        "+ autogroup:member -> autogroup:self tcp:23",
        "34 grant edited",
    ),
    (
        "name: read",
        "name: read, expires: 2030-01-31",
        "- group:dev -> tag:db tcp:5432 never to 2030-01-31",
        "28 grant read edited",
    ),
    (
        "kim@x.com: {}",
        "kim@x.com: {expires: 2030-01-31}",
        "- kim@x.com -> tag:db tcp:22 never to 2030-01-31",
        "5 kim@x.com ends with 2030-01-31",
    ),
    (
        "ana-phone: {owner: ana@x.com}",
        "ana-phone: {owner: ana@x.com, expires: 2030-01-31}",
        "- ana-phone -> tag:db tcp:5432 never to 2030-01-31",
        "20 device ends with 2030-01-31",
    ),
]


def tailnet(folder: Path, text: str) -> Tailnet:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tailnet.yaml").write_text(text)
    loaded = load(folder)
    assert loaded.tailnet is not None, loaded.findings
    return loaded.tailnet


def compared(folder: Path, old: str, new: str, at: str | None = None) -> AccessChange:
    moment = None if at is None else parse_deadline(at)
    before, after = tailnet(folder / "a", old), tailnet(folder / "b", new)
    return difference(before, after, moment)


def sketch(sign: str, line: ChangedLine) -> str:
    ports = "any" if len(line.ports.ranges) > 1 and line.src.names else str(line.ports)
    said = f"{sign} {', '.join(line.src.names)} -> {', '.join(line.dst.names)} {ports}"
    if line.was_held and line.is_held:
        from tailgit.model.deadline import deadline_text

        ends = (line.was, line.until)
        said += " " + " to ".join(
            "never" if each is None else deadline_text(each) for each in ends
        )
    return said


def said(change: AccessChange) -> dict[str, str]:
    """The lines that are no ping, each with its causes."""
    return {
        sketch(sign, line): "; ".join(
            f"{each.place.line}{' before' * each.is_old} {each.text}"
            for each in line.causes
        )
        for sign, lines in (("+", change.gained), ("-", change.lost))
        for line in lines
        if not line.is_implied
    }


@pytest.mark.parametrize(
    ("there", "instead", "line", "cause"), SAID, ids=[each[3] for each in SAID]
)
def test_line_names_its_cause(there, instead, line, cause, tmp_path):
    """One edit, and the line of the file that it stands in."""
    assert BEFORE.count(there) == 1
    found = said(compared(tmp_path, BEFORE, BEFORE.replace(there, instead)))
    assert line in found, found
    assert found[line] == cause


def test_nothing_is_said_of_what_means_the_same(tmp_path):
    """Other words, another order, another name, remarks: no change in access."""
    other = BEFORE.replace('ip: ["tcp:5432"], name: read', "ip: ['6:5432'], name: sql")
    rules = other.split("grants:\n")[1].split("  - ")
    rules = ["", *rules[:0:-1]]
    other = other.split("grants:\n")[0] + "grants:\n" + "  - ".join(rules)
    change = compared(tmp_path, BEFORE, other)
    assert change.is_noop, said(change)
    assert change.counts.unchanged > 0


def test_what_self_says_already_is_no_news(tmp_path):
    """Somebody's own devices reach each other by a rule to self before and after: then
    another rule about the same makes no difference to them."""
    rule = '  - {src: [group:dev], dst: [group:dev], ip: ["tcp:22"]}\n'
    change = compared(tmp_path / "1", BEFORE, BEFORE + rule)
    assert change.counts.gain == 0
    assert all(line.is_ahead for line in change.gained)
    more = rule.replace("tcp:22", "tcp:22-23")
    change = compared(tmp_path / "2", BEFORE, BEFORE + more)
    own = {str(each.ports) for each in change.gained if each.pairs}
    assert own == {"tcp:23"}
    assert change.counts.gain == 2


def test_addresses_of_nobody_gain_nothing(tmp_path):
    """In the tailnet's own range only devices have addresses; the rest is nobody's."""
    rule = '  - {src: ["100.100.7.0/24"], dst: [tag:db], ip: ["tcp:1"]}\n'
    assert compared(tmp_path, BEFORE, BEFORE + rule).is_noop


def test_the_rule_that_lasts_is_the_cause(tmp_path):
    """Of two rules for the same, the one that ends first has not brought about what
    holds longer than it does."""
    soon = '  - {src: [group:dev], dst: [tag:gw], ip: ["tcp:8"], expires: 2030-01-31}\n'
    rule = '  - {src: [group:dev], dst: [tag:gw], ip: ["tcp:8"]}\n'
    found = said(compared(tmp_path, BEFORE, BEFORE + soon + rule))
    assert found == {"+ group:dev -> tag:gw tcp:8": "40 new grant"}


def test_a_rename_is_no_change(tmp_path):
    """A device that says what it was called before is the same device."""
    other = BEFORE.replace(
        "ana-phone: {owner", "ana-mobile: {formerly: [ana-phone], owner"
    )
    assert compared(tmp_path / "1", BEFORE, other).is_noop
    assert compared(tmp_path / "2", other, BEFORE).is_noop
    other = other.replace("formerly: [ana-phone], ", "")
    assert not compared(tmp_path / "3", BEFORE, other).is_noop


def test_what_is_over_is_absent(tmp_path):
    """Judged at a time, what has ended by then makes no difference any more."""
    other = BEFORE.replace("name: read", "name: read, expires: 2030-01-31")
    gone = BEFORE.replace(
        '  - {src: [group:dev], dst: [tag:db], ip: ["tcp:5432"], name: read}\n', ""
    )
    later = compared(tmp_path / "1", gone, other, "2030-02-01")
    assert later.is_noop
    assert not compared(tmp_path / "2", gone, other, "2030-01-30").is_noop


def test_who_is_taken_out_is_told_what_is_left(tmp_path):
    """Of somebody who leaves a group all lines that still hold are listed."""
    other = BEFORE.replace("    - ben@x.com\n", "").replace(
        "group:dev: [ana@x.com]", "group:dev: [ana@x.com, ben@x.com]"
    )
    kept = {each.who: each.lines for each in compared(tmp_path, BEFORE, other).kept}
    assert list(kept) == ["ben@x.com"]
    names = {(line.dst.name, str(line.ports)) for line in kept["ben@x.com"]}
    assert ("tag:db", "tcp:5432") in names
    assert ("tag:gw", "tcp:443") in names
    assert ("tag:db", "tcp:22") not in names


def test_rules_speak_of_devices_to_come(tmp_path):
    """A name without devices has lines as well, for two of each: a rule may join a
    name to itself."""
    more = BEFORE.replace("tag:exit: []", "tag:exit: [], tag:new: []")
    other = more + '  - {src: [tag:new], dst: [tag:new, tag:db], ip: ["tcp:7"]}\n'
    change = compared(tmp_path, more, other)
    (line,) = [each for each in change.gained if not each.is_implied]
    assert sketch("+", line) == "+ tag:new -> tag:new, tag:db tcp:7"
    assert line.is_ahead
    assert line.pairs == 0
    assert change.counts.gain == 0
    alone = more + '  - {src: [tag:new], dst: [tag:new], ip: ["tcp:7"]}\n'
    one = "  db-3: {tags: [tag:new]}\ngrants:\n"
    change = compared(
        tmp_path, more.replace("grants:\n", one), alone.replace("grants:\n", one)
    )
    assert [each.is_ahead for each in change.gained if not each.is_implied] == [True]
