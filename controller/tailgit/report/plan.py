"""A plan, and what became of one, as text for people and as JSON for programs.

Nothing is computed here: the words are picked and the lines are laid out. Everything
that was written by a person or a node is shown escaped, and lines end at 100 columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from enum import StrEnum

from tailgit.model.text import shown
from tailgit.plan.difference import Difference
from tailgit.plan.outcome import Applied, Outcome, Result
from tailgit.plan.plan import Plan
from tailgit.plan.row import Row, State, Switch
from tailgit.report.lines import COLUMNS, clipped, wrapped

NAMED = 6
"""How many names a list shows before it only counts."""

_MARKS = {
    State.FIRST: "+",
    State.CHANGE: "~",
    State.REPAIR: "!",
    State.LEAVING: "-",
    State.DEPOSIT: ">",
    State.DEPOSITED: "=",
    State.LEFT_OUT: "=",
    State.SUSPENDED: "x",
    State.UNREACHABLE: "?",
    State.REFUSED: "x",
    State.NOT_ENROLLED: ".",
}
_TOGETHER = (State.IN_SYNC, State.NOT_DELIVERED)
"""States without anything to say about the single device: listed on one line."""

_ENDS = {Result.APPLIED: "+", Result.DEPOSITED: ">", Result.LEFT_OUT: "="}

_KINDS = {
    "canary": "canary",
    "keys": "together: a rotation",
    "leaving": "taken off the tailnet",
    "controller": "the controller's own",
}

_SWITCHES = {
    Switch.HOT: "hot",
    Switch.WARM: "warm",
    Switch.COLD: "cold",
    Switch.UNKNOWN: "",
}


def plan_text(plan: Plan, command: str) -> str:
    """The plan for a terminal; `command` is what would apply it."""
    lines = [_headline(plan), f"{plan.answered} of {plan.asked} nodes answered", ""]
    width = min(max((len(row.node) for row in plan.rows), default=0), 32)
    for row in plan.rows:
        if row.state not in _TOGETHER:
            lines += _row(row, width)
    for state in _TOGETHER:
        names = [row.node for row in plan.rows if row.state is state]
        lines += wrapped(f"  = {_words(state)}:  ", " ".join(map(shown, names)), "    ")
    lines += [*_order(plan), *_guards(plan)]
    lines += ["", f"compiled {plan.compiled}"]
    lines += wrapped("", f"Plan {plan.digest[:8]}: {_counted(plan.counts)}.", "  ")
    return "\n".join([*lines, *_last(plan, command)]) + "\n"


def _headline(plan: Plan) -> str:
    new = plan.commit.sha[:7]
    if plan.in_sync:
        # Nodes whose bundle stayed the same record an older commit, and rightly so.
        head = f"{plan.tailnet}: in sync with {new}"
    else:
        # After half an apply the first nodes record the new commit: what it is measured
        # against says more than the newest that anybody has.
        old = plan.base or next(reversed(plan.old_commits), "nothing")
        head = f"{plan.tailnet}: {old[:7]} -> {new}"
    return f'{head} "{clipped(shown(plan.commit.subject), COLUMNS - len(head) - 3)}"'


def _last(plan: Plan, command: str) -> list[str]:
    """What to do next."""
    if plan.refusals:
        lines = ["This can't be applied:"]
        for refusal in plan.refusals:
            lines += wrapped("  - ", shown(refusal), "    ")
        return lines
    if plan.steps:
        return [f"To apply:  {command}"]
    lines = []
    if plan.withheld:
        names = _named(tuple(row.node for row in plan.withheld))
        lines = wrapped("", f"Left as they are, and not up to date: {names}.", "  ")
    if not plan.complete:
        said = "Nothing to do on the nodes that answered; the others were not read."
    elif plan.withheld:
        said = "Nothing to do on the other nodes."
    else:
        said = f"Nothing to do: every node has what {plan.commit.sha[:7]} says."
    return [*lines, said]


def _order(plan: Plan) -> list[str]:
    """Which nodes are switched together, where it is more than one step."""
    if len(plan.waves) < 2:
        return []
    lines = [""]
    for number, wave in enumerate(plan.waves, start=1):
        kind = "" if wave.kind == "wave" else f" ({_KINDS[wave.kind]})"
        lines += wrapped(f"  {number}  ", f"{_named(wave.nodes)}{kind}", "     ")
    return ["", "Order", *lines[1:]]


def _guards(plan: Plan) -> list[str]:
    """The guards that found something; those that stop stand below as refusals."""
    lines: list[str] = []
    for guard in plan.guards:
        if guard.devices and not guard.stops:
            passed = f"; let pass: {shown(guard.reason)}" if guard.reason else ""
            mark = "!" if guard.reason else "ok"
            names = _named(guard.devices)
            text = f"{guard.text}: {names}{passed}"
            lines += wrapped(f"  {mark:3}", text, "     ")
    return ["", "Guards", *lines] if lines else []


def _row(row: Row, width: int) -> list[str]:
    """One device: its state and what changes, then a line for each note."""
    start = f"  {_MARKS[row.state]} {shown(row.node):{width}}  "
    hang = " " * len(start)
    switch = _SWITCHES[row.switch] if row.switch else ""
    what = [_words(row.state), *([switch] if switch else [])]
    notes = row.notes
    if row.difference is not None:
        changes = list(_changes(row.difference, first=row.state is State.FIRST))
        if changes and not row.written:
            changes[0] = f"not yet: {changes[0]}"
        what += changes
    elif row.state is State.CHANGE:
        what.append("differs (what it has is not known to this clone)")
    elif not row.written:
        what, notes = [f"{_words(row.state)}: {'; '.join(map(shown, notes))}"], ()
    lines = wrapped(start, ", ".join(what), hang)
    for note in notes:
        lines += wrapped(f"{hang}! ", shown(note), f"{hang}  ")
    return lines


def _changes(what: Difference, *, first: bool) -> Iterable[str]:
    """The difference in words; a first generation is told by its numbers."""
    for sign, names in (
        ("+", what.peers_added),
        ("-", what.peers_removed),
        ("~", what.peers_changed),
    ):
        if names:
            listed = "" if first else f" ({_named(names)})"
            yield f"{sign}{len(names)} peer{'s' * (len(names) != 1)}{listed}"
    if first:
        return
    if what.own_key:
        yield "a new key of its own"
    if what.peers_rekeyed:
        yield f"new key of {_named(what.peers_rekeyed)}"
    for lines in what.lines:
        signs = [f"+{lines.added}"] * bool(lines.added)
        signs += [f"-{lines.removed}"] * bool(lines.removed)
        yield f"{lines.what} {' '.join(signs)}"
    told = {"firewall.nft", "interface", "hosts", "zone"}
    peers = (what.peers_added, what.peers_removed, what.peers_changed)
    if any((*peers, what.peers_rekeyed)):
        told.add("wireguard.conf")
    yield from (shown(name) for name in what.files if name not in told)


def _named(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return " ".join(map(shown, names[:NAMED])) + more


def applied_text(applied: Applied, command: str, signer: str = "") -> str:
    """What became of a plan, for a terminal.

    `command` would finish the rest, `signer` says which key signed what was sent.
    """
    plan, outcomes = applied.plan, applied.outcomes
    lines = [_headline(plan), ""]
    width = min(max((len(outcome.node) for outcome in outcomes), default=0), 32)
    for outcome in outcomes:
        if outcome.result is not Result.UNCHANGED:
            lines += _outcome(outcome, width)
    names = [o.node for o in outcomes if o.result is Result.UNCHANGED]
    lines += wrapped("  = unchanged:  ", " ".join(map(shown, names)), "    ")
    has = sum(o.result in (Result.APPLIED, Result.UNCHANGED) for o in outcomes)
    total = f"{has} of {len(outcomes)} nodes have {plan.commit.sha[:7]}"
    lines += ["", *wrapped("", f"{total}: {_counted(applied.counts)}.", "  ")]
    lines += _strangers(outcomes, signer)
    if applied.again:
        lines.append(f"To finish:  {command}")
    return "\n".join(lines) + "\n"


def _strangers(outcomes: Iterable[Outcome], signer: str) -> list[str]:
    """What to do where nodes did not take the signature."""
    names = tuple(o.node for o in outcomes if o.code == "bad-signature")
    if not names:
        return []
    who = f"{_named(names)}: the key that signed is not known there: {shown(signer)}"
    return [
        *wrapped("", who, "  "),
        "Sign with one that is (--signing-key), or enroll again to make it known:",
        f"  tailgit device enroll {shown(names[0])} --signer-key FILE.pub",
    ]


def _outcome(outcome: Outcome, width: int) -> list[str]:
    mark = _ENDS.get(outcome.result, "x")
    start = f"  {mark} {shown(outcome.node):{width}}  "
    said = _words(outcome.result)
    if outcome.generation is not None:
        said += f", generation {outcome.generation}"
    if outcome.phase:
        said += f", at {outcome.phase}"
    why = ": ".join(map(shown, filter(None, (outcome.code, outcome.message))))
    return wrapped(start, f"{said}: {why}" if why else said, " " * len(start))


def applied_json(applied: Applied) -> str:
    """What became of a plan, as one JSON document."""
    document = {
        "format_version": 1,
        "tailnet": applied.plan.tailnet,
        "commit": asdict(applied.plan.commit),
        "compiled": applied.plan.compiled,
        "plan": applied.plan.digest,
        "exit": int(applied.exit),
        "counts": {str(result): count for result, count in applied.counts.items()},
        "outcomes": [asdict(outcome) for outcome in applied.outcomes],
    }
    return json.dumps(document, indent=2) + "\n"


def _counted(counts: Mapping[State, int] | Mapping[Result, int]) -> str:
    said = [f"{count} {_words(word)}" for word, count in counts.items()]
    return ", ".join(said) or "no device"


def _words(word: StrEnum) -> str:
    return word.replace("-", " ")
