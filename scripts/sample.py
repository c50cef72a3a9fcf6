"""Examples from the schemas as YAML, written as people write a tailnet.

Entries of a section stand on lines of their own, what is inside of them between braces
where it fits on the line. Quotes go around what YAML, or an editor that types values
by their looks, would take for something else.
"""

from __future__ import annotations

import json
import re
from typing import Any

_WIDTH = 76
_PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_@./+=*-]*(:[A-Za-z*][A-Za-z0-9_./*-]*)?")
_TYPED = re.compile(r"[0-9.+-]+|true|false|yes|no|on|off|null|~", re.IGNORECASE)
_ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")


def block(value: dict[str, Any]) -> str:
    """A mapping of sections, each with its entries below it."""
    lines = []
    for section, content in value.items():
        if isinstance(content, dict):
            lines += [f"{section}:", *_entries(content, "  ")]
        elif any(isinstance(item, dict) for item in content):
            lines += [f"{section}:"]
            for item in content:
                lines += _item(item)
        else:
            lines.append(f"{section}: {flow(content)}")
    return "\n".join(lines)


def _entries(mapping: dict[str, Any], pad: str) -> list[str]:
    lines = []
    for key, value in mapping.items():
        line = f"{pad}{_text(key)}: {flow(value)}"
        if len(line) > _WIDTH and isinstance(value, dict):
            lines += [f"{pad}{_text(key)}:", *_entries(value, pad + "  ")]
        else:
            lines.append(line)
    return lines


def _item(item: dict[str, Any]) -> list[str]:
    line = f"  - {flow(item)}"
    if len(line) <= _WIDTH:
        return [line]
    first, *rest = _entries(item, "    ")
    return [f"  - {first.lstrip()}", *rest]


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    # A colon before a blank makes a mapping, a blank at an end is not kept.
    words = text.split(" ")
    plain = _PLAIN.fullmatch("".join(words)) and all(words) and ": " not in text
    if (plain and not _TYPED.fullmatch(text)) or _ADDRESS.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=False)
