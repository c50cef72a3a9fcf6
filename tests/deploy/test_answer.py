"""Answers of nodes: what is one, and that nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgit.deploy.answer import LARGEST, parse
from tailgit.errors import BadAnswer
from tests.deploy.frames import error, frame, ok

WHOLE = ok("observe", "acme", ("note", "a\tb\nc\\d"), ("peer", "x"), ("peer", "y"))
KEYS = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,8}", fullmatch=True).filter(
    lambda key: key not in ("end", "verb", "tailnet", "result")
)
VALUES = st.text(st.characters(exclude_characters="\r", codec="utf-8"), max_size=30)


@given(st.lists(st.tuples(KEYS, VALUES), max_size=8))
def test_what_a_node_says_is_read_back(pairs: list[tuple[str, str]]) -> None:
    """Any text survives the frame, in its order and as often as it was said."""
    head = [("verb", "stage"), ("tailnet", "acme"), ("result", "ok")]
    assert parse("n", frame([*head, *pairs])).pairs == (*head, *pairs)


def test_values_are_unescaped_and_keys_may_repeat() -> None:
    """`one` wants exactly one value, `every` takes all in their order."""
    answer = parse("n", WHOLE)
    assert answer.one("note") == "a\tb\nc\\d"
    assert answer.every("peer") == ("x", "y")
    with pytest.raises(ValueError, match="2 times"):
        answer.one("peer")
    with pytest.raises(ValueError, match="missing"):
        answer.one("nothing")


@pytest.mark.parametrize(
    "noise", [b"Welcome!\n", b"\xff\xfe\x00\n\n", b"TAILGIT 1\nverb\tx\n", b"x\r\n" * 9]
)
def test_noise_before_the_frame_is_passed_over(noise: bytes) -> None:
    """A login banner, and even an earlier frame that was cut, do no harm."""
    assert parse("n", noise + WHOLE) == parse("n", WHOLE)


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_an_answer_that_was_cut_anywhere_is_none(cut: int) -> None:
    """A connection that breaks at any byte loses the answer as a whole."""
    with pytest.raises(BadAnswer):
        parse("n", WHOLE[:cut])


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(position: int, change: int) -> None:
    """The last line's hash covers all the others."""
    data = bytearray(WHOLE)
    data[position] ^= change
    with pytest.raises(BadAnswer):
        parse("n", bytes(data))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "it is empty"),
        (b"bash: tailgit-node: not found\n", "it has no first line"),
        (b"TAILGIT 1\n", "it breaks off"),
        (b" TAILGIT 1\n", "it has no first line"),
        (WHOLE + b"more\n", "not the hash of the others"),
        (WHOLE + b"more", "it breaks off"),
        (frame([("verb", "x"), ("tailnet", "t")]), "`result` is missing"),
        (frame([("result", "ok"), ("tailnet", "t")]), "`verb` is missing"),
        (ok("observe", "a", ("result", "ok")), "`result` stands there 2 times"),
        (ok("observe", "a", ("9", "x")), "no key and value"),
        (ok("observe", "a", ("k", "a\rb")), "no key and value"),
        (ok("observe", "a", ("end", "x")), "no key and value"),
        (
            frame([("verb", "x"), ("tailnet", "t"), ("result", "error")]),
            "`error` is missing",
        ),
        (
            frame([("verb", "x"), ("tailnet", "t"), ("result", "maybe")]),
            "neither ok nor error",
        ),
    ],
)
def test_everything_else_is_refused_with_a_reason(data: bytes, says: str) -> None:
    """Anything but exactly one frame is a `BadAnswer` that says why."""
    with pytest.raises(BadAnswer, match="not an answer of tailgit-node") as caught:
        parse("n", data)
    assert says in caught.value.message
    assert caught.value.node == "n"


def test_unknown_escapes_and_other_encodings_are_refused() -> None:
    """`\\x` means nothing in this protocol, and Latin-1 is not its encoding."""
    from hashlib import sha256

    for line in (b"k\ta\\xb\n", b"k\ta\\\n", b"k\t\xe9\n"):
        body = b"TAILGIT 1\nverb\tv\ntailnet\tt\nresult\tok\n" + line
        end = f"end\t{sha256(body).hexdigest()}\n".encode()
        with pytest.raises(BadAnswer):
            parse("n", body + end)


def test_a_refusal_is_a_whole_answer() -> None:
    """An error is an answer like any other: the caller decides what it means."""
    answer = parse("n", error("stage", "acme", "busy", "another request is at work"))
    assert answer.one("error") == "busy"


def test_a_flood_is_refused() -> None:
    """Nothing longer than the bound is looked at."""
    with pytest.raises(BadAnswer, match="longer than"):
        parse("n", bytes(LARGEST + 1))
