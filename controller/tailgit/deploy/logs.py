"""What a node wrote down about itself: the last lines of its audit log."""

from __future__ import annotations

from tailgit.deploy.fleet import Contact

FIELDS = ("time", "verb", "generation", "outcome", "details")


async def log_of(contact: Contact, lines: int) -> tuple[tuple[str, ...], ...]:
    """The fields of each line, the oldest first; raises a `NodeError`.

    A line that is not of that form is kept whole, as details: it is a log.
    """
    answer = await contact.ask_twice("log", str(lines))
    return tuple(_fields(line) for line in answer.every("line"))


def _fields(line: str) -> tuple[str, ...]:
    parts = line.split("\t", len(FIELDS) - 1)
    if len(parts) < len(FIELDS) - 1:
        return ("", "", "", "", line)
    return (*parts, *[""] * (len(FIELDS) - len(parts)))
