"""`tailgit export policy`: HuJSON that means what the tailnet's YAML means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tailgit.cli import run
from tailgit.errors import Exit

Capture = pytest.CaptureFixture[str]

EXPECTED = """\
// The policy of the tailnet acme: `tailgit export policy`.
// Its source is a git repository: what is changed here is lost.
{
	"groups": {
		"group:data-team": ["ana@acme.com"],
	},

	"hosts": {
		"ana-laptop.ipv4": "100.64.7.1",
		"ana-laptop.ipv6": "fd5c:91aa:7be0::7:1",
		"db-1.ipv4": "100.64.7.2",
		"db-1.ipv6": "fd5c:91aa:7be0::7:2",
	},

	"tagOwners": {
		"tag:db": ["group:data-team"],
	},

	"acls": [
		{"action": "accept", "src": ["*"], "dst": ["db-1.ipv4:8", "db-1.ipv6:8"]},
	],

	"grants": [
		// data-postgres: The data team reads the replicas.
		{"src": ["group:data-team"], "dst": ["tag:db"], "ip": ["tcp:5432"]},
		// Left out, since it is disabled: Not now.

		// Left out, since it ended with 2020-01-31: Long ago.

		// Shells for a while. (Ends with 2900-01-01: export again then.)
		{
			"src": ["ana-laptop.ipv4", "ana-laptop.ipv6"],
			"dst": ["db-1.ipv4", "db-1.ipv6"],
			"ip": ["tcp:22"],
		},
	],

	"tests": [
		{"src": "ana@acme.com", "accept": ["db-1.ipv4:5432", "db-1.ipv6:5432"]},
		{"src": "ana-laptop.ipv4", "accept": ["db-1.ipv4:22"], "deny": ["db-1.ipv4:9"]},
		{"src": "ana-laptop.ipv6", "accept": ["db-1.ipv6:22"], "deny": ["db-1.ipv6:9"]},
	],
}
"""


@pytest.fixture
def pinned(acme: Path) -> Path:
    """The small tailnet with readable addresses, and every kind of rule."""
    devices = (acme / "devices.yaml").read_text()
    for name, number in (("ana-laptop", 1), ("db-1", 2)):
        pins = f"ipv4: 100.64.7.{number}\n    ipv6: fd5c:91aa:7be0::7:{number}"
        devices = devices.replace(f"  {name}:\n", f"  {name}:\n    {pins}\n")
    (acme / "devices.yaml").write_text(devices)
    (acme / "policy.yaml").write_text("""\
acls:
  - {action: accept, src: ["*"], dst: ["db-1:8"]}
grants:
  # The data team reads the replicas.
  - {src: [group:data-team], dst: [tag:db], ip: ["tcp:5432"], name: data-postgres}
  # Not now.
  - {src: ["*"], dst: ["*"], ip: ["*"], disabled: true}
  # Long ago.
  - {src: [tag:db], dst: [ana-laptop], ip: ["tcp:9"], expires: 2020-01-31}
  # Shells for a while.
  - {src: [ana-laptop], dst: [db-1], ip: ["tcp:22"], expires: 2900-01-01}
tests:
  - {src: ana@acme.com, accept: ["db-1:5432"]}
  - {src: ana-laptop, accept: ["db-1:22"], deny: ["db-1:9"]}
""")
    return acme


def test_a_policy_as_tailscale_writes_it(pinned: Path, capsys: Capture) -> None:
    """Devices become hosts, comments stay, what is over is left out and named."""
    assert run(["export", "policy", "--repo", str(pinned)]) == Exit.DONE
    done = capsys.readouterr()
    assert done.out == EXPECTED
    assert done.err == (
        "policy.yaml:7:5: left-out: a rule that is disabled\n"
        "policy.yaml:9:5: left-out: a rule that ended with 2020-01-31\n"
        "policy.yaml:11:5: not-enforced: the rule ends with 2900-01-01, and "
        "Tailscale's policy has no deadlines\n"
        "  help: export again afterwards\n"
    )


def test_what_is_exported_holds_beside_the_same_devices(
    pinned: Path, capsys: Capture
) -> None:
    """As policy.hujson in the place of the YAML it passes check and its own tests."""
    assert run(["export", "policy", "--repo", str(pinned)]) == Exit.DONE
    text = capsys.readouterr().out
    (pinned / "policy.yaml").unlink()
    tailnet = (pinned / "tailnet.yaml").read_text()
    tailnet = tailnet.split("groups:")[0]
    (pinned / "tailnet.yaml").write_text(tailnet)
    (pinned / "policy.hujson").write_text(text)
    assert run(["check", str(pinned), "--no-local"]) == Exit.DONE
    words = ["explain", "ana-laptop", "db-1:22", "--repo", str(pinned), "--exit-code"]
    assert run(words) == Exit.DONE
    assert run([*words[:2], "db-1:23", *words[3:]]) == Exit.INVALID


def test_json_has_the_notes(pinned: Path, capsys: Capture) -> None:
    """One document for programs."""
    assert run(["export", "policy", "--repo", str(pinned), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["policy"] == EXPECTED
    assert [each["kind"] for each in document["notes"]] == [
        "left-out",
        "left-out",
        "not-enforced",
    ]


def test_a_login_rule_that_names_a_machine_is_refused(
    acme: Path, capsys: Capture
) -> None:
    """Tailscale has no word for it, and leaving it out could open more."""
    with (acme / "policy.yaml").open("a") as file:
        file.write(
            "ssh:\n"
            "  - {action: accept, src: [ana@acme.com], dst: [db-1], users: [root]}\n"
        )
    assert run(["export", "policy", "--repo", str(acme)]) == Exit.FAILED
    done = capsys.readouterr()
    assert done.out == ""
    assert "policy.yaml:7:49: Tailscale's ssh rules can't name a machine" in done.err


def test_a_tailnet_with_errors_is_not_exported(acme: Path, capsys: Capture) -> None:
    """Half a policy could mean more than the whole."""
    with (acme / "policy.yaml").open("a") as file:
        file.write("hosts: {x: nowhere}\n")
    assert run(["export", "policy", "--repo", str(acme)]) == Exit.INVALID
    assert capsys.readouterr().out == ""


def test_no_rules_stay_no_rules(tmp_path: Path, capsys: Capture) -> None:
    """A tailnet without rules allows nothing, and Tailscale must read it so."""
    (tmp_path / "tailnet.yaml").write_text(
        "tailnet: {format: 1, name: x, domain: x.internal, ipv4: 100.64.0.0/10, "
        'ipv6: "fd5c:91aa:7be0::/48"}\n'
    )
    assert run(["export", "policy", "--repo", str(tmp_path)]) == Exit.DONE
    assert '"grants": [],' in capsys.readouterr().out


def test_a_policy_alone_stays_what_it_is(tmp_path: Path, capsys: Capture) -> None:
    """A bare policy.hujson without rules allows everything, and so does its export."""
    (tmp_path / "policy.hujson").write_text('{"groups": {"group:a": ["a@b.c"]}}')
    assert run(["export", "policy", "--repo", str(tmp_path)]) == Exit.DONE
    out = capsys.readouterr().out
    assert out.startswith('{\n\t"groups": {')
    assert '{"src": ["*"], "dst": ["*"], "ip": ["*"]},' in out


def test_tests_ask_for_the_families_of_their_source(
    pinned: Path, capsys: Capture
) -> None:
    """A source with one address has tests with one; taken names are not used."""
    with (pinned / "policy.yaml").open("a") as file:
        file.write(
            '  - {src: printer, deny: ["db-1:22"]}\n'
            "hosts: {printer: 10.1.1.1, db-1.ipv4: 10.1.1.2}\n"
        )
    assert run(["export", "policy", "--repo", str(pinned)]) == Exit.DONE
    out = capsys.readouterr().out
    assert '"db-1.ipv4": "10.1.1.2",' in out
    assert '"db-1.ipv4-tailgit": "100.64.7.2",' in out
    assert '{"src": "printer", "deny": ["db-1.ipv4-tailgit:22"]},' in out


def test_examples_of_logins_name_machines_by_address(
    pinned: Path, capsys: Capture
) -> None:
    """`sshTests` may ask for one machine; its export holds beside the same devices."""
    with (pinned / "policy.yaml").open("a") as file:
        file.write(
            "ssh:\n"
            "  # Shells.\n"
            "  - {action: check, src: [ana@acme.com], dst: [tag:db], users: [root]}\n"
            "sshTests:\n"
            "  - {src: ana-laptop, dst: [db-1], check: [root], deny: [ubuntu]}\n"
        )
    assert run(["export", "policy", "--repo", str(pinned)]) == Exit.DONE
    out = capsys.readouterr().out
    assert "\t\t// Shells.\n\t\t{" in out
    assert '"src": "ana-laptop.ipv4",' in out
    tailnet = (pinned / "tailnet.yaml").read_text().split("groups:")[0]
    (pinned / "tailnet.yaml").write_text(tailnet)
    (pinned / "policy.yaml").unlink()
    (pinned / "policy.hujson").write_text(out)
    assert run(["check", str(pinned), "--no-local"]) == Exit.DONE


def test_people_and_devices_that_end_are_named(acme: Path, capsys: Capture) -> None:
    """Tailscale would go on letting them in."""
    file = acme / "ending.yaml"
    file.write_text("devices: {old: {tags: [tag:db], expires: 2900-01-31}}\n")
    assert run(["export", "policy", "--repo", str(acme)]) == Exit.DONE
    assert (
        "ending.yaml:1:11: not-enforced: `old` ends with 2900-01-31, and Tailscale's "
        "policy has no deadlines\n  help: take them out there on that day\n"
    ) in capsys.readouterr().err
