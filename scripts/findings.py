"""Writes docs/findings/CODE.md and the tables of docs/findings.md (`make docs`).

A page is made of what exists anyway: the code's registration, and the folder in
`tests/invalid` with its prose (`about.md`), the bad tailnet, what `check` says to it
(`expected.txt`) and the files that mend it (`mended`). The tests load both tailnets,
so an example on a page is one that the program has read.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from scripts.pages import DOCS, ROOT, code, fence, filled, table
from tailgit.model import codes
from tailgit.model.codes import CODES
from tailgit.model.text import shown

INDEX = DOCS / "findings.md"
FOLDER = DOCS / "findings"
CASES = ROOT / "tests" / "invalid"

NOTES = ("about.md", "expected.txt", "links.txt", "mended", "surroundings.json")
"""What lies in the folder of a case and is no file of its tailnet."""

LONGEST = 40
"""Lines of a file that a page still shows."""

_LANGUAGES = {".yaml": "yaml", ".yml": "yaml", ".YAML": "yaml", ".json": "json"}
_USUAL = """\
tailnet:
  format: 1
  name: acme
  domain: acme.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
"""


def index() -> str:
    """docs/findings.md: its own words, then a table for each group of codes."""
    return filled(INDEX.read_text(), lambda _: "\n\n".join(map(_group, groups())))


def groups() -> dict[str, list[str]]:
    """The codes by the comments above them in `codes.py`, in its order."""
    listed: dict[str, list[str]] = {}
    heading = ""
    for line in inspect.getsource(codes).splitlines():
        if comment := re.fullmatch(r"    # (.+)", line):
            heading = comment[1]
        elif name := re.match(r"        (\w+)=", line):
            word = name[1].replace("_", "-")
            if word in CODES:
                listed.setdefault(heading, []).append(word)
    return {name: sorted(words) for name, words in listed.items()}


def _group(name: str) -> str:
    rows = [
        (f"[{code(word)}](findings/{word}.md)", *_standing(word), CODES[word].title)
        for word in groups()[name]
    ]
    return f"## {name}\n\n" + table(("Code", "Severity", "Layer", "What it is"), rows)


def _standing(word: str) -> tuple[str, str]:
    return str(CODES[word].severity), CODES[word].layer


def page(word: str) -> str:
    """The whole page of one code; short where its folder is not written yet."""
    case = CASES / word
    severity, layer = _standing(word)
    parts = [
        f"# {word}",
        f"*{severity.capitalize()}, {layer}: {CODES[word].title}.*",
        _about(case),
    ]
    if (case / "expected.txt").exists():
        parts += _mistake(case)
    if (case / "mended").is_dir():
        parts += _mended(case)
    parts += ["---", _end(case)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _about(case: Path) -> str:
    """The prose; its links are written from where it lies."""
    file = case / "about.md"
    text = file.read_text().strip() if file.exists() else ""
    return text.replace("](../../../docs/", "](../").replace("](../../../", "](../../")


def _mistake(case: Path) -> list[str]:
    """The bad tailnet, and what `check` says to it."""
    parts = ["## The mistake"]
    paths = files(case)
    if _is_usual(case):
        paths.remove("tailnet.yaml")
        parts.append("Beside a [tailnet.yaml](../format.md#tailnet) without mistakes:")
    parts += [_file(case / path, path) for path in paths]
    for path, target in links(case).items():
        parts.append(f"{code(path)} is a symbolic link to {code(target)}.")
    around = case / "surroundings.json"
    if around.exists():
        parts += ["At this time and place:", fence(around.read_text(), "json")]
    said = (case / "expected.txt").read_text()
    return [*parts, "`tailgit check` says:", fence(said, "text")]


def _mended(case: Path) -> list[str]:
    parts = ["## Mended"]
    mended = case / "mended"
    parts += [_file(mended / path, path) for path in files(mended)]
    parts += [f"{code(path)} is gone." for path in removed(case)]
    return parts


def _is_usual(case: Path) -> bool:
    """Whether the page's reader learns nothing from this tailnet.yaml."""
    file, mended = case / "tailnet.yaml", case / "mended" / "tailnet.yaml"
    return file.exists() and file.read_text() == _USUAL and not mended.exists()


def files(folder: Path) -> list[str]:
    """The files of the tailnet that lies in a case's folder, without its notes."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    ours = (*NOTES, "removed.txt")
    return sorted(str(path) for path in paths if path.parts[0] not in ours)


def links(case: Path) -> dict[str, str]:
    """Symbolic links of the tailnet and where they lead: they don't travel well."""
    return dict(line.split() for line in _lines(case / "links.txt"))


def removed(case: Path) -> list[str]:
    """Files that the mended tailnet does not have any more."""
    return _lines(case / "mended" / "removed.txt")


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def _file(path: Path, name: str) -> str:
    """One file under its name, or a sentence why it is not shown."""
    try:
        lines = path.read_bytes().decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        return f"{code(name)} is not UTF-8 text, so it can't be shown here."
    if len(lines) > LONGEST:
        return f"{code(name)} has {len(lines)} lines, too many to show here."
    plain = [shown(line) for line in lines]
    escaped = " (unseen characters are written as escapes)" if plain != lines else ""
    language = _LANGUAGES.get(path.suffix, "text")
    return f"**{code(name)}**{escaped}\n\n" + fence("\n".join(plain), language)


def _end(case: Path) -> str:
    where = "[All findings](../findings.md)."
    if not case.is_dir():
        return where
    folder = case.relative_to(ROOT)
    return f"{where} `make docs` writes this page from [{folder}](../../{folder})."


def write() -> None:
    """All pages anew; one of a code that is no more goes."""
    INDEX.write_text(index())
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.md"):
        if old.stem not in CODES:
            old.unlink()
    for word in CODES:
        (FOLDER / f"{word}.md").write_text(page(word))


if __name__ == "__main__":
    write()
