"""Postures: every operator, how values are quoted, and what a slip is."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgit.load.postures import ConditionError, parse_condition
from tailgit.model.policy import Attribute
from tests.load.policies import errors, tailnet_of


@pytest.mark.parametrize(
    ("text", "attribute", "operator", "values"),
    [
        ("node:os == 'linux'", "node:os", "==", ("linux",)),
        ("node:os=='linux'", "node:os", "==", ("linux",)),
        ("  node:os  !=  'linux'  ", "node:os", "!=", ("linux",)),
        ("node:tsVersion >= '1.40'", "node:tsVersion", ">=", ("1.40",)),
        ("node:tsVersion > '1.40'", "node:tsVersion", ">", ("1.40",)),
        ("custom:n < 5", "custom:n", "<", (5,)),
        ("custom:n <= -5", "custom:n", "<=", (-5,)),
        ("custom:managed == true", "custom:managed", "==", (True,)),
        ("custom:managed == 'true'", "custom:managed", "==", ("true",)),
        ("custom:tier IN ['a', 'b']", "custom:tier", "IN", ("a", "b")),
        ("custom:tier IN['a']", "custom:tier", "IN", ("a",)),
        ("custom:tier NOT IN [ 1 , true ]", "custom:tier", "NOT IN", (1, True)),
        ("ip:country  NOT   IN ['US']", "ip:country", "NOT IN", ("US",)),
        ("custom:x IS SET", "custom:x", "IS SET", ()),
        ("custom:x NOT SET", "custom:x", "NOT SET", ()),
        ('node:os == "it\'s"', "node:os", "==", ("it's",)),
        ("node:os == 'it\\'s'", "node:os", "==", ("it's",)),
        ("node:os == 'a == b'", "node:os", "==", ("a == b",)),
        ("node:os == ''", "node:os", "==", ("",)),
        ("falcon:ztaScore >= 70", "falcon:ztaScore", ">=", (70,)),
    ],
)
def test_conditions(
    text: str, attribute: str, operator: str, values: tuple[Attribute, ...]
) -> None:
    """Attribute, operator and values; text, numbers and truth are three things."""
    found = parse_condition(text)
    assert (found.attribute, found.operator, found.values) == (
        attribute,
        operator,
        values,
    )
    assert [type(each) for each in found.values] == [type(each) for each in values]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no attribute: a namespace, a colon and a name"),
        ("os == 'linux'", "`os` is no attribute: a namespace, a colon and a name"),
        ("node:os", "the condition has no operator"),
        ("node:os = 'linux'", "`=` is no operator"),
        ("node:os is 'linux'", "`is` is no operator"),
        ("node:os IS 'linux'", "`IS` is no operator"),
        ("node:os in ['linux']", "`in` is no operator"),
        ("node:os ~= 'x'", "`~=` is no operator"),
        ("node:os ==", "the condition has no value"),
        ("node:os == linux", "`linux` is no value"),
        ("node:os == 'linux", "`'linux` is no value"),
        ("node:os == 1.5", "`1.5` is no value"),
        ("node:os == True", "`True` is no value"),
        ("node:os == ['linux']", "`['linux'` is no value"),
        ("node:os IN 'linux'", "after IN comes a list"),
        ("node:os IN []", "the list has no values"),
        ("node:os IN ['a'", "a comma or `]` is missing in the list"),
        ("node:os IN ['a' 'b']", "a comma or `]` is missing in the list"),
        ("node:os IN ['a',]", "the condition has no value"),
        ("node:os == 'a' && x", "`&& x` follows the condition"),
        ("custom:x IS SET true", "`true` follows the condition"),
        ("custom:x == 1 2", "`2` follows the condition"),
    ],
)
def test_slips(text: str, message: str) -> None:
    """What is wrong, with the word in question; and how a condition is written."""
    with pytest.raises(ConditionError) as raised:
        parse_condition(text)
    assert str(raised.value) == message
    assert raised.value.help


VALUES = st.booleans() | st.integers(-(10**17), 10**17) | st.text(max_size=8)


@given(
    st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "IN", "NOT IN"]),
    st.lists(VALUES, min_size=1, max_size=4),
)
def test_what_is_written_is_read(operator: str, values: list[Attribute]) -> None:
    """Any text survives its quotes."""

    def quoted(value: Attribute) -> str:
        if isinstance(value, str):
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"'{escaped}'"
        return str(value).lower()

    many = operator.endswith("IN")
    text = f"[{', '.join(map(quoted, values))}]" if many else quoted(values[0])
    found = parse_condition(f"custom:x {operator} {text}")
    assert found.values == (tuple(values) if many else (values[0],))


@given(st.text("abcnode:osINSETNOT=!<>'\" [],1\\", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else happens, and what is read has an attribute with a namespace."""
    found = None
    with suppress(ConditionError):
        found = parse_condition(text)
    assert found is None or ":" in found.attribute


POSTURES = """\
grants: [{src: [ana@acme.com], dst: [db-1], ip: ['22'], srcPosture: [%s]}]
postures:
  posture:managed: ["custom:managed == true", "node:os IN ['linux', 'macos']"]
  posture:x: ["custom:x IS SET"]
"""


def test_a_posture_is_all_its_conditions() -> None:
    """A rule names some of them, and a default holds for rules without."""
    text = POSTURES % "'posture:x', posture:managed"
    tailnet = tailnet_of(text + "defaultSrcPosture: [posture:x]\n")
    assert [len(each.conditions) for each in tailnet.postures.values()] == [2, 1]
    assert tailnet.rules[0].posture == ("posture:x", "posture:managed")
    assert tailnet.default_src_posture == ("posture:x",)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (POSTURES % "posture:manage", "unknown-posture"),
        (POSTURES % "" + "defaultSrcPosture: [posture:y]\n", "unknown-posture"),
        ("grants: []\npostures: {posture:x: []}\n", "bad-posture"),
        ("grants: []\npostures: {posture:x: ['x']}\n", "bad-posture"),
    ],
)
def test_what_is_not_there_or_holds_for_anybody(text: str, code: str) -> None:
    """A rule that asks for nothing would allow more than it reads."""
    assert [each.code for each in errors(text)] == [code]
