"""A policy.hujson alone: a root without devices, with Tailscale's own meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailgit.access import run_tests
from tailgit.check import examine
from tailgit.cli import run
from tailgit.load import Loaded, load, roots
from tailgit.load.bare import with_stand_ins
from tailgit.model.addresses import TAILSCALE
from tests.load.files import HEAD, committed, write
from tests.load.policies import loaded, tailnet_of

POLICY = """\
{
  "groups": {"group:dev": ["ana@acme.com"], "group:none": []},
  "tagOwners": {"tag:db": [], "tag:web": []},
  "hosts": {"srv": "10.1.0.1"},
  "acls": [
    // Devs read the database.
    {"action": "accept", "src": ["group:dev"], "dst": ["tag:db:5432", "srv:22"]},
    {"action": "accept", "src": ["autogroup:admin"], "dst": ["*:*"]},
  ],
  "ssh": [
    {"action": "accept", "src": ["group:dev"], "dst": ["tag:db"], "users": ["root"]},
  ],
  "tests": [
    {"src": "ana@acme.com", "accept": ["tag:db:5432", "srv:22"], "deny": ["tag:db:22"]},
    {"src": "autogroup:owner", "deny": ["tag:db:22"]},
    {"src": "tag:web", "deny": ["tag:db:5432", "srv:22"]},
  ],
  "sshTests": [{"src": "ana@acme.com", "dst": ["tag:db"], "accept": ["root"]}],
}
"""


def policy(folder: Path, text: str) -> Loaded:
    return load(write(folder, {"policy.hujson": text}))


def test_it_is_a_root(tmp_path: Path) -> None:
    """Without tailnet.yaml nothing else of the folder is read, and it is valid."""
    files = {"policy.hujson": POLICY, "a.yaml": "on: push\n", "b.json": "{"}
    write(tmp_path / "net", dict(files))
    for path in (tmp_path, tmp_path / "net"):
        found = load(path)
        assert found.findings == ()
        assert found.tailnet is not None
        assert found.tailnet.is_bare
        assert found.tailnet.devices == {}
        assert found.tailnet.everybody == TAILSCALE
        assert found.tailnet.rules[0].description == "Devs read the database."


def test_it_is_read_from_a_revision(tmp_path: Path) -> None:
    """As a commit has it, not as the file is now."""
    folder = committed(tmp_path / "repo", {"policy.hujson": POLICY})
    write(folder, {"policy.hujson": "{"})
    found = load(folder, "HEAD")
    assert (found.findings, found.root) == ((), "")
    assert found.tailnet is not None
    assert load(folder).tailnet is None


def test_absence_allows_everything(tmp_path: Path) -> None:
    """Neither acls nor grants: Tailscale's meaning; an empty list allows nothing."""
    found = policy(tmp_path / "a", "{}").tailnet
    assert found is not None
    (rule,) = found.rules
    assert [str(each) for each in (*rule.src, *rule.dst)] == ["*", "*"]
    for text in ('{"acls": []}', '{"grants": []}'):
        empty = policy(tmp_path / "b", text).tailnet
        assert empty is not None
        assert empty.rules == ()


def test_a_tailnet_without_rules_stays_an_error() -> None:
    """There, absence is not a rule."""
    codes = [each.code for each in loaded("").findings]
    assert "no-policy" in codes


def test_a_tailnet_is_found_before_a_policy(tmp_path: Path) -> None:
    """A policy beside a tailnet's folder makes no second root of the repository."""
    files = {"a/tailnet.yaml": HEAD, "old/policy.hujson": "{}", "policy.hujson": "{}"}
    write(tmp_path / "x", dict(files))
    assert load(tmp_path / "x").root == "a"
    several = {"a/policy.hujson": "{}", "b/policy.hujson": "{}"}
    assert roots(write(tmp_path / "y", dict(several))) == ("a", "b")


def test_what_only_a_tailnet_has_is_refused(tmp_path: Path) -> None:
    """With what makes one; a misspelt section is a misspelt section."""
    text = '{"devices": {}, "acls": [], "grps": {}}'
    found = {each.message: each.help for each in policy(tmp_path, text).findings}
    assert found == {
        "the section `devices` needs a tailnet": (
            "a tailnet.yaml in the same folder makes one"
        ),
        "no section `grps`": "did you mean `groups`?",
    }


def test_private_keys_are_found_there_too(tmp_path: Path) -> None:
    """Whatever the file is called, a key in it has left its machine."""
    key = "6Zg1hk2gZLIdZbvcOZtPzqTdgLHbfBv9ZEUVLKzzIyA="
    text = f'{{"acls": [] /* PrivateKey = {key} */}}'
    assert "private-key" in [each.code for each in policy(tmp_path, text).findings]


def test_its_tests_have_stand_ins(tmp_path: Path) -> None:
    """Every user, role and tag that it names can be asked for."""
    found = policy(tmp_path, POLICY)
    assert found.tailnet is not None
    assert [each for each in examine(found) if each.is_error] == []
    failed = [each.message for each in run_tests(found.tailnet)]
    (message,) = failed
    assert message.startswith("autogroup:owner -> tag:db:22: expected DENIED")


def test_stand_ins_are_of_their_kind(tmp_path: Path) -> None:
    """A user's has an owner, a tag's the tag; no two share an address."""
    tailnet = policy(tmp_path, POLICY).tailnet
    assert tailnet is not None
    whole = with_stand_ins(tailnet)
    assert whole.devices["tag:db"].tags == ("tag:db",)
    assert whole.devices["ana@acme.com"].owner == "ana@acme.com"
    addresses = [each.ipv4 for each in whole.devices.values()]
    assert len(set(addresses)) == len(addresses) == 3 + 6


def test_a_tailnet_gets_none() -> None:
    """Where there are devices, nobody stands in for them; nor where there are none."""
    tailnet = tailnet_of("grants: []\n")
    assert with_stand_ins(tailnet) is tailnet


@pytest.mark.parametrize(
    ("text", "code"), [(POLICY.replace("owner", "admin"), 3), ('{"acls": []}', 0)]
)
def test_check_takes_it(
    tmp_path: Path, text: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """As typed; a failing test is an error as everywhere."""
    folder = write(tmp_path, {"policy.hujson": text})
    assert run(["check", str(folder)]) == code
    assert "policy: 0 devices" in capsys.readouterr().out


def test_nothing_edits_it(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There is no tailnet to add a device to; `fmt` leaves the file as it is."""
    folder = write(tmp_path, {"policy.hujson": POLICY})
    monkeypatch.chdir(folder)
    assert run(["device", "add", "x", "--owner", "ana@acme.com"]) == 4
    assert "`tailgit init`" in capsys.readouterr().err
    assert run(["fmt"]) == 0
    assert (folder / "policy.hujson").read_text() == POLICY
