"""The canonical form: what it is, and that it says what the author said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgit.edit import fmt
from tailgit.edit.fmt import formatted
from tailgit.errors import SourceError
from tailgit.load.located import Items, Map, Quoted
from tailgit.load.yaml import read_yaml
from tailgit.model.findings import Finding

REPO = Path(__file__).resolve().parents[2]


def form(text: str | bytes) -> str:
    """The canonical text; asserts that there is one."""
    findings: list[Finding] = []
    data = text.encode() if isinstance(text, str) else text
    after = formatted(data, "x.yaml", findings)
    assert after is not None, findings
    return after.decode()


LONG = ", ".join(f"10.{n}.0.0/16" for n in range(10))
RULE = '{src: [group:data-team, group:on-call], dst: [tag:database, tag:web], ip: ["*"]'
NAME = "so-long-that-the-rule-is-opened"

CASES = {
    "nothing": ("", ""),
    "blank lines only": ("\n\n", ""),
    "comments only": ("\n# a\n\n\n\n  # b \n\n", "# a\n\n# b\n"),
    "empty mapping": ("{ }", "{}\n"),
    "document markers": ("--- # c\na: b\n...\n# d\n", "# c\na: b\n# d\n"),
    "byte order mark, CR LF, blanks": ("\ufeffa: b \r\nc:  d\r\n", "a: b\n\nc: d\n"),
    "indentation": (
        "a:\n    b:\n       c: d\n    e:\n    - f\n    -   g: h\n        i: j\n",
        "a:\n  b:\n    c: d\n  e:\n    - f\n    - g: h\n      i: j\n",
    ),
    "lists in lists": ("a:\n- - b\n  -   c\n-\n  - d\n", None),
    "colons and commas": (
        "a : [b,c , {d: e,f : [ ]},]\n",
        "a: [b, c, {d: e, f: []}]\n",
    ),
    "one blank line at most": (
        "a:\n\n\n  b: c\n\n\n\n  d: e\n",
        "a:\n\n  b: c\n\n  d: e\n",
    ),
    "a blank line between sections": (
        "# a\na: 1\n# b\nb: 2\n# still a\n\nc: 3\n",
        "# a\na: 1\n\n# b\nb: 2\n# still a\n\nc: 3\n",
    ),
    "comments behind": ("a: b # c\nd:     # e\n - f#g      #h\n", None),
    "a bracket over lines that fits": ("a: [\n  b,\n  c\n]\n", "a: [b, c]\n"),
    "a long list": (
        f"a: [{LONG}]  # why\n",
        "a:  # why\n" + "".join(f"  - 10.{n}.0.0/16\n" for n in range(10)),
    ),
    "a long rule": (
        f"grants:\n  # d\n  - {RULE}, name: {NAME}}}  # why\n",
        (
            "grants:\n  # d\n  - src: [group:data-team, group:on-call]  # why\n"
            f'    dst: [tag:database, tag:web]\n    ip: ["*"]\n    name: {NAME}\n'
        ),
    ),
    "one long entry": (f"a: {{b: '{'x' * 119}'}}\n", f'a: {{b: "{"x" * 119}"}}\n'),
    "comments in a list": (
        "a: [ # o\n  # above b\n  b, # b\n  c # c\n  # end\n ] # all\nd: e\n",
        "a:  # o\n  # above b\n  - b  # b\n  - c  # c\n  # end\n  # all\n\nd: e\n",
    ),
    "comments in a rule keep its description": (
        (
            "grants:\n# d\n- { # o\n   # above\n   src: [b], # b\n   dst: [c] } # c\n"
            "# d2\n- {src: [b],\n   # end\n  }\n# d3\n- {src: [c]}\n"
        ),
        (
            "grants:\n  # d\n  - src:  # o\n      # above\n      [b]  # b\n"
            "    dst: [c]  # c\n  # d2\n  - src: [b]\n    # end\n\n  # d3\n"
            "  - {src: [c]}\n"
        ),
    ),
    "nothing but a comment in brackets": (
        "a: [ # o\n# b\n]\nc: {\n}\n",
        "a: [  # o\n  # b\n  ]\n\nc: {}\n",
    ),
    "a section's comment is no rule's": (
        "# Who may what.\ngrants: [\n  {src: [a]},\n]\n",
        "# Who may what.\ngrants:\n  - {src: [a]}\n",
    ),
    "a section's comment that is its rules', too": (
        f"# d\ngrants: [{RULE}}}, {RULE}}}]\n",
        f"# d\ngrants: [{RULE}}}, {RULE}}}]\n",
    ),
    "a rule's comment below the dash": (
        "grants:\n-\n  # d\n  src: [a]\n- # e\n  src: [b]\n",
        "grants:\n  -\n    # d\n    src: [a]\n  -  # e\n    src: [b]\n",
    ),
    "a blank line between a comment and its rule": (
        "grants:\n# d\n-\n\n  a: b\n# d\n-\n\n  {a: b}\n-\n  # d\n\n  {a: b}\n",
        (
            "grants:\n  # d\n  -\n\n    a: b\n  # d\n  -\n\n    {a: b}\n"
            "  -\n    # d\n\n    {a: b}\n"
        ),
    ),
    "a comment that ends a block and describes": (
        "a:\n  b: c\n  # d\n# e\ngrants: [{f: g}]\n",
        "a:\n  b: c\n  # d\n# e\ngrants: [{f: g}]\n",
    ),
    "comments that end a block": (
        (
            "a:\n    b:\n    - c\n    # b or what follows\n    d: e\n    # a\n"
            "  # a, too\nf:\n  # nothing yet\n# g\ng: {}\n"
        ),
        (
            "a:\n  b:\n    - c\n  # b or what follows\n  d: e\n  # a\n  # a, too\n\n"
            "f:\n  # nothing yet\n\n# g\ng: {}\n"
        ),
    ),
    "comments before a value": (
        "a: # one\n  b\nc: # one\n  # two\n  [d]\ne:\n  # one\n  f # two\n",
        "a: b  # one\n\nc:  # one\n  # two\n  [d]\n\ne:\n  # one\n  f  # two\n",
    ),
    "quotes": (
        """a: ['true', "22", 22, '', 'it''s', "\\u00e9\\u202e", 'a"b', "\\\\"]\n""",
        """a: ["true", "22", 22, "", "it's", "é\\u202e", 'a"b', '\\']\n""",
    ),
    "quoted signs": (
        """a: ['*', '@x', '[2001:db8::1]:51820', "::/0"]\n""",
        """a: ["*", "@x", "[2001:db8::1]:51820", "::/0"]\n""",
    ),
    "keys": ("'a' : b\n? c\n: d\n{e}: f\n", None),
    "missing values": ("a: {b, c: , d: [e]}\nf:\ng: [\n]\n", None),
    "text over lines": (
        "a: b\n    c\n\n    d\ne: 'f\n    g'\nh: \"i \\\n    j\"\nk: [l\n  m]\n",
        "a: b\n  c\n\n  d\n\ne: 'f\n  g'\n\nh: \"i \\\n  j\"\n\nk: [l m]\n",
    ),
    "literal and folded text": (
        (
            "a: |  # c\n     b\n       c \n\n\n"
            "d: >2-\n     e\n     f\ng: |+\n h\n\n\ni: >\n\n"
        ),
        'a: |  # c\n  b\n    c \n\nd: >2-\n     e\n     f\n\ng: |+\n  h\n\n\ni: ""\n',
    ),
    "a whole file in braces": (
        '{"a": {"b": ["c", 1]}, "d": []} # e\n',
        '# e\n"a": {"b": ["c", 1]}\n\n"d": []\n',
    ),
}
CASES["lists in lists"] = (
    CASES["lists in lists"][0],
    "a:\n  - - b\n    - c\n  - - d\n",
)
CASES["comments behind"] = (
    CASES["comments behind"][0],
    "a: b  # c\n\nd:  # e\n  - f#g  #h\n",
)
CASES["keys"] = ("'a' : b\n? c\n: d\n", '"a": b\n\nc: d\n')
CASES["missing values"] = (
    "a: {b, c: , d: [e]}\nf:\ng: [\n]\n",
    "a: {b: , c: , d: [e]}\n\nf:\n\ng: []\n",
)


@pytest.mark.parametrize("case", CASES)
def test_form(case: str) -> None:
    """The canonical text, byte for byte; it is its own canonical form."""
    before, after = CASES[case]
    assert form(before) == after
    assert form(after or "") == after


def nearly(text: str) -> list[str]:
    """The lines, without what fmt changes in our own files."""
    return [re.sub(" +#", " #", line) for line in text.split("\n") if line.strip()]


@pytest.mark.parametrize("file", sorted((REPO / "examples/acme").rglob("*.yaml")))
def test_our_example_is_canonical(file: Path) -> None:
    """Only blank lines and those before trailing comments may differ."""
    assert nearly(form(file.read_bytes())) == nearly(file.read_text())


ALL = [
    *(REPO / "examples").rglob("*.y*ml"),
    *(REPO / "tests").rglob("*.y*ml"),
]


def test_every_file_that_loads_has_a_form() -> None:
    """No YAML of this repository is refused; formatting it again changes nothing."""
    seen = 0
    for file in ALL:
        data = file.read_bytes()
        after = formatted(data, file.name, [])
        if after is not None:
            seen += 1
            assert formatted(after, file.name, []) == after, file
    assert seen > 20


REFUSED = {
    "a: [*]\n": "yaml-quotes",
    "a: &b c\n": "yaml-alias",
    "a: !!str c\n": "yaml-tag",
    "a: 1\na: 2\n": "duplicate-key",
    "a: 1\n---\nb: 2\n": "yaml-documents",
    "- a\n": "yaml-root",
    "a:\n\t- b\n": "bad-yaml",
    "a: \x1b[31m\n": "bad-character",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_read_is_a_finding(text: str) -> None:
    """The loader's own finding, and no text."""
    findings: list[Finding] = []
    assert formatted(text.encode(), "x.yaml", findings) is None
    assert [finding.code for finding in findings] == [REFUSED[text]]


def test_other_programs_files_are_foreign() -> None:
    """YAML without a section of ours may mean more to whoever reads it."""
    for text in ("on: push\njobs: {}\n", "on: push\n", "image: debian\n"):
        findings: list[Finding] = []
        assert formatted(text.encode(), "n/ci.yml", findings, "n") is None
        assert [finding.code for finding in findings] == ["unknown-section"]
        assert "exclude: [ci.yml]" in findings[0].help


FAULTS = {
    "a value": ("a: b  # c\n", "a: x  # c\n", "its values"),
    "quotes": ('a: "1"\n', "a: 1\n", "its values"),
    "the order": ("a: 1\nb: 2\n", "b: 2\na: 1\n", "its values"),
    "no YAML": ("a: 1\n", "a: [\n", "its values"),
    "a comment less": ("a: 1  # c\n", "a: 1\n", "its comments"),
    "a comment changed": ("a: 1  # c\n", "a: 1  # d\n", "its comments"),
    "a description": (
        "grants:\n# d\n- {src: a}\n",
        "grants:  # d\n  - {src: a}\n",
        "description of the rule in line 3",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_of_ours_writes_nothing(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new text is read again: what does not say the same is refused."""
    before, after, said = FAULTS[case]
    monkeypatch.setattr(fmt, "write_file", lambda _: after)
    with pytest.raises(SourceError, match=said):
        formatted(before.encode(), "x.yaml", [])


def test_a_description_that_would_be_lost_is_refused() -> None:
    """A comment that describes by standing above a line that has to be broken."""
    with pytest.raises(SourceError, match="description of the rule in line 2") as error:
        form("# d\ngrants: [{src: a},\n  # e\n  {src: b}]\n")
    assert "lines of its own" in error.value.help


# Generated documents. Every key and item has a word of its own, and a comment says
# where it was: `# above w7`, `# behind w7`, `# end of w7`; so the test can tell after
# formatting whether it is still there.

PLAIN = ["{}", "tag:{}", "{}@acme.com", "{}é😀", "{} with # no", "22{}", "{}#x"]
PLAIN[4] = "{} and more"
QUOTED = [
    '"{}"',
    "'{}'",
    "'{} it''s'",
    '"{}\\t\\u202e\\"\\\\"',
    '"[2001:db8::{}]:51820"',
    "'* # {}'",
    '"@{}: x"',
    "'{} \"quoted\" \\'",
]
LOOSE = ["true", '"true"', "22", "'22'", "null", '"null"', "~", "no", '""', "''", "*"]
LOOSE[10] = "'*'"
OVER_LINES = [
    "{i}a\n{i}b\n\n{i}c",
    "'a\n\n{i}  b'",
    '"a\\\n{i}\\ b \n{i}"',
    "|\n{i}a\n{i}  b \n\n{i}# no comment",
    "|+\n{i}a\n\n\n",
    ">-\n{i}a\n{i}b\n\n{i} more\n{i}c",
    "|1-  # behind\n{h} a\n{h}b",
    ">+\n\n{i}a\n   \n\n",
    "|\n\n",
]


class Author:
    """Writes a document in all the ways people do."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.words = 0
        self.notes: list[str] = []
        self.comments = 0

    def pick(self, options: list[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def word(self) -> str:
        self.words += 1
        return f"w{self.words}z"

    def some(self) -> bool:
        return bool(self.pick([True, False, False]))

    def note(self, text: str) -> str:
        self.comments += 1
        self.notes.append(text)
        return f"# {text} n{self.comments}"

    def behind(self, what: str) -> str:
        if not self.some():
            return ""
        return self.pick([" ", "   ", "  "]) + self.note(f"behind {what}")

    def gap(self, indent: str, what: str) -> str:
        """Blank lines and comments above an entry."""
        text = "\n" * self.pick([0, 0, 0, 1, 2, 3])
        if self.pick([0, 0, 0, 0, 1]):
            column = self.pick([0, 1, 2, 4, 7])
            text += " " * column + self.note("loose") + "\n"
            text += self.pick(["", "\n"])
        if self.some():
            text += indent + self.note(f"above {what}") + self.pick(["\n", "  \n"])
            if self.pick([0, 0, 1]):
                text += "\n"
        return text

    def scalar(self, word: str, *, flow: bool) -> str:
        text: str = self.pick(PLAIN + QUOTED)
        if flow and text.startswith("{}@"):
            text = "{}"
        return text.format(word)

    def block(self, indent: int, depth: int, *, mapping: bool) -> str:
        """A block collection, each line with its break."""
        pad, text = " " * indent, ""
        for _ in range(self.pick([1, 1, 2, 3])):
            word = self.word()
            if mapping:
                text += self.gap(pad, word)
                key = self.pick(
                    [f"{word}", f'"{word}"', f"'{word}' ", f"? {word}\n{pad}"]
                )
                text += f"{pad}{key}:" + self.value(word, indent, depth)
            else:
                item = self.item(word, indent, depth)
                text += self.gap(pad, word if word in item else "nothing")
                text += f"{pad}-{item}"
        if self.some() and indent:
            text += pad + self.note("loose") + "\n"
        return text

    def value(self, word: str, indent: int, depth: int) -> str:
        kind = self.pick(["loose", "lines", "flow", "flow", "none", "map", "list"])
        if kind == "loose" or (depth == 0 and kind in ("map", "list")):
            return f" {self.pick(LOOSE)}{self.behind(word)}\n"
        if kind == "none":
            return f"{self.behind(word)}\n"
        if kind == "lines":
            return self.lines(indent)
        if kind == "flow":
            return self.flow_value(word, indent)
        more = self.pick([1, 2, 3, 4]) if kind == "map" else self.pick([0, 1, 2, 4])
        text = f"{self.behind(word)}\n"
        return text + self.block(indent + more, depth - 1, mapping=kind == "map")

    def item(self, word: str, indent: int, depth: int) -> str:
        kind = self.pick(["scalar", "scalar", "flow", "map", "list", "lines", "none"])
        if kind == "none":
            return f"{self.behind('nothing')}\n"
        if kind == "lines":
            return self.lines(indent)
        if kind == "flow":
            return self.flow_value(None, indent)
        if kind == "scalar" or depth == 0:
            return f" {self.scalar(word, flow=False)}{self.behind(word)}\n"
        more = self.pick([2, 3, 4])
        inner = self.block(indent + more, depth - 1, mapping=kind == "map")
        if inner.lstrip(" ")[0] not in "\n#":  # no gap: behind the dash
            return inner[indent + 1 :]
        return f"{' ' + self.note('loose') if self.some() else ''}\n{inner}"

    def lines(self, indent: int) -> str:
        text: str = self.pick(OVER_LINES)
        text = text.replace("{i}", " " * (indent + 2)).replace(
            "{h}", " " * (indent + 1)
        )
        text = (
            text.replace("# behind", self.note("loose")) if "# behind" in text else text
        )
        return f" {text.removeprefix(' ' * (indent + 2))}\n"

    def flow_value(self, word: str | None, indent: int) -> str:
        before = self.comments
        text = self.flow(indent + 1, self.pick([0, 1, 2]), self.pick([0, 0, 1]))
        alone = word is not None and self.comments == before
        behind = ""
        if self.some():
            behind = f" {self.note(f'behind {word}' if alone else 'loose')}"
        front = self.pick([" ", " ", " ", f"\n{' ' * (indent + 1)}"])
        return f"{front}{text}{behind}\n"

    def flow(self, indent: int, depth: int, broken: int) -> str:
        mapping = self.pick([True, False])
        text, pad = "", "\n" + " " * indent if broken else ""
        for number in range(self.pick([0, 1, 2, 3, 7])):
            word = self.word()
            text += self.pick([",", " , "]) if number else ""
            text += self.pick([" ", "  ", ""])
            if broken:
                if number:
                    text += self.behind(f"w{self.words - 1}z") if not depth else ""
                elif self.some():
                    text += " " + self.note("loose")
                text += (
                    f"\n{self.gap(' ' * indent, word) if not depth else ''}{pad[1:]}"
                )
            if mapping:
                text += f"{self.pick([word, f'{word!r}'])}{self.pick([':', ' :'])} "
            if depth:
                text += self.flow(indent + 1, depth - 1, broken)
            elif mapping:
                text += self.pick([*LOOSE, self.scalar(word, flow=True)])
            else:
                text += self.scalar(word, flow=True)
        text += self.pick(["", pad])
        return f"{{{text}}}" if mapping else f"[{text}]"


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A valid text, and what its comments say."""
    author = Author(draw)
    text = draw(st.sampled_from(["", "---\n", "\n\n", "# top n0\n"]))
    text += author.block(0, draw(st.integers(0, 3)), mapping=True)
    text += draw(st.sampled_from(["", "\n\n", "# last", "  # last\n", "...\n"]))
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return draw(st.sampled_from(["", "\ufeff"])) + text, author.notes


def data(text: str) -> Any:
    """A document as nested tuples, in its order, with what is quoted."""
    findings: list[Finding] = []
    document = read_yaml(text.encode(), "x.yaml", findings)
    assert document is not None, (findings, text)
    assert not findings

    def plain(value: Any) -> Any:
        if isinstance(value, Map):
            return tuple((key, plain(inner)) for key, inner in value.items())
        if isinstance(value, Items):
            return [plain(inner) for inner in value]
        return isinstance(value, Quoted), str(value)

    return plain(document)


def stands(lines: list[str], number: int, note: str) -> bool:
    """Whether a comment is still where it says that it was."""
    where, _, word = note.partition(" ")
    if word == "nothing":
        return True
    above = (line for line in lines[number - 1 :: -1] if line.strip())
    up = next((line for line in above if not line.lstrip().startswith("#")), "")
    if where == "behind":
        # Behind the key's value, where other comments have put that into its own line.
        itself = lines[number].partition(f"# {note}")[0]
        return word in itself or (indent(up) < indent(itself) and word in up)
    if where == "above":
        # In braces of a rule it may not stand above the first key: that would make it
        # the rule's description.
        if re.match(rf"  - [\"']?{word}[\"']?:", up):
            return True
        rest = (line for line in lines[number + 1 :] if line.strip() not in ("", "-"))
        below = next(line for line in rest if not line.lstrip().startswith("#"))
        return word in below
    return True


def indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


@given(documents())
def test_form_says_what_the_author_said(document: tuple[str, list[str]]) -> None:
    """Values, quotes, order, every comment at its thing; and it is canonical."""
    text, notes = document
    after = form(text)
    assert data(after) == data(text)
    assert form(after) == after
    lines = after.split("\n")
    for number, note in enumerate(notes, 1):
        at = [i for i, line in enumerate(lines) if line.endswith(f"# {note} n{number}")]
        assert len(at) == 1, note
        assert stands(lines, at[0], note), note


@given(documents())
def test_form_is_tidy(document: tuple[str, list[str]]) -> None:
    """No tabs, CR or mark, no blanks at ends, two blanks a level, one blank line."""
    after = form(document[0])
    assert not set("\r\ufeff") & set(after)
    if "|" in after or ">" in after:
        return  # a literal text may have any of the others
    assert after == "" or (after.endswith("\n") and not after.endswith("\n\n"))
    assert "\n\n\n" not in after
    for line in after.split("\n"):
        assert line == line.rstrip()
        assert (len(line) - len(line.lstrip(" "))) % 2 == 0
