"""The pieces that the generated pages are made of."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from scripts import format as format_page
from scripts.pages import blocks, code, fence, filled, plain, table
from scripts.sample import block, flow

PAGE = "by hand\n\n<!-- generated: a -->\nold\n<!-- end -->\n\nby hand, too\n"


def test_block_is_filled_and_the_rest_is_kept() -> None:
    """What stands between the marks is replaced, what people wrote around it stays."""
    page = filled(PAGE, lambda name: f"new {name}")
    assert page == PAGE.replace("\nold\n", "\n\nnew a\n\n")
    assert filled(page, lambda name: f"new {name}") == page
    assert blocks(page) == ["a"]


def test_block_without_end_is_refused() -> None:
    """A lost mark would swallow what people wrote, up to the next one."""
    with pytest.raises(ValueError, match="no end"):
        filled(PAGE.replace("<!-- end -->", ""), lambda _: "")


def test_fence_is_longer_than_what_it_holds() -> None:
    """A fence inside of an example does not end the example."""
    assert fence("a\n```\nb\n", "text") == "````text\na\n```\nb\n````"
    assert fence("a") == "```\na\n```"


def test_text_stays_text_in_markdown() -> None:
    """Backquotes, stars, angle brackets and bars of a text mean themselves."""
    assert code("a`b") == "`` a`b ``"
    assert plain("*:* or `*`, <b>") == r"\*:\* or `*`, \<b>"
    assert table(("A", "B"), [("x|y", "one\ntwo")]) == (
        "| A | B |\n|---|---|\n| x\\|y | one two |"
    )


@pytest.mark.parametrize("name", sorted(format_page.sections()))
def test_example_is_written_as_it_is_meant(name: str) -> None:
    """The YAML of an example holds what the schema's example holds."""
    for example in format_page.sections()[name].get("examples", ()):
        text = block({name: example})
        assert yaml.load(text, yaml.CBaseLoader) == {name: as_text(example)}


def as_text(value: Any) -> Any:
    """The value with scalars as YAML's text, which is what the loader begins with."""
    if isinstance(value, dict):
        return {key: as_text(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_text(each) for each in value]
    return value if isinstance(value, str) else str(value).lower()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("443", '"443"'),
        ("no", '"no"'),
        ("*", '"*"'),
        ("db-1:22", '"db-1:22"'),
        ("::/0", '"::/0"'),
        ("a: b", '"a: b"'),
        (" a", '" a"'),
        ("add 10.20.0.0/16", "add 10.20.0.0/16"),
        ("group:data-team", "group:data-team"),
        ("10.20.0.0/16", "10.20.0.0/16"),
        ("10.20.0.9", "10.20.0.9"),
        (443, "443"),
        (True, "true"),
    ],
)
def test_quotes_where_a_reader_would_take_it_for_something_else(
    value: object, text: str
) -> None:
    """Quotes go around what YAML or an editor would not read as this text."""
    assert flow(value) == text
    assert flow([value]) == f"[{text}]"
