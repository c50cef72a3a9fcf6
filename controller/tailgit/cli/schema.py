"""`tailgit schema`: the format as one JSON Schema, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tailgit.errors import Exit, SourceError


def schema(
    repo: Annotated[
        Path | None,
        typer.Option("--repo", help="Offer the names of this tailnet, too."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to a file.")
    ] = None,
) -> Exit:
    """Print the format as one JSON Schema, for editors.

    An editor with a YAML language server completes and explains fields by it. Say so
    in the first line of a file, with the way from that file to the schema:

    \b
      # yaml-language-server: $schema=.tailgit/schema.json

    With --repo the tailnet's own users, groups, tags and devices are offered where
    one may stand. Write it anew when names change, or leave it out of git.

    \b
    Examples:
      tailgit schema --out .tailgit/schema.json
      tailgit schema --repo . --out .tailgit/schema.json
    """
    from tailgit.edit.schema import editor_schema

    tailnet = None
    if repo is not None:
        from tailgit.load import load

        loaded = load(repo)
        tailnet = loaded.tailnet or loaded.partial
        if tailnet is None:
            raise SourceError(f"{repo} can't be read", "tailgit check says why")
    text = json.dumps(editor_schema(tailnet), indent=2, ensure_ascii=False) + "\n"
    if out is None:
        print(text, end="")
        return Exit.DONE
    _write(out, text.encode())
    print(f"wrote {out}")
    return Exit.DONE


def _write(out: Path, data: bytes) -> None:
    from tailgit.edit.files import Replacement, replace_files

    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        before = out.read_bytes() if out.exists() else None
    except OSError as error:
        raise SourceError(f"can't write {out}: {error.strerror}") from None
    replace_files([Replacement(out, before, data)])
