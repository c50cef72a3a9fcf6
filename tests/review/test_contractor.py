"""A contractor leaves, a team gets a database, a machine is retired: as printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import validate

from tailgit.cli import run
from tailgit.errors import Exit
from tailgit.load import load
from tailgit.resources import directory
from tailgit.review.access import difference
from tests.review.brute import Brute, passes
from tests.review.contractor import contractor_repo, git

GOLDEN = Path(__file__).parent / "golden"
AT = "2026-11-30"


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    return contractor_repo(tmp_path / "acme")


def named(folder: Path, text: str) -> str:
    """The text without the ids of commits, which follow from every byte of acme."""
    for revision, name in (("HEAD~1", "ba5e"), ("HEAD", "4ead")):
        sha = git(folder, "rev-parse", revision).strip()
        text = text.replace(sha, name * 10).replace(sha[:7], (name * 2)[:7])
    return text


def test_text_is_what_it_was(acme, golden, capsys):
    """The change as a person reads it; it fits 100 columns."""
    assert run(["diff", "HEAD~1", "HEAD", "--repo", str(acme), "--at", AT]) == Exit.DONE
    said = named(acme, capsys.readouterr().out)
    golden(GOLDEN / "contractor.txt", said)
    assert max(map(len, said.splitlines())) <= 100


def test_json_is_what_it_was(acme, golden, capsys):
    """The same for programs, as its schema describes it."""
    arguments = ["diff", "HEAD~1", "HEAD", "--repo", str(acme), "--at", AT]
    assert run([*arguments, "--format", "json"]) == Exit.DONE
    said = capsys.readouterr().out
    golden(GOLDEN / "contractor.json", named(acme, said))
    schema = json.loads((directory("schemas") / "report" / "diff.json").read_text())
    validate(json.loads(said), schema)


def test_counts_are_those_of_brute_force(acme):
    """So many pairs of devices gain, lose and keep access, packet by packet."""
    old, new = load(acme, "HEAD~1").tailnet, load(acme, "HEAD").tailnet
    assert old is not None
    assert new is not None
    gain, lose, some = set(), set(), set()
    brute = Brute(old, new)
    for packet in brute.packets():
        pair = packet.src.device, packet.dst.device
        for _, one, other in brute.passing(packet) if None not in pair else ():
            before, after = passes(one, packet), passes(other, packet)
            some |= {pair} if before or after else set()
            gain |= {pair} if after and not before else set()
            lose |= {pair} if before and not after else set()
    counts = difference(old, new).counts
    right = len(gain), len(lose), len(some - gain - lose)
    assert (counts.gain, counts.lose, counts.unchanged) == right
    assert right == (4, 10, 37)


def test_the_other_way_round_gains_are_losses(acme):
    """What a change gives, taking it back takes: the same lines with the other sign."""
    old, new = load(acme, "HEAD~1").tailnet, load(acme, "HEAD").tailnet
    assert old is not None
    assert new is not None
    there, back = difference(old, new), difference(new, old)

    def ends(lines):
        return {(x.src.extent, x.dst.extent, x.ports) for x in lines}

    assert ends(there.gained) == ends(back.lost)
    assert ends(there.lost) == ends(back.gained)
    assert (there.counts.gain, there.counts.lose) == (
        back.counts.lose,
        back.counts.gain,
    )
