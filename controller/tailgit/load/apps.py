"""Application capabilities of grants: names judged, values passed through.

What a capability means is the application's business; here its values are texts of
canonical JSON, so that equal ones are equal however they were written.
"""

from __future__ import annotations

import json
import re

from tailgit.load.located import Items, Map
from tailgit.model.codes import finding
from tailgit.model.findings import Finding
from tailgit.model.policy import App

_NAME = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+/[^\s]+")
_TAILSCALE = "tailscale.com/"
_ALLOWED = frozenset(
    f"{_TAILSCALE}cap/{name}"
    for name in ("drive", "relay", "webui", "kubernetes", "tsidp", "secrets")
)
"""What Tailscale lets a policy grant of its own domain."""


def read_apps(item: Map, findings: list[Finding]) -> tuple[App, ...]:
    """The field `app` of a grant, by name."""
    section = item.get("app")
    if not isinstance(section, Map):
        return ()
    found = []
    for name in sorted(section):
        at, message = section.key(name), ""
        if not _NAME.fullmatch(name):
            message = "capability name must have the form {domain}/{path}"
            help_ = "for example `acme.com/cap/sql`, without `https://`"
        elif name.startswith(_TAILSCALE) and name not in _ALLOWED:
            message = "capability name must not be in the tailscale.com domain"
            help_ = "use a domain of your own: what an application understands"
        if message:
            findings.append(finding("bad-app", at, message, help_))
        found.append(App(name, json_values(section[name])))
    return tuple(found)


def read_settings(item: Map) -> tuple[App, ...]:
    """The field `app` of a `nodeAttrs` entry, whose names nothing limits."""
    section = item.get("app")
    if not isinstance(section, Map):
        return ()
    return tuple(App(name, json_values(section[name])) for name in sorted(section))


def json_values(values: object) -> tuple[str, ...]:
    """Each value as canonical JSON text; null is an empty list."""
    if isinstance(values, Items):
        return tuple(_text(each) for each in values)
    return () if values is None else (_text(values),)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
