"""Where the data that ships with tailgit lies: in a wheel, or in a checkout.

A wheel carries the four folders as `tailgit/_data/KIND`; a checkout, also one that
is installed with `pip install -e`, has them beside `controller/`.
"""

from functools import cache
from pathlib import Path
from typing import Literal

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
