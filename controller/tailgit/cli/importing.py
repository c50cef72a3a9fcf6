"""`tailgit import`: a tailnet's files from what somebody has already."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeVar

import typer

from tailgit.cli.tailnet import Format
from tailgit.errors import (
    Exit,
    InvalidTailnet,
    Refused,
    SourceError,
    TailgitError,
    UsageError,
)

if TYPE_CHECKING:
    from tailgit.importers.notes import Imported
    from tailgit.importers.people import People

FORMAT_VERSION = 1

app = typer.Typer(
    help="Begin from what you have: a policy or WireGuard files.",
    no_args_is_help=True,
)

_Policy = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="The policy, HuJSON or JSON; - is standard input.",
        show_default=False,
    ),
]
_Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Write into this folder, not to standard output.",
        show_default=False,
    ),
]


@app.command()
def tailscale(
    file: _Policy,
    out: _Out = None,
    devices: Annotated[
        str | None,
        typer.Option(
            "--devices",
            metavar="FILE",
            help="The API's list of devices, JSON: makes devices.yaml, too.",
            show_default=False,
        ),
    ] = None,
    output: Format = "text",
) -> Exit:
    """Write Tailscale's policy file as a tailnet's YAML.

    Every section keeps its name and meaning, comments and order stay; older spellings
    (`ACLs`, `users` and `ports`, `autogroup:members`) become the present ones. A
    policy with neither `acls` nor `grants` allows everything: that rule is written
    out. The YAML goes to standard output or, with --out, to DIR/policy.yaml, and
    nothing that exists is written over.

    Standard error says, each at its place, what tailgit does not enforce or does not
    know, what was spelt otherwise, and what `check` will refuse as it refuses the
    original. A file that can't be read exits 3 and nothing is written.

    With --devices the answer of the API for devices (with `fields=all`: routes) makes
    devices.yaml: names, owners or tags, routes. Keys stay where they are: each device
    awaits its own.

    A `policy.hujson` beside a tailnet.yaml works as it is, too, and means the same.

    \b
    Examples:
      tailgit import tailscale policy.hujson
      tailgit import tailscale policy.hujson --devices devices.json --out .
      curl -su "$KEY:" https://api.tailscale.com/api/v2/tailnet/-/acl \\
        | tailgit import tailscale - --out .
    """
    from tailgit.importers.policy import import_policy

    imported = _made(import_policy, _read(file), _name(file))
    imported = _with_devices(imported, devices, _people(None, None))
    return _hand_over(imported, out, output, [file])


@app.command()
def headscale(
    file: _Policy,
    out: _Out = None,
    email_domain: Annotated[
        str | None,
        typer.Option(
            metavar="DOMAIN",
            help="`alice@` becomes `alice@DOMAIN`.",
            show_default=False,
        ),
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME@=EMAIL",
            help="`NAME@` becomes EMAIL. May be repeated.",
            show_default=False,
        ),
    ] = None,
    nodes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="What `headscale nodes list -o json` prints: makes devices.yaml, too.",
            show_default=False,
        ),
    ] = None,
    output: Format = "text",
) -> Exit:
    """Write Headscale's policy file as a tailnet's YAML.

    As `tailgit import tailscale`, and Headscale's users get e-mail addresses:
    `alice@` becomes what --user says of it, else `alice@DOMAIN` by --email-domain.
    Without either the name stays and is reported; names in groups without `@`, as
    before Headscale 0.26, are taken for `NAME@`. A name that would become somebody
    whom the policy names already is refused.

    With --nodes the list of nodes makes devices.yaml: names, owners or tags, routes.
    Keys stay where they are: each device awaits its own.

    \b
    Examples:
      tailgit import headscale acl.hujson --email-domain acme.com
      headscale nodes list -o json > nodes.json
      tailgit import headscale acl.hujson --user alice@=ana@acme.com \\
        --nodes nodes.json --out .
    """
    from tailgit.importers.policy import import_policy

    people = _people(email_domain, user)
    imported = _made(import_policy, _read(file), _name(file), people)
    imported = _with_devices(imported, nodes, people)
    return _hand_over(imported, out, output, [file])


def _with_devices(imported: Imported, file: str | None, people: People) -> Imported:
    if file is None:
        return imported
    from tailgit.importers.machines import FILE, import_devices
    from tailgit.importers.notes import Imported, in_order

    data, notes = _made(import_devices, _read(file), _name(file), people)
    files = {FILE: data, **imported.files}
    return Imported(files, in_order([*imported.notes, *notes]))


def _people(domain: str | None, users: list[str] | None) -> People:
    from tailgit.importers.people import People

    names = {}
    for text in users or []:
        name, sign, email = text.partition("=")
        if not sign or not name.endswith("@") or not email.strip("@").count("@") == 1:
            raise UsageError(
                f"--user {text}: not NAME@=EMAIL", "--user alice@=ana@acme.com"
            )
        names[name] = email
    if domain is not None and (not domain or set(domain) & set("@:*,[] /")):
        raise UsageError(f"--email-domain {domain}: no domain", "such as acme.com")
    return People(domain or "", names)


@app.command()
def wireguard(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="wg-quick files, of one machine or of several.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str, typer.Option(help="The tailnet's name: a-z, 0-9, dashes; at most 11.")
    ] = "wg",
    domain: Annotated[
        str | None,
        typer.Option(help="Machines are called DEVICE.DOMAIN; NAME.internal."),
    ] = None,
    out: _Out = None,
    output: Format = "text",
) -> Exit:
    """Write the machines of wg-quick files as a tailnet.

    Each machine is told by its public key, which is computed where a file has the
    private one: private and pre-shared keys never reach a file or the screen. Names
    come from comments (`# Name = ana`, `# ana` at a [Peer]) and from names of files.
    Addresses are pinned, endpoints kept, what else AllowedIPs has becomes routes and
    exit nodes, and who may reach whom becomes grants: as far as the files show it,
    so give the files of all machines. Writes tailnet.yaml, devices.yaml and
    policy.yaml, and nothing that exists is written over.

    Standard error says what is in no file: hooks (PostUp and so on) are never run,
    host names of endpoints are not resolved, DNS and MTU are not taken over. A file
    that can't be read exits 3, with the line, and nothing is written.

    \b
    Examples:
      tailgit import wireguard wg0.conf
      tailgit import wireguard hub.conf laptop.conf phone.conf --name home
      tailgit import wireguard */wg0.conf --name home --out net
    """
    from tailgit.edit.beginning import wrong
    from tailgit.importers.wireguard import import_wireguard

    domain = f"{name}.internal" if domain is None else domain
    for field, text in (("name", name), ("domain", domain)):
        if wrong(field, text):
            raise UsageError(f"--{field}: {wrong(field, text)}")
    contents = {_name(file): _read(file) for file in files}
    imported = _made(import_wireguard, contents, name, domain)
    return _hand_over(imported, out, output, files)


class _Unreadable(TailgitError):
    """What is to be imported has mistakes, which have been said."""

    exit = Exit.INVALID


_Arguments = ParamSpec("_Arguments")


_Result = TypeVar("_Result")


def _made(
    make: Callable[_Arguments, _Result],
    *arguments: _Arguments.args,
    **options: _Arguments.kwargs,
) -> _Result:
    """What an import makes; its findings are about files that are no tailnet yet."""
    try:
        return make(*arguments, **options)
    except InvalidTailnet as error:
        from tailgit.report.findings import as_text

        print(as_text(error.findings), file=sys.stderr)
        raise _Unreadable(
            "nothing was imported", "mend the lines above and try again"
        ) from None


def _name(file: str) -> str:
    return "<stdin>" if file == "-" else file


def _read(file: str) -> bytes:
    """At most one byte more than a file of a tailnet may have."""
    from tailgit.load.decode import MAX_FILE_BYTES
    from tailgit.model.text import shown

    if file == "-":
        return sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    try:
        with Path(file).open("rb") as opened:
            return opened.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceError(f"can't read {shown(file)}: {why}") from None


def _hand_over(
    imported: Imported, out: Path | None, output: str, sources: Iterable[str]
) -> Exit:
    from tailgit.importers.notes import as_data, as_text

    written = _write(out, imported.files) if out is not None else []
    if output == "json":
        files = [
            {"path": path, "written": True}
            if out is not None
            else {"path": path, "written": False, "text": data.decode()}
            for path, data in zip(
                written or imported.files, imported.files.values(), strict=True
            )
        ]
        document = {
            "format_version": FORMAT_VERSION,
            "files": files,
            "notes": as_data(imported.notes),
        }
        print(json.dumps(document, indent=2))
        return Exit.DONE
    if out is None:
        print("\n".join(data.decode() for data in imported.files.values()), end="")
    for path in written:
        print(f"wrote {path}")
    sys.stdout.flush()
    if imported.notes:
        print(as_text(imported.notes), file=sys.stderr)
    if out is not None:
        _next(out, sources)
    return Exit.DONE


def _write(out: Path, files: dict[str, bytes]) -> list[str]:
    """All of them or none; nothing is written over."""
    from tailgit.edit.files import Replacement, replace_files

    if os.path.lexists(out) and not out.is_dir():
        raise UsageError(f"{out} is no folder")
    paths = [out / name for name in files]
    there = [path for path in paths if os.path.lexists(path)]
    if there:
        raise Refused(
            f"{there[0]} exists already",
            "nothing is written over it: if `tailgit init` wrote it, take it out "
            "first; or choose another folder",
        )
    made = not out.is_dir()
    out.mkdir(parents=True, exist_ok=True)
    try:
        replace_files(
            [
                Replacement(path, None, data)
                for path, data in zip(paths, files.values(), strict=True)
            ]
        )
    except BaseException:
        if made:
            out.rmdir()
        raise
    return [str(path) for path in paths]


def _next(out: Path, sources: Iterable[str]) -> None:
    """What a person does now; the original must not be a second part of the tailnet."""
    from tailgit.load.source import POLICY_FILE, ROOT_FILE

    for source in sources:
        path = Path(source)
        if path.name == POLICY_FILE and out.resolve() in path.resolve().parents:
            print(
                f"note: {source} lies in the tailnet, too: everything would be defined "
                "twice; take it out",
                file=sys.stderr,
            )
    if (out / ROOT_FILE).exists():
        print(f"Next:  tailgit check {out}")
    else:
        print(
            f"Next:  a {ROOT_FILE} beside it (`tailgit init` in an empty folder makes"
        )
        print("       one, with a policy that this one replaces), then:")
        print(f"       tailgit check {out}")
