"""`tailgit explain`: why one connection is allowed, or why not."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.access import At
from tailgit.cli.tailnet import Commit, Format, Repo, valid_tailnet
from tailgit.errors import Exit, UsageError

if TYPE_CHECKING:
    from tailgit.access import Explanation
    from tailgit.access.logins import Login
    from tailgit.model.policy import Rule, SshRule

MOST_NOTES = 5
"""Printed; a group of many devices has as many reasons. JSON has all of them."""


def explain(
    src: Annotated[
        str,
        typer.Argument(metavar="SRC", help="Who connects."),
    ],
    dst: Annotated[
        str,
        typer.Argument(
            metavar="DST[:PORT]",
            help="To whom; IPv6 with a port is [2001:db8::1]:443.",
        ),
    ],
    proto: Annotated[
        str | None, typer.Option(help="tcp, udp, icmp, … or a number.")
    ] = None,
    login: Annotated[
        str | None,
        typer.Option(
            "--ssh", metavar="NAME", help="May SRC log in at DST under this name?"
        ),
    ] = None,
    at: At = None,
    repo: Repo = Path(),
    commit: Commit = None,
    output: Format = "text",
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 3 if it is denied.")
    ] = False,
) -> Exit:
    """Say why a connection is allowed, or why not.

    SRC and DST are devices, addresses or anything a policy may name. Prints every
    rule that allows it, with file, line and deadline, or what comes nearest. Without
    --proto TCP or UDP suffices, without PORT any port. With --ssh it asks the rules of
    the section `ssh` instead.

    Exits 0 for a yes and for a no, unless --exit-code is given.

    \b
    Examples:
      tailgit explain ana-laptop db-1:5432
      tailgit explain ana-laptop ns-1:53 --proto udp --commit HEAD~3
      tailgit explain kim@acme.com db-1:5432 --at 2027-01-31
      tailgit explain group:on-call tag:web --ssh root
      tailgit explain web-1 '[fd5c:91aa:7be0::53]:443' --exit-code
    """
    from tailgit import access
    from tailgit.access.logins import explain_login
    from tailgit.cli.surroundings import surroundings
    from tailgit.load.bare import with_stand_ins

    name, port = _destination(dst)
    number = _protocol(proto, port)
    now = surroundings(at).now
    if login is not None and (port is not None or proto is not None):
        raise UsageError(
            "--ssh asks who may log in, not which port is open",
            "leave out PORT and --proto, or leave out --ssh",
        )
    tailnet = with_stand_ins(valid_tailnet(repo, commit, tests=False))
    answer: Explanation | Login
    if login is not None:
        answer = explain_login(tailnet, src, name, login, now)
    else:
        answer = access.explain(tailnet, src, name, number, port, now)
    print(_json(answer) if output == "json" else _text(answer))
    return Exit.INVALID if exit_code and not answer.allowed else Exit.DONE


def _destination(text: str) -> tuple[str, int | None]:
    """DST and PORT; the colon of `tag:db` and those of IPv6 are before no port."""
    from tailgit.model.selectors import SelectorError, split_destination

    kind = text.startswith(("group:", "tag:", "autogroup:"))
    if text.count(":") == kind or _is_address(text.removeprefix("[").removesuffix("]")):
        return text.removeprefix("[").removesuffix("]"), None
    try:
        head, port = split_destination(text)
    except SelectorError as error:
        raise UsageError(f"{error}", "write DST or DST:PORT") from None
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(f"`{port}` is no port", "one number from 1 to 65535")
    return head, int(port)


def _is_address(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _protocol(text: str | None, port: int | None) -> int | None:
    from tailgit.model.ports import WITH_PORTS, PortError, protocol_number

    if text is None:
        return None
    try:
        number = protocol_number(text)
    except PortError as error:
        raise UsageError(f"{error}", "tcp, udp, icmp, sctp, … or a number") from None
    if port is not None and number not in WITH_PORTS:
        raise UsageError(f"{text} has no ports", "leave out the port")
    return number


def _text(answer: Explanation | Login) -> str:
    from tailgit.model.text import shown

    lines = [answer.sentence]
    for rule in answer.rules:
        said = ": ".join(filter(None, (rule.name, rule.description.split("\n")[0])))
        lines.append(f"  {rule.place}  {_opens(rule)}{f'  ({said})' if said else ''}")
    lines += [f"  note: {note}" for note in answer.notes[:MOST_NOTES]]
    if len(answer.notes) > MOST_NOTES:
        lines.append(f"  and {len(answer.notes) - MOST_NOTES} more (--format json)")
    return "\n".join(map(shown, lines))


def _opens(rule: Rule | SshRule) -> str:
    """What a rule lets through, and until when."""
    from tailgit.model.deadline import deadline_text
    from tailgit.model.policy import Rule

    if not isinstance(rule, Rule):
        return f"{rule.action} {', '.join(rule.users)}"
    until = f" until {deadline_text(rule.expires)}" if rule.expires is not None else ""
    return f"{rule.ports}{until}"


def _json(answer: Explanation | Login) -> str:
    from tailgit.access import Explanation
    from tailgit.model.deadline import deadline_text

    until = answer.until if isinstance(answer, Explanation) else None
    document: dict[str, object] = {
        "format_version": 1,
        "allowed": answer.allowed,
        "sentence": answer.sentence,
        "until": deadline_text(until) if until is not None else None,
        "rules": [_json_rule(rule) for rule in answer.rules],
        "notes": list(answer.notes),
    }
    return json.dumps(document, indent=2, ensure_ascii=True)


def _json_rule(rule: Rule | SshRule) -> dict[str, object]:
    from tailgit.model.deadline import deadline_text
    from tailgit.model.policy import Rule

    found: dict[str, object] = {
        "file": rule.place.file,
        "line": rule.place.line,
        "column": rule.place.column,
        "section": rule.section if isinstance(rule, Rule) else "ssh",
        "name": rule.name,
        "description": rule.description,
        "src": [str(selector) for selector in rule.src],
        "dst": [str(selector) for selector in rule.dst],
    }
    if isinstance(rule, Rule):
        until = rule.expires
        found["ports"] = str(rule.ports)
        found["until"] = deadline_text(until) if until is not None else None
    else:
        found |= {"action": rule.action, "users": list(rule.users)}
    return found
