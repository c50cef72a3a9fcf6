"""`tailgit test`: the policy's own tests, as typed and as printed."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tailgit.cli import run
from tailgit.errors import Exit

Capture = pytest.CaptureFixture[str]

POLICY = """\
tagOwners: {tag:gw: []}
autoApprovers: {routes: {10.20.0.0/16: [tag:gw]}}
hosts: {printer: 10.20.0.9}
grants:
  - {src: [group:data-team], dst: [tag:db], ip: ["tcp:5432"], name: data-postgres}
  - {src: [ana-laptop], dst: [tag:db], ip: ["tcp:8080"], expires: 2099-01-31}
  - {src: [autogroup:member], dst: [printer], ip: ["tcp:631"]}
ssh:
  - {action: check, src: [group:data-team], dst: [tag:db], users: [ana]}
tests:
  # The data team reads, and has no shell.
  - {src: ana@acme.com, accept: ["db-1:22"], deny: ["db-1:5432"]}
  - {src: ana@acme.com, deny: ["printer:631"]}
  - {src: tag:db, deny: ["ana-laptop:22"]}
sshTests:
  # Nobody is <root> & "boss".
  - {src: ana@acme.com, dst: [tag:db], accept: [root], check: [ana]}
"""

ROUTER = """\
devices:
  gw-1:
    tags: [tag:gw]
    routes: [10.20.0.0/16]
    publicKey: "6naMHJ82eek3e9rcZNfgvkTTrATbytdgHSECIAQ7XDw="
    endpoints: ["203.0.113.12:51820"]
"""


@pytest.fixture
def office(acme: Path) -> Path:
    """Tests of which four targets fail, each for another reason."""
    (acme / "policy.yaml").write_text(POLICY)
    (acme / "router.yaml").write_text(ROUTER)
    return acme


def test_all_hold(acme: Path, capsys: Capture) -> None:
    """One line a tailnet, with the number of tests and targets."""
    assert run(["test", str(acme)]) == Exit.DONE
    assert capsys.readouterr().out == "acme: 1 test, 2 targets, all hold\n"


def test_failures_show_the_way_of_the_packet(office: Path, capsys: Capture) -> None:
    """Each failing target: what was expected, and device, rule, router, device."""
    assert run(["test", str(office)]) == Exit.INVALID
    said = capsys.readouterr().out
    blocks = said.split("\n\n")
    reading, printing, login = blocks[:3]
    assert reading.startswith(
        "policy.yaml:12:5: FAILED  The data team reads, and has no shell.\n"
        "  ana@acme.com -> db-1:22: expected ALLOWED, got DENIED"
    )
    assert "-x db-1 (100." in reading
    assert "ana-laptop may reach db-1 on tcp:5432 (policy.yaml:5:5)" in reading
    assert "-> policy.yaml:5 data-postgres (tcp:5432) -> db-1 (100." in reading
    assert printing.startswith("policy.yaml:13:5: FAILED\n")
    assert "-> policy.yaml:7 (tcp:631) -> router gw-1 -> 10.20.0.9" in printing
    assert "tag:db" not in reading
    assert login.startswith('policy.yaml:17:5: FAILED  Nobody is <root> & "boss".\n')
    assert "lets ana-laptop in as ana, you asked root" in login
    assert said.endswith("acme: 4 tests, 6 targets, 4 fail\n")


def test_junit_has_a_case_for_each_target(office: Path, capsys: Capture) -> None:
    """CI servers see which target of which test fails, and where it stands."""
    assert run(["test", str(office), "--format", "junit"]) == Exit.INVALID
    root = ET.fromstring(capsys.readouterr().out)
    (suite,) = root
    cases = list(suite)
    assert (suite.get("tests"), suite.get("failures")) == ("6", "4")
    assert len({case.get("name") for case in cases}) == 6
    assert cases[0].get("name") == (
        "The data team reads, and has no shell.: accept: ana@acme.com -> db-1:22 "
        "(policy.yaml:12:34)"
    )
    assert cases[0].get("file") == "policy.yaml"
    failed = [case.find("failure") for case in cases]
    assert failed[0] is not None
    assert "expected ALLOWED" in (failed[0].get("message") or "")
    assert "-x db-1" in (failed[0].text or "")
    assert failed[3] is None


def test_json_has_each_target(office: Path, capsys: Capture) -> None:
    """Programs get every target with its verdict and the ways of its packets."""
    assert run(["test", str(office), "--format", "json"]) == Exit.INVALID
    document = json.loads(capsys.readouterr().out)
    assert document["format_version"] == 1
    assert document["holds"] is False
    (tailnet,) = document["tailnets"]
    assert (tailnet["targets"], tailnet["failed"]) == (6, 4)
    assert tailnet["tests"][0]["name"] == "The data team reads, and has no shell."
    assert tailnet["tests"][2]["holds"] is True
    assert tailnet["tests"][3]["section"] == "sshTests"
    assert tailnet["tests"][0]["targets"][0]["ways"]


def test_no_tests_is_said_and_no_failure(acme: Path, capsys: Capture) -> None:
    """A policy without tests passes, with a word about it; JUnit has a case."""
    policy = (acme / "policy.yaml").read_text().split("tests:")[0]
    (acme / "policy.yaml").write_text(policy)
    assert run(["test", str(acme)]) == Exit.DONE
    assert capsys.readouterr().out == "acme: no tests\n"
    assert run(["test", str(acme), "--format", "junit"]) == Exit.DONE
    (suite,) = ET.fromstring(capsys.readouterr().out)
    assert [case.get("name") for case in suite] == ["no tests"]


def test_an_invalid_tailnet_is_not_tested(acme: Path, capsys: Capture) -> None:
    """Tests of a broken policy fail for a reason that is said already: exit 3."""
    (acme / "policy.yaml").write_text("grants: [{src: [group:x], dst: [tag:db]}]\n")
    assert run(["test", str(acme)]) == Exit.INVALID
    said = capsys.readouterr().out
    assert "error[unknown-group]" in said
    assert said.splitlines()[-1].startswith("acme: not valid, ")
    assert run(["test", str(acme), "--format", "junit"]) == Exit.INVALID
    (suite,) = ET.fromstring(capsys.readouterr().out)
    assert suite.get("failures") == "1"


def test_every_tailnet_below_is_tested(acme: Path, capsys: Capture) -> None:
    """A folder above several tailnets means all of them, and one failure counts."""
    other = acme.parent / "beta"
    other.mkdir()
    for file in acme.iterdir():
        (other / file.name).write_text(file.read_text())
    text = (other / "tailnet.yaml").read_text()
    text = text.replace("name: acme", "name: beta").replace(
        "100.64.0.0/10", "10.9.0.0/16"
    )
    (other / "tailnet.yaml").write_text(
        text.replace("fd5c:91aa:7be0", "fd5c:91aa:7be1")
    )
    policy = (other / "policy.yaml").read_text().replace('"db-1:22"', '"db-1:5432"')
    (other / "policy.yaml").write_text(policy)
    assert run(["test", str(acme.parent)]) == Exit.INVALID
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last[0] == "acme: 1 test, 2 targets, all hold"
    assert last[1].endswith("1 fails")


def test_a_time_leaves_out_what_is_over(office: Path, capsys: Capture) -> None:
    """Without --at everything counts; at a time, what has ended lets nobody in."""
    kept = POLICY.split("tests:")[0].rsplit("ssh:", 1)[0]
    test = 'tests:\n  - {src: ana-laptop, accept: ["db-1:8080"]}\n'
    (office / "policy.yaml").write_text(kept + test)
    assert run(["test", str(office)]) == Exit.DONE
    assert run(["test", str(office), "--at", "2099-01-30"]) == Exit.DONE
    capsys.readouterr()
    assert run(["test", str(office), "--at", "2099-02-01"]) == Exit.INVALID
    assert "expected ALLOWED, got DENIED" in capsys.readouterr().out


def test_names_cannot_act_on_the_terminal(office: Path, capsys: Capture) -> None:
    """Escapes in comments and file names are shown, not obeyed, in every form."""
    (office / "policy.yaml").rename(office / "p\x1b[2J\u202e.yaml")
    for form in ("text", "json", "junit"):
        assert run(["test", str(office), "--format", form]) == Exit.INVALID
        said = capsys.readouterr().out
        assert "\x1b" not in said, form
        assert "\u202e" not in said, form
