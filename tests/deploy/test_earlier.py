"""Which commit a rollback goes back to: what nodes keep, judged by what git knows."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tailgit.compile import Bundle
from tailgit.deploy.earlier import applied_now, chosen, earlier, name_then, older_than
from tailgit.errors import NodeError, Refused, Unreachable
from tailgit.load.git import Repo
from tailgit.plan.observed import Generation, Observed
from tests.plan.small import bundle, running

AT = "2026-11-22T13:00:00Z"


@pytest.fixture
def history(tmp_path: Path) -> tuple[Repo, list[str]]:
    """A repository with four commits in a row, and one beside them at the end."""

    def git(*words: str) -> str:
        identity = ("-c", "user.name=Ana", "-c", "user.email=ana@acme.com")
        command = ["git", "-C", str(tmp_path), *identity, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    commits = []
    for number in range(4):
        git("commit", "-q", "--allow-empty", "-m", f"Number {number}")
        commits.append(git("rev-parse", "HEAD"))
    git("checkout", "-q", "-b", "side", commits[1])
    git("commit", "-q", "--allow-empty", "-m", "Aside")
    return Repo(tmp_path), [*commits, git("rev-parse", "HEAD")]


def node_with(name: str, *commits: str, rolledback: int | None = None) -> Observed:
    """A node that keeps a generation of each commit and has confirmed the last."""
    one = running(bundle(name, hosts="x"), commits[-1])
    kept = tuple(
        Generation(number, commit, number, "apply", AT, "e" * 64, commit.ljust(64, "0"))
        for number, commit in enumerate(commits, start=1)
    )
    return replace(one, current=len(kept), generations=kept, rolledback=rolledback)


def test_the_newest_commit_before_the_present_one(
    history: tuple[Repo, list[str]],
) -> None:
    """Of all nodes together: a commit that one of them skipped was still applied. One
    that was given up, one that git does not know and one beside it don't count."""
    repo, (first, second, third, fourth, side) = history
    strange = "5" * 40
    seen: dict[str, Observed | NodeError] = {
        "db-1": node_with("db-1", first, fourth),
        "db-2": node_with("db-2", first, second, fourth),
        "db-3": node_with("db-3", second, third, fourth, rolledback=2),
        "db-4": node_with("db-4", strange, side, fourth),
        "db-5": Unreachable("db-5", "no answer"),
    }
    found = earlier(repo, seen)
    assert (found.commit, found.applied) == (second, fourth)
    assert found.nodes == ("db-2", "db-3")


def test_where_nodes_disagree_a_person_has_to_say(
    history: tuple[Repo, list[str]],
) -> None:
    """Two branches; a commit that nobody here knows; nothing before; nothing at all."""
    repo, (first, _, third, fourth, side) = history
    both = {"a": node_with("a", first, third), "b": node_with("b", first, side)}
    with pytest.raises(Refused, match="neither contains the other") as refused:
        earlier(repo, both)
    assert refused.value.help == "name the commit to go back to: --to COMMIT"
    with pytest.raises(Refused, match="which this clone does not know"):
        applied_now(repo, {"a": node_with("a", first, "5" * 40)})
    with pytest.raises(
        Refused, match=f"no node keeps a commit from before {fourth[:7]}"
    ):
        earlier(repo, {"a": node_with("a", fourth)})
    with pytest.raises(Refused, match="nothing was applied yet"):
        earlier(repo, {"a": Unreachable("a", "no answer")})


def test_only_back_and_never_aside(history: tuple[Repo, list[str]]) -> None:
    """The applied commit has to contain the one that is gone back to."""
    repo, (first, _, third, fourth, side) = history
    older_than(repo, first, third)
    older_than(repo, third, third)
    with pytest.raises(Refused, match="is newer than") as refused:
        older_than(repo, fourth, third)
    assert "tailgit apply --commit" in refused.value.help
    with pytest.raises(Refused, match="was never part of"):
        older_than(repo, side, third)


def test_a_generation_is_the_nodes_own_count() -> None:
    """The one that was named, else the newest before the present one that differs."""
    one = node_with("db-1", "a" * 40, "b" * 40, "c" * 40)
    assert chosen("db-1", one, 1).number == 1
    assert chosen("db-1", one, None).number == 2
    assert chosen("db-1", replace(one, rolledback=2), None).number == 1
    same = node_with("db-1", "a" * 40, "b" * 40, "b" * 40)
    assert chosen("db-1", same, None).number == 1
    for number, said in ((7, "keeps no generation 7"), (3, "runs generation 3")):
        with pytest.raises(Refused, match=said):
            chosen("db-1", one, number)
    with pytest.raises(Refused, match="keeps no other generation"):
        chosen("db-1", node_with("db-1", "a" * 40), None)


def test_what_comes_back_is_what_the_node_names() -> None:
    """Under the name that the device had then; anything else than the same bytes is
    refused, and so is a device that was not there."""
    then: dict[str, Bundle] = {"old": bundle("old", hosts="then\n")}
    wanted = Generation(3, "a" * 40, 1, "apply", AT, "e" * 64, then["old"].digest)
    assert name_then(then, "new", ("old",), wanted) == "old"
    with pytest.raises(Refused, match="compiles to something else for it here"):
        name_then(then, "old", (), replace(wanted, manifest="0" * 64))
    with pytest.raises(Refused, match="has no such device with a key"):
        name_then(then, "new", (), wanted)
