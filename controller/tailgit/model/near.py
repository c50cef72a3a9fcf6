"""`did you mean …?`: the known word that is nearest to an unknown one.

`tag:web` and `tag:db` share four letters and nothing else, so words of one kind are
compared by what sets them apart. The words come from strangers' branches, so the work
is bounded: a repository with ten thousand misspelt names gets help with the first.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from difflib import get_close_matches

from tailgit.model.text import shown

_CANDIDATES = 2000
_BUDGET = 50


def meant(text: str, known: Iterable[str]) -> str:
    """The question with the nearest known word, or nothing if none is near."""
    word = text.lower()[:80]
    kind, domain = _kind_and_domain(word)
    alike: dict[str, str] = {}
    others: dict[str, str] = {}
    for each in known:
        if abs(len(each) - len(word)) > max(3, len(word) // 2):
            continue
        lower = each.lower()
        if _kind_and_domain(lower) == (kind, domain):
            core = lower[len(kind) : len(lower) - len(domain)]
            alike.setdefault(core, each)
        else:
            others.setdefault(lower, each)
        if len(alike) + len(others) == _CANDIDATES:
            break
    core = word[len(kind) : len(word) - len(domain)]
    near = _nearest(core, alike, 0.6) or _nearest(word, others, 0.7)
    return f"did you mean `{shown(near)}`?" if near else ""


def _kind_and_domain(word: str) -> tuple[str, str]:
    """`tag:` of `tag:db`, `@acme.com` of `ana@acme.com`: what many words share."""
    kind, colon, _ = word.partition(":")
    _, at, domain = word.rpartition("@")
    return (kind + colon if colon else ""), (at + domain if at else "")


def _nearest(word: str, known: dict[str, str], cutoff: float) -> str:
    near = get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return known[near[0]] if near else ""


def meant_kind(
    text: str, groups: Container[str], tags: Container[str], users: Iterable[str]
) -> str:
    """The question with `group:X`, `tag:X` or `X@…`, if a bare `X` is one of them."""
    for word, known in ((f"group:{text}", groups), (f"tag:{text}", tags)):
        if word in known:
            return f"did you mean `{shown(word)}`?"
    return meant_user(text, users)


def meant_user(text: str, users: Iterable[str]) -> str:
    """The question with the only user whose address begins with `text@`."""
    logins = [each for each in users if each.startswith(f"{text}@")]
    return f"did you mean `{shown(logins[0])}`?" if len(logins) == 1 else ""


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
