"""What a rollback gives back, in words; it stands before the plan."""

from __future__ import annotations

from tailgit.model.text import shown
from tailgit.plan.returned import Returned
from tailgit.report.lines import wrapped

NAMED = 6


def returned_text(what: Returned) -> str:
    """One `!` line for each thing that comes back; says so, too, where nothing does."""
    if not what:
        return "This gives nobody any access back.\n"
    # Filter lines alone may as well be narrower than those that they take the place of.
    gives = "gives" if what.peers and not what.unknown else "may give"
    lines = [f"This {gives} back access that was taken away since:"]
    for peer, nodes in what.peers.items():
        lines += wrapped(
            "  ! ", f"{shown(peer)} is trusted again by {_named(nodes)}", "    "
        )
    if what.filters:
        each = [f"{shown(node)} +{count}" for node, count in what.filters.items()]
        lines += wrapped("  ! ", f"filter lines come back: {_listed(each)}", "    ")
    if what.unknown:
        who = _named(what.unknown)
        lines += wrapped("  ! ", f"not known here what it gives back on {who}", "    ")
    return "\n".join(lines) + "\n"


def _named(names: tuple[str, ...]) -> str:
    return _listed([shown(name) for name in names])


def _listed(words: list[str]) -> str:
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return ", ".join(words[:NAMED]) + more
