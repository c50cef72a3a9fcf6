"""The documents say what the program does."""

from __future__ import annotations

import re

import pytest

from scripts import commands
from tailgit.cli import COMMANDS, run
from tailgit.errors import Exit
from tests.house.project import ROOT, files


def test_command_page_is_what_the_commands_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """docs/commands.md is the commands' own help; `make docs` writes it anew."""
    monkeypatch.setenv("COLUMNS", "80")
    assert commands.PAGE.read_text() == commands.document()


@pytest.mark.parametrize("name", COMMANDS)
def test_command_opens_with_its_line(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `tailgit --help` says of a command is how the command's own help begins."""
    assert run([name, "--help"]) == Exit.DONE
    assert capsys.readouterr().out.split("\n\n")[1] == f"  {COMMANDS[name][1]}"


@pytest.mark.parametrize("words", list(commands.paths()), ids=" ".join)
def test_command_teaches_by_example(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command that does something shows how it is called."""
    assert run([*words, "--help"]) == Exit.DONE
    text = capsys.readouterr().out
    if "\nCommands:\n" not in text:
        examples = re.split(r"^ +Examples?:", text, flags=re.MULTILINE)[1]
        assert " ".join(("tailgit", *words)) in examples


def test_readme_names_every_command_and_the_exit_codes() -> None:
    """The README shows each command once and says where the exit codes are."""
    readme = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"tailgit {name}" not in readme] == []
    assert "docs/commands.md" in readme
    assert "wgconfig" in readme
    assert "AGPL" in readme


def test_every_exit_code_is_documented() -> None:
    """Each member of the one enum has its row in docs/commands.md."""
    page = commands.PAGE.read_text()
    assert [c.value for c in Exit if f"| {c.value} | " not in page] == []


def test_links_lead_somewhere() -> None:
    """A relative link in any Markdown file names a file that exists."""
    broken = []
    for name in files():
        if not name.endswith(".md"):
            continue
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / name).read_text()):
            if "://" not in target and not target.startswith("mailto:"):
                path = (ROOT / name).parent / target
                if not path.exists():
                    broken.append(f"{name}: {target}")
    assert broken == []


def test_threats_name_tests_that_exist() -> None:
    """Each test that docs/threats.md gives as a proof is there."""
    named = re.findall(
        r"`((?:tests|scripts)/[\w./-]+)`", (ROOT / "docs/threats.md").read_text()
    )
    assert len(set(named)) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []
