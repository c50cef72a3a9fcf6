"""Postures: what a source must be like, judged by what is declared about it.

A rule's `srcPosture` (else `defaultSrcPosture`) names postures of which the source
device must have one; a posture holds if all its conditions do. Nothing measures a
device here: its `attributes` are what the repository says of it. In doubt the answer
is no: an attribute that is missing or of another type, a posture that nobody defined,
a version that is none.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

from tailgit.model.policy import Attribute, Condition, Rule
from tailgit.model.tailnet import Device, Tailnet

Attributes = Mapping[str, Attribute]

_ORDERS: Mapping[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_VERSION = re.compile(r"v?([0-9]{1,9}(?:\.[0-9]{1,9})*)(?:[-+ ].*)?")


def wanted_postures(tailnet: Tailnet, rule: Rule) -> tuple[str, ...]:
    """The postures of which a source needs one; none means that any source will do."""
    return rule.posture or tailnet.default_src_posture


def attributes_of(device: Device) -> Attributes:
    """What is declared about a device."""
    return dict(device.attributes)


def meets(tailnet: Tailnet, postures: tuple[str, ...], attributes: Attributes) -> bool:
    """Whether somebody with these attributes has one of the postures."""
    return not postures or any(
        posture is not None
        and all(holds(each, attributes) for each in posture.conditions)
        for posture in map(tailnet.postures.get, postures)
    )


def unmet(
    tailnet: Tailnet, postures: tuple[str, ...], attributes: Attributes
) -> tuple[str, ...]:
    """A line for each posture that is not met, with the first condition that fails."""
    lines = []
    for name in postures:
        posture = tailnet.postures.get(name)
        if posture is None:
            lines.append(f"{name} is not defined")
            continue
        failed = [each for each in posture.conditions if not holds(each, attributes)]
        if failed:
            found = attributes.get(failed[0].attribute)
            is_ = "is not declared" if found is None else f"is {_text(found)}"
            lines.append(
                f"{name} asks for {condition_text(failed[0])}, and "
                f"{failed[0].attribute} {is_}"
            )
    return tuple(lines)


def holds(condition: Condition, attributes: Attributes) -> bool:
    """Whether a condition is met; what can't be compared is not."""
    found = attributes.get(condition.attribute)
    if condition.operator == "NOT SET":
        return found is None
    if found is None:
        return False
    if condition.operator == "IS SET":
        return True
    alike = [each for each in condition.values if type(each) is type(found)]
    match condition.operator:
        case "==" | "IN":
            return found in alike
        case "!=" | "NOT IN":
            return len(alike) == len(condition.values) and found not in alike
        case order:
            one, other = _rank(found), _rank(alike[0]) if alike else None
            return one is not None and other is not None and _ORDERS[order](one, other)


def _rank(value: Attribute) -> tuple[int, ...] | None:
    """A number or a version such as `13.4.0` in order; None for what has none.

    Zeros at the end don't count: 1.40 and 1.40.0 are one version.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return (value,)
    version = _VERSION.fullmatch(value)
    if version is None:
        return None
    numbers = [int(each) for each in version.group(1).split(".")]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def condition_text(condition: Condition) -> str:
    """A condition as it is written."""
    values = [_text(each) for each in condition.values]
    if condition.operator in ("IN", "NOT IN"):
        return f"{condition.attribute} {condition.operator} [{', '.join(values)}]"
    return " ".join([condition.attribute, condition.operator, *values])


def _text(value: Attribute) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}'" if isinstance(value, str) else str(value)
