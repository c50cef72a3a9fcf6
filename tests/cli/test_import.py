"""`tailgit import` as somebody types it who has a policy or WireGuard files."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tailgit.cli import run
from tailgit.errors import Exit
from tests.importers.tunnels import private, public

POLICY = """\
{
  // Who is who.
  "groups": {"group:dev": ["alice@", "bob@example.com"]},
  "acls": [
    // Developers reach each other.
    {"action": "accept", "src": ["group:dev"], "dst": ["alice@:22"]},
  ],
  "derpMap": {"OmitDefaultRegions": true},
}
"""

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "acl.hujson"
    file.write_text(POLICY)
    return file


def test_a_policy_goes_to_standard_output(policy: Path, capsys: Capture) -> None:
    """The YAML is the result, what there is to say of it goes to standard error."""
    assert run(["import", "headscale", str(policy), "--email-domain", "acme.com"]) == 0
    done = capsys.readouterr()
    assert done.out == (
        "# Who is who.\n"
        "groups:\n"
        "  group:dev: [alice@acme.com, bob@example.com]\n"
        "\n"
        "acls:\n"
        "  # Developers reach each other.\n"
        '  - {action: accept, src: [group:dev], dst: ["alice@acme.com:22"]}\n'
        "\n"
        "derpMap:\n"
        "  OmitDefaultRegions: true\n"
    )
    assert done.err == (
        f"{policy}:3:28: changed: `alice@` is `alice@acme.com` now\n"
        f"{policy}:8:3: not-enforced: `derpMap` has no effect in this version: there "
        "are no DERP relays [not-used]\n"
    )


def test_users_are_never_guessed(policy: Path, capsys: Capture) -> None:
    """Without a word about them they stay, --user names one, and nobody is merged."""
    assert run(["import", "headscale", str(policy)]) == Exit.DONE
    done = capsys.readouterr()
    assert "alice@, bob@" not in done.out
    assert '"alice@"' in done.out
    assert "assumed: `alice@` is a user without an e-mail address" in done.err
    words = ["import", "headscale", str(policy), "--user"]
    assert run([*words, "alice@=ana@acme.com"]) == Exit.DONE
    assert "[ana@acme.com, bob@example.com]" in capsys.readouterr().out
    assert run([*words, "alice@=bob@example.com"]) == Exit.REFUSED
    assert "whom the policy names already" in capsys.readouterr().err
    assert run([*words, "alice=x"]) == Exit.USAGE
    assert run(["import", "headscale", str(policy), "--email-domain", "@x"]) == 64


def test_out_writes_what_check_takes(acme: Path, policy: Path, capsys: Capture) -> None:
    """The file goes beside a tailnet.yaml; a second time nothing is written over."""
    (acme / "policy.yaml").unlink()
    policy.write_text('{"grants": [{"src": ["*"], "dst": ["tag:db"], "ip": ["22"]}]}')
    words = ["import", "tailscale", str(policy), "--out", str(acme)]
    assert run(words) == Exit.DONE
    done = capsys.readouterr()
    assert f"wrote {acme}/policy.yaml\nNext:  tailgit check {acme}\n" == done.out
    assert run(["check", str(acme), "--no-local"]) == Exit.DONE
    assert run(["fmt", "--check", str(acme / "policy.yaml")]) == Exit.DONE
    before = (acme / "policy.yaml").read_bytes()
    policy.write_text('{"grants": []}')
    assert run(words) == Exit.REFUSED
    assert "exists already" in capsys.readouterr().err
    assert (acme / "policy.yaml").read_bytes() == before


def test_the_original_in_the_tailnet_is_a_second_definition(
    acme: Path, capsys: Capture
) -> None:
    """A policy.hujson below the folder counts, too; the import says so."""
    (acme / "policy.yaml").unlink()
    (acme / "policy.hujson").write_text('{"hosts": {"a": "10.0.0.1"}, "grants": []}')
    words = ["import", "tailscale", str(acme / "policy.hujson"), "--out", str(acme)]
    assert run(words) == Exit.DONE
    assert "defined twice; take it out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ('{"acls": [${RULES}]}', "1:11", "`${RULES}` is a template that nobody filled"),
        ('{"acls": {{ rules }}}', "1:10", "`{{ rules }}` is a template that nobody"),
        ('{\n# rules\n"acls": []}', "2:1", "`#` begins no comment here"),
        ('{"acls": [\n {"src": []\n "dst": []}]}', "2:12", "a comma is missing here"),
        ('{"acls": [], "grnts": []}', "1:14", "unknown section `grnts`"),
        ('{"message": "forbidden"}', "1:2", "does not know the section `message`"),
        ("", "1:1", "there is no policy in it"),
        ("<html>", "1:1", "`<html>` stands without quotes"),
    ],
)
def test_what_is_no_policy_is_said_at_its_place(
    tmp_path: Path, capsys: Capture, text: str, place: str, said: str
) -> None:
    """Templates, comments of YAML, lost commas, an API's answers: nothing written."""
    file = tmp_path / "p.hujson"
    file.write_text(text)
    words = ["import", "tailscale", str(file), "--out", str(tmp_path / "new")]
    assert run(words) == Exit.INVALID
    done = capsys.readouterr()
    assert done.err.startswith(f"{file}:{place}: error")
    assert said in done.err.split("\n")[0]
    assert "nothing was imported" in done.err
    assert done.out == ""
    assert not (tmp_path / "new").exists()


def test_mistakes_of_the_policy_are_said(tmp_path: Path, capsys: Capture) -> None:
    """What Tailscale would refuse is translated, and named at its place."""
    file = tmp_path / "p.hujson"
    file.write_text('{"grants": [{"src": ["tag:x"], "dst": ["*"], "ip": ["*"]}]}')
    assert run(["import", "tailscale", str(file)]) == Exit.DONE
    done = capsys.readouterr()
    assert "src: [tag:x]" in done.out
    assert f'{file}:1:22: mistake: src=tag not found: "tag:x" [unknown-tag]' in done.err


def test_json_is_one_document(policy: Path, capsys: Capture) -> None:
    """Files and notes for programs; with --out what was written."""
    words = ["import", "tailscale", str(policy), "--format", "json"]
    assert run(words) == Exit.DONE
    done = capsys.readouterr()
    document = json.loads(done.out)
    assert document["format_version"] == 1
    assert [each["path"] for each in document["files"]] == ["policy.yaml"]
    assert document["files"][0]["text"].startswith("# Who is who.\n")
    assert [each["kind"] for each in document["notes"]] == ["not-enforced"]
    assert done.err == ""
    assert run([*words, "--out", str(policy.parent / "new")]) == Exit.DONE
    document = json.loads(capsys.readouterr().out)
    assert document["files"] == [
        {"path": str(policy.parent / "new" / "policy.yaml"), "written": True}
    ]


def test_a_pipe_is_a_file(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """`-` reads standard input; what a terminal would obey is shown escaped."""
    text = '{"grants": [], "hosts": {"a\\u001b[2J": "10.0.0.1", "\\u202e": "::1"}}'
    stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert run(["import", "tailscale", "-"]) == Exit.DONE
    done = capsys.readouterr()
    assert '"a\\x1b[2J": 10.0.0.1' in done.out
    assert '"\\u202e": "::1"' in done.out
    assert "\x1b" not in done.out + done.err


NODES = """[
 {"id": 1, "machine_key": "mkey:00", "node_key": "nodekey:00", "name": "host.x",
  "given_name": "ana-laptop", "user": {"id": 1, "name": "ana"},
  "ip_addresses": ["100.64.0.1"], "pre_auth_key": {"key": "SECRET"}},
 {"id": 2, "given_name": "Office_GW", "user": {"name": "ops", "email": "ops@acme.com"},
  "forced_tags": ["tag:router"], "approved_routes": ["10.1.0.0/16", "0.0.0.0/0"],
  "available_routes": ["10.1.0.0/16", "0.0.0.0/0", "::/0"]}
]"""
DEVICES = """{"devices": [
 {"name": "pi.tail1.ts.net", "hostname": "raspberrypi", "user": "ana@acme.com"},
 {"name": "pi.tail2.ts.net", "user": "eve@other.com", "isExternal": true},
 {"name": "db.tail1.ts.net", "user": "ana@acme.com", "tags": ["tag:db"],
  "advertisedRoutes": ["10.2.0.0/16"], "nodeKey": "nodekey:abc"}]}
"""


def test_lists_of_machines_become_devices(
    tmp_path: Path, policy: Path, capsys: Capture
) -> None:
    """Names, owners or tags and routes; no keys, no secrets, nobody else's machines."""
    (tmp_path / "nodes.json").write_text(NODES)
    (tmp_path / "devices.json").write_text(DEVICES)
    words = [
        "import",
        "headscale",
        str(policy),
        "--nodes",
        str(tmp_path / "nodes.json"),
    ]
    assert run([*words, "--email-domain", "acme.com"]) == Exit.DONE
    done = capsys.readouterr()
    assert done.out.startswith(
        "# Their keys stay where they were: `tailgit device enroll` makes new ones.\n"
        "\n"
        "devices:\n"
        "  ana-laptop: {owner: ana@acme.com}\n"
        "  # Office_GW\n"
        "  office-gw: {tags: [tag:router], routes: [10.1.0.0/16], exitNode: true}\n"
        "\n"
        "# Who is who.\n"
    )
    assert "routes of `office-gw` were approved: 10.1.0.0/16, 0.0.0.0/0" in done.err
    assert "SECRET" not in done.out + done.err
    assert "key:" not in done.out
    words = ["import", "tailscale", str(policy)]
    assert run([*words, "--devices", str(tmp_path / "devices.json")]) == Exit.DONE
    done = capsys.readouterr()
    assert "  pi: {owner: ana@acme.com}\n" in done.out
    assert "  db: {tags: [tag:db], routes: [10.2.0.0/16]}\n" in done.out
    assert "`pi` is shared by another tailnet" in done.err


@pytest.mark.parametrize("text", ["", "[", "[1]", '{"error": "no"}', "[" * 5000, "{}"])
def test_what_is_no_list_of_machines(
    tmp_path: Path, policy: Path, capsys: Capture, text: str
) -> None:
    """Some other JSON, or none: exit 3 and nothing is written."""
    file = tmp_path / "devices.json"
    file.write_text(text)
    assert run(["import", "tailscale", str(policy), "--devices", str(file)]) == 3
    done = capsys.readouterr()
    assert "error[bad-json]" in done.err
    assert done.out == ""


def test_a_file_that_is_not_there(capsys: Capture) -> None:
    """No traceback, the name and the reason."""
    assert run(["import", "tailscale", "/nowhere/acl"]) == Exit.FAILED
    assert "can't read /nowhere/acl: No such file" in capsys.readouterr().err


def test_a_private_key_is_not_carried_on(tmp_path: Path, capsys: Capture) -> None:
    """A policy with a private key in a comment is refused, as check refuses it."""
    file = tmp_path / "p.hujson"
    file.write_text(f'{{"grants": [] // PrivateKey = {private("x")}\n}}')
    assert run(["import", "tailscale", str(file)]) == Exit.INVALID
    done = capsys.readouterr()
    assert "[private-key]" in done.err
    assert private("x") not in done.out + done.err


def test_wireguard_files_become_a_tailnet(tmp_path: Path, capsys: Capture) -> None:
    """Two files, a folder: check takes it, fmt leaves it, and nothing twice."""
    for name, other, number in (("ana", "ben", 1), ("ben", "ana", 2)):
        (tmp_path / f"{name}.conf").write_text(
            f"[Interface]\nPrivateKey = {private(name)}\nAddress = 10.9.0.{number}/24\n"
            f"ListenPort = 51820\n[Peer]\nPublicKey = {public(other)}\n"
            f"Endpoint = 203.0.113.{3 - number}:51820\n"
            f"AllowedIPs = 10.9.0.{3 - number}/32\n"
        )
    files = [str(tmp_path / "ana.conf"), str(tmp_path / "ben.conf")]
    out = tmp_path / "net"
    words = ["import", "wireguard", *files, "--name", "duo", "--out", str(out)]
    assert run(words) == Exit.DONE
    said = capsys.readouterr().out
    assert said.endswith(f"wrote {out}/policy.yaml\nNext:  tailgit check {out}\n")
    assert run(["check", str(out), "--no-local"]) == Exit.DONE
    assert run(["fmt", "--check", str(out)]) == Exit.DONE
    capsys.readouterr()
    explain = ["explain", "ana", "ben:22", "--repo", str(out), "--exit-code"]
    assert run(explain) == Exit.DONE
    assert run(words) == Exit.REFUSED
    capsys.readouterr()
    assert run([*words[:-2]]) == Exit.DONE  # without --out: one document
    one = tmp_path / "one"
    one.mkdir()
    (one / "tailnet.yaml").write_text(capsys.readouterr().out)
    assert run(["check", str(one), "--no-local"]) == Exit.DONE
    assert run(["fmt", "--check", str(one)]) == Exit.DONE
    everything = b"".join(path.read_bytes() for path in out.iterdir()).decode()
    assert private("ana") not in everything
    assert public("ana") in everything


def test_a_wireguard_file_with_a_mistake(tmp_path: Path, capsys: Capture) -> None:
    """File and line, exit 3, and nothing is written."""
    file = tmp_path / "wg0.conf"
    file.write_text("[Interface]\nAddress 10.9.0.1/24\n")
    words = ["import", "wireguard", str(file), "--out", str(tmp_path / "net")]
    assert run(words) == Exit.INVALID
    assert f"{file}:2:1: error" in capsys.readouterr().err
    assert not (tmp_path / "net").exists()
    assert run(["import", "wireguard", str(file), "--name", "Not A Name"]) == 64
