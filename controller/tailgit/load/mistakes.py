"""What a YAML error most likely means in a file about networks.

libyaml says "did not find expected alphabetic or numeric character"; the person wrote
`dst: [*:*]` and forgot quotes. Each explanation quotes the text and says what to type.
"""

from __future__ import annotations

import re

import yaml

from tailgit.load.located import place, position
from tailgit.model.codes import finding
from tailgit.model.findings import Finding
from tailgit.model.text import shown

_WORD = re.compile(r"[^\s,{}]*")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9-]*:(?=\s|$)")
_NO_BLANK = re.compile(r"\s*(?:- +)*([A-Za-z]+:)[\[{\"']")
_ADDRESS = re.compile(r"[0-9a-fA-F.]*:[0-9a-fA-F:.]*:?(/[0-9]+)?")
_BRACKETED = re.compile(
    r"\[[0-9a-fA-F.]*:[0-9a-fA-F:.]*\](?:/[0-9]+(?::[-0-9*]+)?|:[-0-9*]+)"
)


def explain_error(error: yaml.MarkedYAMLError, text: str, file: str) -> Finding:
    """One finding for a scanner or parser error, at the place that has to change."""
    problem, context = error.problem_mark, error.context_mark
    if problem is None:
        return finding("bad-yaml", place(file, 0), shown(str(error.problem)))
    if context is not None and text[problem.index :].strip() == "":
        # The end of the file is where it is noticed, not where it has to change.
        line, column = context.line, context.column
    elif context is not None and context.line == problem.line and _of_word(error):
        line, column = context.line, context.column
    else:
        line, column = problem.line, problem.column
    source = _line(text, line)
    code, message, help_ = _explain(source, column)
    blank = _NO_BLANK.match(_line(text, line - 1)) if line else None
    if code == "bad-yaml" and blank:
        help_ = f"in the line above, a blank is missing behind `{blank.group(1)}`"
    if line == problem.line:
        bracketed = _bracketed_around(source, problem.column)
        if bracketed is not None:
            column, word = bracketed
            code, message, help_ = _address(word)
    if not code:
        code = "bad-yaml"
        message = _sentence(error)
        help_ = _hint(error, source)
    return finding(code, place(file, position(line, column)), message, help_)


def _of_word(error: yaml.MarkedYAMLError) -> bool:
    return error.context in ("while scanning an alias", "while scanning a plain scalar")


def _line(text: str, number: int) -> str:
    lines = text.split("\n", number + 1)
    return lines[number] if number < len(lines) else ""


def explain_pair(text: str, file: str, index: int, at: int) -> Finding:
    """A mapping without braces in a list, which YAML makes of an address or a slip."""
    source = text[index : index + 200].partition("\n")[0]
    match = _BRACKETED.match(source)
    if match:
        code, message, help_ = _address(match.group())
        return finding(code, place(file, at), message, help_)
    word = re.split(r"[,\]}\r]", source, maxsplit=1)[0].strip()
    return finding(
        "yaml-quotes",
        place(file, at),
        f"`{shown(word)}` is a mapping to YAML",
        f"if it is text, write `{_quoted(word)}`; a mapping needs braces",
    )


def _explain(source: str, column: int) -> tuple[str, str, str]:
    """Code, sentence and help by the character at `column`; empty if none fits."""
    if source[:column].strip() == "" and "\t" in source[: column + 1]:
        return (
            "bad-yaml",
            "the line is indented with a tab",
            "indent with blanks: YAML has no tabs",
        )
    key = _KEY.match(source.lstrip())
    if key and column <= source.index(key.group()) + len(key.group()):
        return (
            "bad-yaml",
            f"the key `{key.group()}` can't stand at this indentation",
            "begin it in the column of its neighbours: `a: b` takes no keys below it",
        )
    word = _word(source, column)
    first = word[:1]
    if first == "*":
        return (
            "yaml-quotes",
            f"`{shown(word)}` begins an alias in YAML",
            f"write `{_quoted(word)}`",
        )
    if first in ("@", "`", "%"):
        return (
            "yaml-quotes",
            f"`{shown(word)}` begins with `{first}`, which YAML keeps for itself",
            f"write `{_quoted(word)}`",
        )
    address = _ADDRESS.match(word)
    if address and address.group().count(":") >= 2:
        return _address(address.group())
    if word.endswith(":") and len(word) > 1:
        return _address(word)
    return "", "", ""


def _address(word: str) -> tuple[str, str, str]:
    return (
        "yaml-quotes",
        f"`{shown(word)}` is not text to YAML, because of its colons or brackets",
        f"write `{_quoted(word)}`",
    )


def _bracketed_around(source: str, column: int) -> tuple[int, str] | None:
    for match in _BRACKETED.finditer(source):
        if match.start() <= column <= match.end():
            return match.start(), match.group()
    return None


def _word(source: str, column: int) -> str:
    match = _WORD.match(source, column)
    word = match.group() if match else ""
    opened = word.count("[")
    # `[*:*]` ends with the list's own bracket, `[fd00::1]:22` has its own pair.
    while word.endswith("]") and word.count("]") > opened:
        word = word[:-1]
    return word


def _quoted(word: str) -> str:
    escaped = shown(word).replace('"', '\\"')
    return f'"{escaped}"'


def _sentence(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.problem, error.context) if part]
    return ", ".join(parts) or "not YAML"


def _hint(error: yaml.MarkedYAMLError, source: str) -> str:
    problem = error.problem or ""
    if "mapping values are not allowed" in problem:
        return "text with a colon and a blank needs quotes; or the indentation is off"
    if "',' or ']'" in problem or "',' or '}'" in problem:
        return "a bracket or brace is not closed, or a comma is missing"
    if "expected key" in problem or "block end" in problem:
        return "compare the indentation with the lines above"
    if "end of stream" in problem:
        return "a quote is not closed"
    if "could not find expected ':'" in problem:
        return "here or above, a key lacks its colon or a list entry its `- `"
    if source.strip().startswith("-"):
        return "a list begins on the line below its key"
    return ""
