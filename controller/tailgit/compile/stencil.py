"""Templates as byte pieces: rendered once, then only joined.

A template is rendered a single time for a tailnet with marks where text differs from
node to node; what lies between the marks is kept as bytes. Filling a stencil is a
join, about 400 times cheaper than rendering (PERFORMANCE.md, P2), and every value put
into a hole arrives rendered for its language.
"""

from __future__ import annotations

from collections.abc import Mapping

from tailgit.resources import template


class Stencil:
    """A rendered template with named holes."""

    def __init__(self, name: str, holes: tuple[str, ...], **values: str) -> None:
        marks = {hole: f"\0{hole}\0" for hole in holes}
        text = template(name).render(**values, **marks)
        self._pieces = tuple(piece.encode() for piece in text.split("\0"))

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """The text with every hole filled; `KeyError` if one is not given."""
        return b"".join(
            values[piece.decode()] if number % 2 else piece
            for number, piece in enumerate(self._pieces)
        )
