"""tailgit rollback against real machines: the fleet, one node, what comes back."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable

import pytest

from tailgit.deploy.delivery import Delivery
from tailgit.errors import Exit
from tests.deploy.test_real_node import (
    POLICY,
    Fleet,
    answer_on_a_terminal,
    applied,
    fleet,
)

pytestmark = pytest.mark.live

OTHER = POLICY.replace("5432", "5433")

__all__ = ["answer_on_a_terminal", "applied", "fleet"]


def rollback(fleet: Fleet, *words: str) -> tuple[int, str, str]:
    keys = ("--identity", fleet.controller, "--signing-key", fleet.signer)
    return fleet.tailgit("rollback", *words, *map(str, keys))


def commit_of(fleet: Fleet, node: str) -> str:
    """The commit that a machine has confirmed."""
    state = "/var/lib/tailgit/acme"
    script = f"cat {state}/generations/$(cut -d' ' -f1 {state}/current)/envelope"
    lines = fleet.machines[node].run("sh", "-c", script).splitlines()
    found = dict(line.split(" ", 1) for line in lines)
    return f"{found['commit']} {found['kind']}"


def test_there_and_back_again(applied: Fleet) -> None:
    """A revoked access comes back with a rollback, which says so before all else; the
    next apply takes it away again."""
    old = applied.git("rev-parse", "HEAD")
    new = applied.commit("Move Postgres", policy_yaml=OTHER)
    assert applied.apply("--yes")[0] == Exit.DONE
    code, out, err = rollback(applied, "--to", "HEAD~1", "--yes")
    assert code == Exit.DONE, out + err
    assert "This may give back access that was taken away since:\n" in err
    assert "Who gains and who loses:  tailgit diff " in err
    assert err.index("  ! filter lines come back: db-1 +") < err.index("Plan ")
    assert "revert or mend it" in out
    assert commit_of(applied, "db-1") == f"{old} rollback"
    chains = applied.machines["db-1"].run(
        "nft", "list", "table", "inet", "tailgit_acme"
    )
    assert "5432" in chains
    code, out, err = applied.apply("--yes")
    assert code == Exit.DONE, out + err
    assert commit_of(applied, "db-1") == f"{new} apply"


def test_without_a_commit_a_person_agrees_to_the_one_before(
    applied: Fleet, answer_on_a_terminal: Callable[..., tuple[int, str]]
) -> None:
    """The one that a node had before, by name; with --yes it has to be named."""
    old = applied.git("rev-parse", "HEAD")
    new = applied.commit("Move Postgres", policy_yaml=OTHER)
    assert applied.apply("--yes")[0] == Exit.DONE
    code, _, err = rollback(applied, "--yes")
    assert code == Exit.USAGE
    assert "with --yes name it: --to COMMIT" in err
    words = ["rollback", "--repo", applied.repo, "--identity", applied.controller]
    words += ["--signing-key", applied.signer]
    code, shown = answer_on_a_terminal("y\n", *map(str, words))
    assert code == Exit.DONE, shown
    assert f"{new[:7]} is applied; before it was {old[:7]}, as db-1 says" in shown
    assert commit_of(applied, "web-1") == f"{old} rollback"
    code, _, err = rollback(applied, "--to", new, "--yes")
    assert code == Exit.REFUSED
    assert f"to go forward: tailgit apply --commit {new[:7]}" in err


def test_a_commit_that_was_never_applied_is_no_way_back(applied: Fleet) -> None:
    """A branch beside the applied one is refused; nothing is changed."""
    main = applied.git("rev-parse", "HEAD")
    applied.git("checkout", "-q", "-b", "side", "HEAD~1")
    side = applied.commit("Aside", README_md="x\n")
    applied.git("checkout", "-q", "main")
    before = applied.everything()
    code, _, err = rollback(applied, "--to", side, "--yes")
    assert code == Exit.REFUSED
    assert f"{side[:7]} was never part of {main[:7]}, which is applied" in err
    assert applied.everything() == before


def test_one_node_goes_back_by_its_own_count(applied: Fleet) -> None:
    """Only it; what it keeps is proven by its digest before anything is sent."""
    old = applied.git("rev-parse", "HEAD")
    new = applied.commit("Move Postgres", policy_yaml=OTHER)
    assert applied.apply("--yes")[0] == Exit.DONE
    code, _, err = rollback(applied, "db-1", "--to", "7", "--yes")
    assert (code, "keeps no generation 7" in err) == (Exit.REFUSED, True)
    assert "it keeps: 1, 2" in err
    code, out, err = rollback(applied, "db-1", "--to", "1", "--yes")
    assert code == Exit.DONE, out + err
    assert "db-1: generation 1 of 2" in err
    assert commit_of(applied, "db-1") == f"{old} rollback"
    assert commit_of(applied, "web-1") == f"{new} apply"
    assert applied.states()["db-1"] == "change"
    assert applied.apply("--yes")[0] == Exit.DONE
    assert commit_of(applied, "db-1") == f"{new} apply"


def test_one_node_that_goes_back_waits_for_no_other(applied: Fleet) -> None:
    """Who else is out of reach is no failure of it; the fleet's record stays."""
    applied.commit("Move Postgres", policy_yaml=OTHER)
    assert applied.apply("--yes")[0] == Exit.DONE
    new = applied.git("rev-parse", "refs/tailgit/acme/applied")
    applied.machines["web-1"].close()
    code, out, err = rollback(applied, "db-1", "--to", "1", "--yes")
    assert code == Exit.DONE, out + err
    assert "1 of 1 nodes have" in out
    assert applied.git("rev-parse", "refs/tailgit/acme/applied") == new


def test_the_parcel_of_a_rollback_is_good_once(
    applied: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept by a thief of the login key and sent again after a newer apply, it is
    refused, although it is signed and says rollback."""
    new = applied.commit("Move Postgres", policy_yaml=OTHER)
    assert applied.apply("--yes")[0] == Exit.DONE
    packed = Delivery.parcel
    sent: dict[str, bytes] = {}

    def kept_by_a_thief(delivery: Delivery) -> bytes:
        sent[delivery.node] = packed(delivery)
        return sent[delivery.node]

    with monkeypatch.context() as tapped:
        tapped.setattr(Delivery, "parcel", kept_by_a_thief)
        assert rollback(applied, "--to", "HEAD~1", "--yes")[0] == Exit.DONE
    machine = applied.machines["db-1"]
    state = "/var/lib/tailgit/acme"
    kept = int(machine.run("cut", "-d ", "-f1", f"{state}/current"))
    assert applied.apply("--yes")[0] == Exit.DONE
    assert commit_of(applied, "db-1") == f"{new} apply"
    answer = _ssh(applied, "stage acme none", sent["db-1"])
    assert "error\tolder" in answer, answer
    answer = _ssh(applied, f"activate acme {kept} 60 none", b"")
    assert "result\terror" in answer, answer
    assert commit_of(applied, "db-1") == f"{new} apply"


def _ssh(fleet: Fleet, request: str, stdin: bytes) -> str:
    command = ["ssh", "-F", "none", "-i", fleet.controller, "-p"]
    command += [str(fleet.machines["db-1"].port), "-o", "StrictHostKeyChecking=no"]
    command += ["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes"]
    command += ["tailgit@127.0.0.1", request]
    done = subprocess.run(list(map(str, command)), input=stdin, capture_output=True)
    return done.stdout.decode()


PHONES = """\
  phone: {tags: [tag:web], delivery: file, publicKey: %s}
  tablet: {tags: [tag:web], delivery: file, publicKey: %s}
"""


def test_a_revocation_that_is_not_everywhere_yet_stands_in_no_ones_way(
    applied: Fleet,
) -> None:
    """Who is out of reach keeps the fleet's record where it was; what was revoked
    yesterday is nothing that today's revocation does besides."""
    devices = (applied.repo / "devices.yaml").read_text()
    keys = (base64.b64encode(bytes([n] * 31 + [0])).decode() for n in (1, 2))
    applied.commit("Two phones", devices_yaml=devices + PHONES % tuple(keys))
    assert applied.apply("--yes")[0] == Exit.DONE
    applied.machines["web-1"].close()
    with_keys = ("--identity", str(applied.controller))
    with_keys += ("--signing-key", str(applied.signer))
    for name in ("phone", "tablet"):
        code, out, err = applied.tailgit("revoke", name, "--yes", *with_keys)
        assert code == Exit.DONE, out + err
        assert f"Nobody trusts {name} any more." in out
