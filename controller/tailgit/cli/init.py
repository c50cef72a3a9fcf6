"""`tailgit init`: the first files of a tailnet, from a few answers."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tailgit.errors import Exit, Refused, SourceError, UsageError

if TYPE_CHECKING:
    from git import Repo

    from tailgit.edit.beginning import Answers, Forge
    from tailgit.model.addresses import Network

_Range = TypeVar("_Range", IPv4Network, IPv6Network)
_RANGE = "100.64.0.0/10"
"""Carrier-grade NAT's range, which nobody's LAN has (RFC 6598)."""


def init(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The folder to begin in.")
    ] = Path(),
    name: Annotated[
        str | None,
        typer.Option(help="The tailnet's name: a-z, 0-9, dashes; at most 11."),
    ] = None,
    domain: Annotated[
        str | None, typer.Option(help="Machines are called DEVICE.DOMAIN.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="The e-mail address of the first admin.")
    ] = None,
    ipv4: Annotated[
        str | None, typer.Option(help=f"Range for addresses; {_RANGE} if it is free.")
    ] = None,
    ipv6: Annotated[
        str | None, typer.Option(help="Prefix for addresses; a random ULA /48.")
    ] = None,
    ci: Annotated[
        str | None,
        typer.Option(metavar="FORGE", help="github or gitlab: add a pipeline, too."),
    ] = None,
) -> Exit:
    """Begin a tailnet: write its first files.

    Asks for what no flag says; without a terminal name, domain and user must be
    given. Writes tailnet.yaml, people.yaml and policy.yaml into PATH, a schema for
    editors beside them, and with --ci a pipeline that checks every change. Nothing
    that exists is touched: if one of the files is there, none is written. Where there
    is no git repository yet, one is made.

    \b
    Examples:
      tailgit init
      tailgit init infra/tailnet --ci github
      tailgit init --name home --domain home.internal --user ana@example.org
    """
    from tailgit.edit.beginning import ci_file, first_files

    forge = _forge(ci)
    _must_be_free(path)
    repo = _repository(path)
    top = Path(repo.working_dir) if repo else path.resolve()
    taken = _taken(top) if repo else ()
    answers = _answers(path, name, domain, user, ipv4, ipv6, taken)
    files = {path / each: data for each, data in first_files(answers).items()}
    if forge is not None:
        inner = path.resolve().relative_to(top).as_posix()
        place, text = ci_file(forge, inner, _branch(repo))
        _no_pipeline_yet(top / place, inner)
        files[top / place] = text
    _write(path, files)
    if repo is None:
        _begin_repository(path)
    _report(path, answers, list(files))
    if forge is not None:
        print("  set the pipeline's variable TAILGIT_INSTALL: what pip shall install")
    return Exit.DONE


def _forge(text: str | None) -> Forge | None:
    match text:
        case None | "github" | "gitlab":
            return text
        case _:
            raise UsageError(f"no pipeline for `{text}`", "--ci github or --ci gitlab")


def _must_be_free(path: Path) -> None:
    from tailgit.edit.beginning import FILES

    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is no folder")
    there = [each for each in map(path.joinpath, FILES) if os.path.lexists(each)]
    if there:
        raise Refused(
            f"{there[0]} exists already",
            "begin in an empty folder; `tailgit check` reads what is there",
        )


def _answers(
    path: Path,
    name: str | None,
    domain: str | None,
    user: str | None,
    ipv4: str | None,
    ipv6: str | None,
    taken: Sequence[Network],
) -> Answers:
    """Flags first, then questions on a terminal."""
    from tailgit.edit.beginning import Answers, wrong

    missing = [
        flag
        for flag, given in (("--name", name), ("--domain", domain), ("--user", user))
        if given is None
    ]
    if missing and not sys.stdin.isatty():
        raise UsageError(f"nobody is here to ask: give {', '.join(missing)}")
    for field, given in (("name", name), ("domain", domain), ("user", user)):
        if given is not None and wrong(field, given):
            raise UsageError(f"--{field}: {wrong(field, given)}")
    if name is None:
        name = _ask("name", "What is the tailnet called?", _name_of(path))
    if domain is None:
        domain = _ask("domain", "Machines are called DEVICE.", f"{name}.internal")
    if user is None:
        user = _ask("user", "Your e-mail address, as the first admin:", None)
    return Answers(name, domain, user, _ipv4(ipv4, taken), _ipv6(ipv6))


def _name_of(path: Path) -> str | None:
    """The folder's name, if a tailnet may be called so."""
    from tailgit.edit.beginning import wrong

    name = path.resolve().name.lower()
    return None if wrong("name", name) else name


def _ask(field: str, question: str, default: str | None) -> str:
    from tailgit.edit.beginning import wrong

    while True:
        text: str = typer.prompt(question, default=default, err=True)
        said = wrong(field, text.strip())
        if not said:
            return text.strip()
        print(said, file=sys.stderr)


def _ipv4(text: str | None, others: Sequence[Network]) -> IPv4Network:
    if text is not None:
        return _parsed("--ipv4", IPv4Network, text)
    from tailgit.cli.surroundings import local_routes

    usual = IPv4Network(_RANGE)
    taken = [each for each in (*local_routes(), *others) if each.version == 4]
    if not any(usual.overlaps(each) for each in taken):
        return usual
    # Tailscale on this machine, say, which drops what others send from that range.
    free = [
        network
        for network in IPv4Network("10.64.0.0/10").subnets(new_prefix=16)
        if not any(network.overlaps(each) for each in taken)
    ]
    if not free:
        raise UsageError("every usual range is in use", "choose one by --ipv4")
    chosen = secrets.choice(free)
    where = "by another tailnet of the repository"
    if not any(usual.overlaps(each) for each in others if each.version == 4):
        where = "on this machine"
    message = f"{usual} is in use {where}, so the range is {chosen}"
    print(f"tailgit: {message}; --ipv4 chooses another", file=sys.stderr)
    return chosen


def _ipv6(text: str | None) -> IPv6Network:
    """A random prefix of fd00::/8 (RFC 4193), so that two tailnets never meet."""
    if text is not None:
        return _parsed("--ipv6", IPv6Network, text)
    number = 0xFD << 120 | secrets.randbits(40) << 80
    return IPv6Network((number, 48))


def _parsed(flag: str, kind: Callable[[str], _Range], text: str) -> _Range:
    try:
        return kind(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from None


def _repository(path: Path) -> Repo | None:
    """The repository around the folder, if there is one with a working tree.

    Found by ourselves: a folder that somebody committed may look like a repository.
    """
    from git import InvalidGitRepositoryError, Repo

    from tailgit.load.git import working_tree

    start = path.resolve()
    while not start.exists():
        start = start.parent
    top = working_tree(start)
    if top is None:
        return None
    try:
        return Repo(top)
    except InvalidGitRepositoryError as error:
        raise SourceError(f"{top} can't be read as a git repository: {error}") from None


def _taken(top: Path) -> tuple[Network, ...]:
    """The ranges of the tailnets that the repository has already."""
    from tailgit.load import load_from
    from tailgit.load.source import open_source, roots_of

    source, _ = open_source(top, None)
    found: list[Network] = []
    for root in roots_of(source, ""):
        loaded = load_from(source, root)
        tailnet = loaded.tailnet or loaded.partial
        found += [tailnet.ipv4, tailnet.ipv6] if tailnet else []
    return tuple(found)


def _no_pipeline_yet(file: Path, inner: str) -> None:
    if os.path.lexists(file):
        raise Refused(
            f"{file} exists already",
            f"add a line to it: `tailgit check {inner}`; and leave --ci out",
        )


def _branch(repo: Repo | None) -> str:
    """The branch that changes are merged to: the one that is checked out now."""
    if repo is None or repo.head.is_detached:
        return "main"
    return repo.active_branch.name


def _begin_repository(path: Path) -> None:
    from git import GitCommandError, Repo

    try:
        Repo.init(path, initial_branch="main")
    except (GitCommandError, OSError) as error:
        raise SourceError(
            f"the files are written, but `git init` failed: {error}"
        ) from None


def _write(path: Path, files: dict[Path, bytes]) -> None:
    """All of them or none; what they say is judged before the first is written."""
    from tailgit.edit.files import Replacement, replace_files

    _must_be_valid({each.name: files[each] for each in files if each.parent == path})
    for parent in {parent for each in files for parent in each.parents}:
        if parent.is_symlink() and parent not in path.absolute().parents:
            raise Refused(f"{parent} is a link, which is not followed")
    for each in files:
        each.parent.mkdir(parents=True, exist_ok=True)
    replace_files([Replacement(each, None, data) for each, data in files.items()])


def _must_be_valid(files: dict[str, bytes]) -> None:
    """`UsageError` with the first finding: a range that can't be one, say."""
    import tempfile

    from tailgit.load import load

    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        errors = [each for each in load(Path(folder)).findings if each.is_error]
    if errors:
        raise UsageError(errors[0].message, errors[0].help)


def _report(path: Path, answers: Answers, files: list[Path]) -> None:
    for each in files:
        print(f"wrote {each}")
    here = "" if path == Path() else f" --repo {path}"
    print(f"\n{answers.name}: {answers.ipv4}, {answers.ipv6}")
    print("\nNext:  add machines, say what they may reach, and look at the result:")
    print(f"  tailgit device add laptop --owner {answers.user}{here}")
    server = "--tag tag:server --endpoint 203.0.113.10:51820"
    print(f"  tailgit device add web-1 {server}{here}")
    print(f"  tailgit check{'' if path == Path() else f' {path}'}")
    print("  git add -A && git commit -m 'Begin the tailnet'")
