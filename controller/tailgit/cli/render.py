"""`tailgit render`: the compiled files, to look at or to carry away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailgit.cli.tailnet import Commit, Repo, valid_tailnet
from tailgit.errors import Refused, UsageError

if TYPE_CHECKING:
    from tailgit.compile import Bundle
    from tailgit.model.tailnet import Tailnet

MARK = ".tailgit-render"
"""The file that says a folder is ours to replace."""

File = tuple[str, bytes]  # path below the output folder, content


def render(
    nodes: Annotated[
        list[str] | None, typer.Argument(metavar="NODE", help="Only these nodes.")
    ] = None,
    repo: Repo = Path(),
    commit: Commit = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write DIR/NODE/FILE.")
    ] = None,
    wg_quick: Annotated[
        bool, typer.Option("--wg-quick", help="One file a node, for wg-quick(8).")
    ] = False,
) -> None:
    """Show or write the files that nodes would get.

    Without NODE and --out it lists the nodes and the digest of what each gets; with
    NODE it prints the files; with --out it writes them, and DIR holds nothing else
    afterwards. The last line is the compiled digest that reviews and plans quote.
    Private keys are not in these files: they never leave their nodes.

    \b
    Examples:
      tailgit render
      tailgit render db-1
      tailgit render --out build/ --commit main
      tailgit render ana-laptop --wg-quick > tg-acme.conf
    """
    from tailgit.compile import compile_tailnet, compiled_digest

    tailnet = valid_tailnet(repo, commit, for_nodes=True)
    bundles = compile_tailnet(tailnet)
    chosen = [_bundle(tailnet, bundles, node) for node in nodes or sorted(bundles)]
    files = _wg_quick(tailnet, chosen) if wg_quick else _compiled(chosen)
    if out is not None:
        replace_folder(out, files)
    elif nodes:
        _print(files)
    else:
        for bundle in chosen:
            print(f"{bundle.digest}  {bundle.node}")
    print(f"# compiled {compiled_digest(bundles)}")


def _bundle(tailnet: Tailnet, bundles: Mapping[str, Bundle], node: str) -> Bundle:
    if node in bundles:
        return bundles[node]
    device = tailnet.devices.get(node)
    if device is None:
        from difflib import get_close_matches

        close = get_close_matches(node, bundles, n=1)
        hint = f"did you mean `{close[0]}`?" if close else "tailgit render lists them"
        raise UsageError(f"no device `{node}`", hint)
    why = "is disabled" if device.disabled else "awaits its key"
    raise UsageError(f"`{node}` gets no files: it {why} ({device.place})")


def _compiled(bundles: Iterable[Bundle]) -> Iterator[File]:
    for bundle in bundles:
        for name, content in bundle.files:
            yield f"{bundle.node}/{name}", content
        yield f"{bundle.node}/manifest", bundle.manifest


def _wg_quick(tailnet: Tailnet, bundles: Iterable[Bundle]) -> Iterator[File]:
    from tailgit.compile.wgquick import wg_quick

    for bundle in bundles:
        text = wg_quick(tailnet, tailnet.devices[bundle.node])
        # wg-quick takes the interface's name from the file's.
        yield f"{bundle.node}/{tailnet.interface}.conf", text.encode()


def _print(files: Iterable[File]) -> None:
    for name, content in files:
        print(f"# {name}\n{content.decode().rstrip()}\n")


def replace_folder(folder: Path, files: Iterable[File]) -> None:
    """Make `folder` hold exactly `files`; it is never seen half-written.

    `Refused` if it holds anything that an earlier call did not write.
    """
    if folder.exists() and not (folder / MARK).is_file() and _has_content(folder):
        raise Refused(
            f"{folder} was not written by tailgit render",
            "name a new or an empty folder",
        )
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        fresh.mkdir()
        _write(fresh / MARK, b"The next `tailgit render --out` replaces all of this.\n")
        for name, content in files:
            (fresh / name).parent.mkdir(exist_ok=True)
            _write(fresh / name, content)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _has_content(folder: Path) -> bool:
    return not folder.is_dir() or any(folder.iterdir())


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
