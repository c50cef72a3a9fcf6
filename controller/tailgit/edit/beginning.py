"""The first files of a tailnet: what `tailgit init` writes.

They are templates of ours filled with four answers, each of which is checked by the
schema that will judge it later, before it gets into a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from tailgit.edit.schema import SCHEMA, editor_schema
from tailgit.errors import UsageError
from tailgit.load.shape import schemas
from tailgit.model.text import shown
from tailgit.resources import template

Forge = Literal["github", "gitlab"]

FILES = ("tailnet.yaml", "people.yaml", "policy.yaml")
_CI = {"github": ".github/workflows/tailgit.yaml", "gitlab": ".gitlab-ci.yml"}
_FIELDS = {
    "name": ("tailnet.schema.json", "name"),
    "domain": ("tailnet.schema.json", "domain"),
    "user": ("common.schema.json", "login"),
}


@dataclass(frozen=True, slots=True)
class Answers:
    """What nobody can guess: its name, its domain, its ranges, its first person."""

    name: str
    domain: str
    user: str
    ipv4: IPv4Network
    ipv6: IPv6Network


def wrong(field: str, text: str) -> str:
    """Why the text can't be the `name`, `domain` or `user`; empty if it can."""
    file, name = _FIELDS[field]
    schema = schemas()[file]
    about = (schema.get("properties") or schema["$defs"])[name]
    longest = about.get("maxLength", 253)
    if len(text) <= longest and re.search(about["pattern"], text):
        if field == "domain" and "." not in text:
            return f"`{shown(text)}` is a whole top-level domain: put a label before it"
        # A plain word in YAML must not be read as something else than text.
        if field != "name" or text not in ("null", "true", "false", "yes", "no", "on"):
            return ""
    return f"`{shown(text)}` is not {about['title']}: {about['description']}"


def first_files(answers: Answers) -> Mapping[str, bytes]:
    """The files below the root by name; `UsageError` for an answer that can't stand."""
    for field in _FIELDS:
        said = wrong(field, getattr(answers, field))
        if said:
            raise UsageError(said)
    values = {field: str(getattr(answers, field)) for field in answers.__slots__}
    files = {
        name: template(f"init/{name}.j2").render(**values).encode() for name in FILES
    }
    return {**files, SCHEMA: json.dumps(editor_schema()).encode() + b"\n"}


def ci_file(forge: Forge, path: str, branch: str) -> tuple[str, bytes]:
    """The pipeline that checks every change: its path from the top, and its text.

    `path` is the tailnet's folder from the top of the repository, `.` for the top.
    """
    for text in (path, branch):
        if not re.fullmatch(r"[A-Za-z0-9._/-]+", text) or text.startswith("-"):
            message = f"`{shown(text)}` can't stand in a pipeline's shell unquoted"
            raise UsageError(message, "use a folder or branch with a plainer name")
    text = template(f"init/{forge}.yaml.j2").render(path=path, branch=branch)
    return _CI[forge], text.encode()
