"""`tailgit explain`: why one connection is allowed, or why not."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.tailnet import Commit, Format, Repo, valid_tailnet
from tailgit.errors import Exit, UsageError

if TYPE_CHECKING:
    from tailgit.access import Explanation


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
    repo: Repo = Path(),
    commit: Commit = None,
    output: Format = "text",
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 3 if it is denied.")
    ] = False,
) -> Exit:
    """Say why a connection is allowed, or why not.

    SRC and DST are devices, addresses or anything a policy may name. Prints every
    rule that allows it, with file and line, or what comes nearest. Without --proto
    TCP or UDP suffices, without PORT any port.

    \b
    Examples:
      tailgit explain ana-laptop db-1:5432
      tailgit explain ana-laptop ns-1:53 --proto udp --commit HEAD~3
      tailgit explain web-1 '[fd5c:91aa:7be0::53]:443' --exit-code
    """
    from tailgit import access

    name, port = _destination(dst)
    tailnet = valid_tailnet(repo, commit, tests=False)
    explanation = access.explain(tailnet, src, name, _protocol(proto, port), port)
    print(_json(explanation) if output == "json" else _text(explanation))
    return Exit.INVALID if exit_code and not explanation.allowed else Exit.DONE


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


def _text(explanation: Explanation) -> str:
    from tailgit.model.text import shown

    lines = [explanation.sentence]
    for rule in explanation.rules:
        said = rule.name or rule.description.split("\n")[0]
        lines.append(f"  {rule.place}  {rule.ports}{f'  ({said})' if said else ''}")
    lines += [f"  note: {note}" for note in explanation.notes]
    return "\n".join(map(shown, lines))


def _json(explanation: Explanation) -> str:
    document = {
        "format_version": 1,
        "allowed": explanation.allowed,
        "sentence": explanation.sentence,
        "rules": [
            {
                "file": rule.place.file,
                "line": rule.place.line,
                "column": rule.place.column,
                "section": rule.section,
                "name": rule.name,
                "description": rule.description,
                "src": [str(selector) for selector in rule.src],
                "dst": [str(selector) for selector in rule.dst],
                "ports": str(rule.ports),
            }
            for rule in explanation.rules
        ],
        "notes": list(explanation.notes),
    }
    return json.dumps(document, indent=2, ensure_ascii=True)
