"""What a syntax error in JSON or HuJSON most likely means, at the place to mend.

A reader knows that a colon must stand here; the person forgot a comma two lines above,
committed a template before it was filled, or wrote a comment as in YAML.
"""

from __future__ import annotations

import re

from tailgit.model.text import shown

_WORD = re.compile(r"[^\s,:{}\[\]\"]{1,60}")
_TEMPLATE = re.compile(
    r"\$\{[^\n}]{0,60}\}?|\{\{[^\n}]{0,60}\}{0,2}|\{%[^\n%]{0,60}%?\}?"
)
_ESCAPE = re.compile(r"\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4})")
_NUMBER = re.compile(r"[-+.0-9]")

HELP_JSON = "JSON has double quotes, no comments and no comma after the last entry"


class Slip(Exception):
    """Reading can't go on; `index` is the place that has to change."""

    def __init__(
        self, index: int, message: str, help_: str = "", code: str = "bad-json"
    ) -> None:
        super().__init__(message)
        self.index = index
        self.help = help_
        self.code = code


def value_slip(text: str, index: int, *, human: bool) -> Slip:
    """Something else than a value begins here."""
    slip = _anywhere(text, index, human=human)
    if slip is not None:
        return slip
    sign = text[index : index + 1]
    if sign in (",", "]", "}"):
        if sign != "," and text[:index].rstrip(" \t\r\n").endswith(","):
            return _last_comma(text, index)
        return Slip(index, f"a value is missing before `{sign}`", "take out the comma")
    match = _WORD.match(text, index)
    word = match.group() if match else sign
    if word.lower() in ("true", "false", "null", "none", "nil"):
        right = {"none": "null", "nil": "null"}.get(word.lower(), word.lower())
        return Slip(index, f"`{word}` is no value", f"write `{right}`")
    if _NUMBER.match(word):
        help_ = "decimal, without zeros or a sign `+` before it; text takes quotes"
        return Slip(index, f"`{word}` is no number", help_)
    return Slip(index, f"`{word}` stands without quotes", f'write `"{shown(word)}"`')


def key_slip(text: str, index: int, opened: int, *, human: bool) -> Slip:
    """Something else than a key begins here."""
    if text.startswith(("{{", "{%"), opened):
        return _template(text, opened)
    if text[index : index + 1] == "}":
        return _last_comma(text, index)
    slip = _anywhere(text, index, human=human)
    if slip is not None:
        return slip
    match = _WORD.match(text, index)
    if match is None:
        sign = text[index : index + 1]
        help_ = f"{HELP_JSON}: `{{" + '"key": value}`'
        return Slip(index, f"a key must stand here, not `{sign}`", help_)
    word = match.group()
    message = f"the key `{word}` stands without quotes"
    return Slip(index, message, f'write `"{shown(word)}":`')


def comma_slip(text: str, end: int, index: int, closing: str, *, human: bool) -> Slip:
    """Behind a value that ends at `end`, neither a comma nor `closing` stands."""
    if text.startswith("{{", index):
        return _template(text, index)
    slip = _anywhere(text, index, human=human)
    if slip is not None:
        return slip
    if not closing:
        return Slip(index, "something follows the document", "take it out")
    sign = text[index]
    if sign in "]}":
        other = {"]": "{", "}": "["}[sign]
        return Slip(index, f"`{sign}` does not close `{other}`", f"write `{closing}`")
    if sign == ":":
        help_ = "a list holds values; a mapping stands in braces"
        return Slip(index, "a colon can't stand here", help_)
    help_ = f"write `,` between two entries, or `{closing}` at the end"
    return Slip(end, "a comma is missing here", help_)


def string_slip(text: str, index: int) -> Slip:
    """A string that begins here and goes wrong."""
    at = index + 1
    while at < len(text):
        sign = text[at]
        if sign == "\\":
            escape = _ESCAPE.match(text, at)
            if escape is None:
                what = text[at : at + 2].strip()
                help_ = 'a backslash itself is `\\\\`, a quote `\\"`'
                return Slip(at, f"`{what}` is no escape", help_)
            at = escape.end()
        elif sign == "\n":
            break
        elif sign < " ":
            name = {"\t": "tab"}.get(sign, "control character")
            return Slip(at, f"a {name} stands in quoted text", "write it as an escape")
        else:
            at += 1
    return Slip(
        index, "the quoted text is not closed on its line", 'write `"` behind it'
    )


def _anywhere(text: str, index: int, *, human: bool) -> Slip | None:
    """What can be meant by nothing else, wherever it stands."""
    sign = text[index : index + 1]
    if not sign:
        help_ = "a bracket or brace is not closed; or a part of the file is missing"
        return Slip(_last(text), "the file ends too early", help_)
    if text.startswith(("${", "{%"), index):
        return _template(text, index)
    if sign == "'":
        return Slip(index, "text in single quotes", "write `\"` instead of `'`")
    if sign == "#":
        help_ = "write `//`" if human else HELP_JSON
        return Slip(index, "`#` begins no comment here", help_)
    if text.startswith("/*", index) and human:
        return Slip(index, "the comment that begins here has no end", "write `*/`")
    if text.startswith(("//", "/*"), index):
        help_ = "take it out, or move the sections to a YAML file"
        return Slip(index, "JSON has no comments", help_)
    return None


def _template(text: str, index: int) -> Slip:
    match = _TEMPLATE.match(text, index)
    word = match.group() if match else "${"
    help_ = "commit the file as it is once its template is filled in"
    return Slip(index, f"`{shown(word)}` is a template that nobody filled in", help_)


def _last_comma(text: str, index: int) -> Slip:
    """JSON's own: nothing may follow the last comma."""
    message = "a comma stands behind the last entry"
    return Slip(text.rindex(",", 0, index), message, HELP_JSON)


def _last(text: str) -> int:
    """The index behind the last sign that is no blank."""
    return len(text.rstrip(" \t\r\n"))
