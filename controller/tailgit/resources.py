"""Where the data that ships with tailgit lies: in a wheel, or in a checkout.

A wheel carries the four folders as `tailgit/_data/KIND`; a checkout, also one that
is installed with `pip install -e`, has them beside `controller/`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from jinja2 import Template

Kind = Literal["node", "policies", "schemas", "templates"]

_PACKAGE = Path(__file__).resolve().parent
_ROOTS = (_PACKAGE / "_data", _PACKAGE.parents[1])


@cache
def directory(kind: Kind) -> Path:
    """The folder of one kind of data; `FileNotFoundError` if it was not installed."""
    for root in _ROOTS:
        if (root / kind).is_dir():
            return root / kind
    looked = ", ".join(str(root / kind) for root in _ROOTS)
    raise FileNotFoundError(f"tailgit is installed without its {kind}: no {looked}")


@cache
def template(name: str) -> Template:
    """One of our own templates; an undefined variable is an error, not a blank."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(directory("templates")),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    return environment.get_template(name)
