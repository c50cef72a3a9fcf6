"""Login rules and their tests: what is taken, and Tailscale's sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgit.load.durations import DurationError, parse_duration
from tests.load.policies import loaded, sentences, tailnet_of


def rule(**changed: str | None) -> str:
    fields: dict[str, str | None] = {
        "action": "accept",
        "src": "[autogroup:member]",
        "dst": "[tag:db]",
        "users": "[root]",
        **changed,
    }
    inner = ", ".join(f"{key}: {value}" for key, value in fields.items() if value)
    return f"grants: []\nssh: [{{{inner}}}]\n"


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (rule(action=None), "action must be specified"),
        (rule(action="''"), "action must be specified"),
        (rule(action="deny"), '"deny" is not a valid action'),
        (rule(action="Accept"), '"Accept" is not a valid action'),
        (rule(action="ACCEPT"), '"ACCEPT" is not a valid action'),
        (rule(users=None), "users must be specified"),
        (rule(users="[]"), "users must be specified"),
        (rule(users="null"), "users must be specified"),
        (rule(users="['*']"), 'user "*" is not valid'),
        (rule(users="['']"), 'user "" is not valid'),
        (rule(users="[root, ' ']"), 'user "" is not valid'),
        (rule(dst="[srv]"), 'invalid dst "srv"'),
        (rule(dst="[lan]"), 'invalid dst "lan"'),
        (rule(dst="['*']"), 'invalid dst "*"'),
        (rule(dst="[group:dev]"), 'invalid dst "group:dev"'),
        (rule(dst="[10.0.0.1]"), 'invalid dst "10.0.0.1"'),
        (rule(dst="[10.0.0.0/8]"), 'invalid dst "10.0.0.0/8"'),
        (rule(dst="[ana@acme.com]"), 'invalid dst "ana@acme.com"'),
        (
            rule(src="[kim@acme.com]", dst="[ana@acme.com]"),
            'invalid dst "ana@acme.com"',
        ),
        (rule(src="['*']"), 'invalid src "*"'),
        (rule(src="[srv]"), 'invalid src "srv"'),
        (rule(src="[10.0.0.1]"), 'invalid src "10.0.0.1"'),
        (
            rule(action="check", checkPeriod="168h0m1s"),
            "checkPeriod 168h0m1s is above the max (168h)",
        ),
        (
            rule(action="check", checkPeriod="-1m"),
            "checkPeriod -1m0s must be a positive duration",
        ),
        (rule(action="check", checkPeriod="abc"), 'time: invalid duration "abc"'),
        (rule(acceptEnv="['']"), "acceptEnv values cannot be empty"),
    ],
)
def test_tailscales_own_sentences(policy: str, message: str) -> None:
    """Word for word, at the entry that is wrong."""
    assert sentences(policy) == [("bad-ssh", message)]


def test_domains_of_logins() -> None:
    """`localpart:*@` and `user:*@` take the tailnet's domains, in their own case."""
    why = "is not associated with this Tailnet and cannot be used in user:*@<domain>"
    for users in ("['localpart:*@acme.org']", "['localpart:*@ACME.COM']"):
        ((code, message),) = sentences(rule(users=users))
        assert code == "bad-domain"
        assert message.startswith(f"{users[14:-2].removesuffix(chr(39))} {why}")
    ((_, message),) = sentences(rule(src="['user:*@acme.org']"))
    assert message.startswith(f"[ssh] acme.org {why}")
    assert sentences(rule(src="['user:*@acme.com']")) == []


@pytest.mark.parametrize(
    "policy",
    [
        rule(src=None),
        rule(src="[]"),
        rule(dst=None),
        rule(dst="[]"),
        rule(dst="[tag:web, db-1, autogroup:tagged, autogroup:member]"),
        rule(dst="[autogroup:self]"),
        rule(src="[ana@acme.com]", dst="[ana@acme.com]"),
        rule(src="[tag:db]", dst="[tag:web]"),
        rule(src="[autogroup:admin, group:dev, tag:web, 'user:*@acme.com']"),
        rule(users="[autogroup:self, 'tag:foo', 'localpart:foo', '🙂', ' root']"),
        rule(users="['localpart:foo@acme.org']"),
        rule(users="['localpart:*@acme.com', autogroup:nonroot]"),
        rule(action="' check '"),
        rule(action="check", checkPeriod="null"),
        rule(acceptEnv="['**', '*X*']"),
        "grants: []\nssh: []\n",
    ],
)
def test_surprisingly_valid(policy: str) -> None:
    """What Tailscale takes is not refused by us."""
    assert sentences(policy) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("always", 0),
        ("0s", 0),
        ("30s", 30),
        ("12h", 43200),
        ("1h30m", 5400),
        ("168h", 604800),
        ("1.5h", 5400),
    ],
)
def test_periods(text: str | None, seconds: int | None) -> None:
    """In seconds; `always` is 0, and left out is the default."""
    (found,) = tailnet_of(rule(action="check", checkPeriod=text)).ssh_rules
    assert (found.action, found.check_period) == ("check", seconds)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1h", "1h0m0s"),
        ("90m", "1h30m0s"),
        ("-1m", "-1m0s"),
        ("1.5s", "1.5s"),
        ("0", "0s"),
        ("+5s", "5s"),
        ("1ms", "1ms"),
        ("1500us", "1.5ms"),
        ("100ns", "100ns"),
        (".5m", "30s"),
        ("168h0m1s", "168h0m1s"),
    ],
)
def test_durations_print_as_gos_do(text: str, shown: str) -> None:
    """The sentence about a period has Go's form of it."""
    assert str(parse_duration(text)) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'time: invalid duration ""'),
        ("abc", 'time: invalid duration "abc"'),
        ("5", 'time: missing unit in duration "5"'),
        ("1h 2m", 'time: invalid duration "1h 2m"'),
        ("1d", 'time: invalid duration "1d"'),
        ("٣h", 'time: invalid duration "٣h"'),
        ("9" * 15 + "h", f'time: invalid duration "{"9" * 15}h"'),
    ],
)
def test_no_durations(text: str, message: str) -> None:
    """Go's two sentences; nothing but its own units."""
    with pytest.raises(DurationError) as raised:
        parse_duration(text)
    assert str(raised.value) == message


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59))
def test_durations_come_back(hours: int, minutes: int, seconds: int) -> None:
    """What is printed is read as the same length of time."""
    length = parse_duration(f"{hours}h{minutes}m{seconds}s")
    assert length.seconds == hours * 3600 + minutes * 60 + seconds
    assert parse_duration(str(length)) == length


def test_logins_are_kept_as_written() -> None:
    """Trimmed, in their order, and the comment above is the description."""
    (found,) = tailnet_of(
        "grants: []\nssh:\n  # On call.\n"
        "  - action: check\n    src: [group:dev]\n    dst: [tag:db]\n"
        "    users: [' root', 'autogroup:nonroot ']\n    acceptEnv: ['GIT_*']\n"
        "    name: on-call\n    disabled: true\n"
    ).ssh_rules
    assert found.users == ("root", "autogroup:nonroot")
    assert (found.accept_env, found.name) == (("GIT_*",), "on-call")
    assert (found.description, found.disabled) == ("On call.", True)


def test_it_can_be_judged_and_not_applied() -> None:
    """Logins follow the nodes' own sshd: node commands say so and refuse."""
    (found,) = loaded(rule()).findings
    assert (found.code, found.is_error) == ("not-applied", False)


# Tests of logins


def ssh_test(**changed: str | None) -> str:
    fields = {"src": "ana@acme.com", "dst": "[tag:db]", "deny": "[root]", **changed}
    inner = ", ".join(f"{key}: {value}" for key, value in fields.items() if value)
    return f"grants: []\nsshTests: [{{{inner}}}]\n"


@pytest.mark.parametrize(
    ("policy", "code", "message"),
    [
        (
            ssh_test(dst="[autogroup:internet]"),
            "bad-ssh-test",
            'SSH tests dst contains disallowed element "autogroup:internet"',
        ),
        (
            ssh_test(dst="[10.0.0.0/8]"),
            "bad-ssh-test",
            'SSH tests dst contains disallowed element "10.0.0.0/8"',
        ),
        (
            ssh_test(dst="['*']"),
            "bad-ssh-test",
            'SSH tests dst contains disallowed element "*"',
        ),
        (
            ssh_test(dst="['tag:db:22']"),
            "bad-ssh-test",
            'SSH tests dst contains unknown tag "tag:db:22"',
        ),
        (ssh_test(deny=None), "ssh-test-failed", None),
        (ssh_test(deny="[]"), "ssh-test-failed", None),
        (ssh_test(deny="['']"), "ssh-test-failed", None),
        (ssh_test(dst=None), "ssh-test-failed", None),
        (ssh_test(src="''"), "ssh-test-failed", None),
        (ssh_test(src="autogroup:bogus"), "ssh-test-failed", None),
        (ssh_test(src="tag:x"), "test-of-nobody", None),
    ],
)
def test_tests_that_can_not_hold(policy: str, code: str, message: str | None) -> None:
    """A destination has a sentence of its own; everything else fails."""
    ((found, said),) = sentences(policy)
    assert (found, said) == (code, message or said)


def test_what_a_test_may_name() -> None:
    """Tags, devices, users, hosts and single addresses."""
    dst = "[tag:db, db-1, kim@acme.com, srv, 10.0.0.1, autogroup:self]"
    (found,) = tailnet_of(ssh_test(dst=dst, check="[ubuntu]")).ssh_tests
    assert len(found.dst) == 6
    assert (found.accept, found.deny, found.check) == ((), ("root",), ("ubuntu",))
