"""Durations as Go writes them, `1h30m`: what Tailscale's policy file takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_PART = re.compile(
    r"([0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(ns|us|µs|μs|ms|s|m|h)"
)
_LONGEST = 200
_MOST = (1 << 63) // 10**9  # Go counts nanoseconds in 64 bits


class DurationError(ValueError):
    """The text is no duration; the text is Go's sentence."""


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time in seconds, exactly."""

    seconds: Fraction

    def __str__(self) -> str:
        """As Go prints it: `168h0m1s`, `-1m0s`, `0s`."""
        total = abs(self.seconds)
        sign = "-" if self.seconds < 0 else ""
        if total < 1:
            return sign + _small(total)
        hours, rest = divmod(total, 3600)
        minutes, seconds = divmod(rest, 60)
        text = f"{_decimal(seconds)}s"
        if hours or minutes:
            text = f"{minutes}m{text}"
        return f"{sign}{hours}h{text}" if hours else sign + text


def parse_duration(text: str) -> Duration:
    """`12h`, `1h30m`, `-1m`, `1.5s`, `0`; `DurationError` if it is none."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return Duration(Fraction(0))
    parts = list(_PART.finditer(rest[:_LONGEST]))
    if not rest or "".join(part.group() for part in parts) != rest:
        if parts or not re.fullmatch(r"[0-9]*\.?[0-9]+", rest):
            raise DurationError(f'time: invalid duration "{text}"')
        raise DurationError(f'time: missing unit in duration "{text}"')
    total = sum(
        (Fraction(_number(part[1])) * _UNITS[part[2]] for part in parts), Fraction(0)
    )
    if total > _MOST:
        raise DurationError(f'time: invalid duration "{text}"')
    return Duration(-total if text[0] == "-" else total)


def _number(text: str) -> Fraction:
    whole, _, digits = text.partition(".")
    return Fraction(int(f"{whole}{digits}" or "0"), 10 ** len(digits))


def _small(total: Fraction) -> str:
    if not total:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if total < _UNITS[unit] * 1000:
            return f"{_decimal(total / _UNITS[unit])}{unit}"
    return f"{_decimal(total)}s"


def _decimal(number: Fraction) -> str:
    """Without zeros at the end, at most nine digits behind the point."""
    nanos = int(number * 10**9)
    whole, digits = divmod(nanos, 10**9)
    return f"{whole}.{digits:09}".rstrip("0").rstrip(".")
