"""`did you mean …?`: the known word that is nearest to an unknown one.

The words come from strangers' branches, so the work is bounded: a repository with ten
thousand misspelt names gets help with the first of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_CANDIDATES = 2000
_BUDGET = 50


def meant(text: str, known: Iterable[str]) -> str:
    """The question with the nearest known word, or nothing if none is near."""
    word = text.lower()[:80]
    by_lower: dict[str, str] = {}
    for each in known:
        if abs(len(each) - len(word)) <= max(3, len(word) // 2):
            by_lower.setdefault(each.lower(), each)
        if len(by_lower) == _CANDIDATES:
            break
    near = get_close_matches(word, list(by_lower), n=1, cutoff=0.6)
    return f"did you mean `{by_lower[near[0]]}`?" if near else ""


class Near:
    """`meant` over one set of words, for a limited number of questions."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = tuple(known)
        self._left = _BUDGET

    def meant(self, text: str) -> str:
        """As the function; empty once the budget is used up."""
        if self._left == 0:
            return ""
        self._left -= 1
        return meant(text, self._known)
