"""Who may log in as whom: `ssh` and `sshTests`, parsed (POLICY.md §6 and §8).

A login rule names less than a rule between addresses: no `*`, no addresses, no host
aliases. Almost any text is a login name; only what reads like "everybody" and nothing
at all is refused.
"""

from __future__ import annotations

from typing import Literal

from tailgit.load.durations import DurationError, parse_duration
from tailgit.load.located import Items, Map
from tailgit.load.remarks import comment_above
from tailgit.load.selectors import Selectors, texts
from tailgit.load.tests import Examples, attributes
from tailgit.load.unite import Document
from tailgit.model.findings import Place
from tailgit.model.policy import SshRule, SshTest
from tailgit.model.selectors import Kind, Selector
from tailgit.model.text import shown

MAX_CHECK_PERIOD = 168 * 3600

_SOURCES = frozenset(
    {
        *(Kind.USER, Kind.GROUP, Kind.TAG, Kind.MEMBER, Kind.TAGGED, Kind.ROLE),
        *(Kind.DOMAIN, Kind.DEVICE),
    }
)
_DESTINATIONS = frozenset(
    {Kind.USER, Kind.TAG, Kind.SELF, Kind.MEMBER, Kind.TAGGED, Kind.DEVICE}
)
_TESTABLE = frozenset(
    {
        *(Kind.USER, Kind.GROUP, Kind.TAG, Kind.DEVICE, Kind.HOST, Kind.PREFIX),
        *(Kind.MEMBER, Kind.TAGGED, Kind.SELF, Kind.ROLE, Kind.DOMAIN),
    }
)
_NO_TAGS = frozenset({Kind.USER, Kind.SELF})


class SshRules:
    """Builds login rules."""

    def __init__(self, selectors: Selectors, documents: dict[str, Document]) -> None:
        self.selectors = selectors
        self.documents = documents

    def add(self, at: Place, message: str, help_: str) -> None:
        self.selectors.add("bad-ssh", at, message, help_)

    def rule(self, item: Map, at: Place) -> SshRule:
        action = self.action(item, at)
        src = self.sources(item)
        return SshRule(
            action or "accept",
            src,
            self.destinations(item, src),
            self.users(item, at),
            at,
            self.check_period(item, action),
            self.accept_env(item),
            self.selectors.postures(item),
            name=str(item.get("name", "")),
            description=comment_above(self.documents[at.file], at),
            disabled=item.get("disabled") is True,
        )

    def action(self, item: Map, at: Place) -> Literal["accept", "check"] | None:
        text = str(item.get("action") or "").strip()
        if text == "accept":
            return "accept"
        if text == "check":
            return "check"
        if text:
            at, message = item.at("action"), f'"{shown(text)}" is not a valid action'
        else:
            message = "action must be specified"
        self.add(at, message, "write `accept`, or `check` for a fresh login first")
        return None

    def sources(self, item: Map) -> tuple[Selector, ...]:
        found = []
        for selector in self.selectors.listed(item, "src", "src"):
            if selector.kind in _SOURCES:
                found.append(selector)
                continue
            message = f'invalid src "{shown(selector.value)}"'
            help_ = "logins come from users, groups, tags, devices and autogroups"
            self.add(_at(selector, item), message, help_)
        return tuple(found)

    def destinations(
        self, item: Map, src: tuple[Selector, ...]
    ) -> tuple[Selector, ...]:
        """Those that rules of logins can name, and that this source may reach."""
        found = []
        only = src[0] if len(src) == 1 else None
        for index, text in texts(item, "dst"):
            at = item.at("dst", index)
            if "/" in text or text.strip() == "*":
                selector = None
                self.invalid(text, at)
            else:
                selector = self.selectors.read(text, at, "dst")
            if selector is None:
                continue
            if selector.kind not in _DESTINATIONS:
                self.invalid(text, at)
                continue
            self.reach(selector, src, only, at)
            found.append(selector)
        return tuple(found)

    def invalid(self, text: str, at: Place) -> None:
        message = f'invalid dst "{shown(text.strip())}"'
        help_ = "name a tag, a device, or autogroup:self, member or tagged"
        self.add(at, message, help_)

    def reach(
        self,
        dst: Selector,
        src: tuple[Selector, ...],
        only: Selector | None,
        at: Place,
    ) -> None:
        """People's devices may be logged in to by their own people only."""
        tag = next((s for s in src if s.kind in (Kind.TAG, Kind.TAGGED)), None)
        if tag is not None and dst.kind in _NO_TAGS:
            message = f"`{shown(tag.value)}` can't log in to users' devices"
            self.add(at, message, "give tagged sources a rule with tagged destinations")
        elif dst.kind is Kind.USER and src and (only is None or only != dst):
            message = f'invalid dst "{shown(dst.value)}"'
            help_ = "a user as dst takes the same user as its only src"
            self.add(at, message, help_)

    def users(self, item: Map, at: Place) -> tuple[str, ...]:
        listed = item.get("users")
        if not listed or not isinstance(listed, Items):
            if not isinstance(listed, str):  # else the schema has said so
                help_ = "name logins: `users: [autogroup:nonroot]`"
                self.add(at, "users must be specified", help_)
            return ()
        found = []
        for index, text in texts(item, "users"):
            name = text.strip()
            if name in ("", "*"):
                message = f'user "{shown(name)}" is not valid'
                help_ = "every login but root is `autogroup:nonroot`"
                self.add(item.at("users", index), message, help_)
            else:
                found.append(name)
        return tuple(found)

    def check_period(self, item: Map, action: str | None) -> int | None:
        """In seconds; 0 is a check at every login, None what is usual."""
        text = item.get("checkPeriod")
        if not isinstance(text, str):
            return None
        at = item.at("checkPeriod")
        if action == "accept":
            message = "checkPeriod is only valid with action `check`"
            self.add(at, message, "take it out, or write `action: check`")
            return None
        if text.strip() == "always":
            return 0
        help_ = "for example `12h` or `90m`; `always` asks at every login"
        try:
            period = parse_duration(text.strip())
        except DurationError as error:
            self.add(at, shown(str(error)), help_)
            return None
        if period.seconds > MAX_CHECK_PERIOD:
            message = f"checkPeriod {period} is above the max (168h)"
        elif period.seconds < 0:
            message = f"checkPeriod {period} must be a positive duration"
        else:
            return int(period.seconds)
        self.add(at, message, help_)
        return None

    def accept_env(self, item: Map) -> tuple[str, ...]:
        found = []
        for index, text in texts(item, "acceptEnv"):
            if text.strip():
                found.append(text)
                continue
            at, message = (
                item.at("acceptEnv", index),
                "acceptEnv values cannot be empty",
            )
            self.add(at, message, "name a variable, `LANG`, or a pattern, `GIT_*`")
        return tuple(found)


class SshExamples(Examples):
    """Builds examples of login rules."""

    def ssh_test(self, item: Map, at: Place) -> SshTest | None:
        src = self.source(item)
        lists = {key: self.names(item, key) for key in ("accept", "deny", "check")}
        if not any(item.get(key) for key in lists):
            message = "the test has none of `accept`, `deny` and `check`"
            self.add(at, message, "write `accept: [ubuntu]`")
        if not item.get("dst"):
            self.add(at, "the test has no destination", "write `dst: [tag:web]`")
        self.hand_over()
        dst = self.destinations(item)
        if src is None:
            return None
        return SshTest(
            src,
            dst,
            at,
            lists["accept"],
            lists["deny"],
            lists["check"],
            attributes(item),
        )

    def names(self, item: Map, key: str) -> tuple[str, ...]:
        found = []
        for index, text in texts(item, key):
            if text.strip():
                found.append(text.strip())
            else:
                at = item.at(key, index)
                self.add(at, "a login name is empty", "name a login, such as `root`")
        return tuple(found)

    def destinations(self, item: Map) -> tuple[Selector, ...]:
        """Single machines, tags and users; each mistake has a sentence of its own."""
        found = []
        for index, text in texts(item, "dst"):
            at, text = item.at("dst", index), text.strip()
            selector = self.selectors.read(text, at, "dst", ports=True)
            known = [each for each in self.said if each.code == "not-yet"]
            self.findings.extend(known)
            self.said.clear()
            if selector is None or selector.kind not in _TESTABLE or "/" in text:
                if not known:
                    self.disallowed(text, at)
                continue
            found.append(selector)
        return tuple(found)

    def disallowed(self, text: str, at: Place) -> None:
        message = f'SSH tests dst contains disallowed element "{shown(text)}"'
        help_ = "name tags, devices, users or single addresses, without ports"
        self.selectors.add("bad-ssh-test", at, message, help_)
        self.findings.extend(self.said)
        self.said.clear()


def _at(selector: Selector, item: Map) -> Place:
    return selector.place or item.at("src")
