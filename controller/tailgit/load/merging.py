"""A revision as it will be once it is merged: what a pull request really brings.

A branch that is behind its base would else seem to take back what others have merged
since. Git merges two trees without a working tree (`git merge-tree --write-tree`, git
2.38); all it leaves is loose objects that nothing refers to and `git gc` drops.
"""

from __future__ import annotations

import os

from tailgit.errors import SourceError
from tailgit.load.git import Repo
from tailgit.load.source import Revision
from tailgit.model.text import shown

_USAGE = 129
"""How git ends where it does not know an option."""
_FEW = 5


def merged(repo: Repo, base: str, head: str) -> Revision:
    """The files of `head` merged into `base`; a conflict is a `SourceError`."""
    ours, theirs = repo.resolve(base), repo.resolve(head)
    done = repo.merge_tree(ours, theirs)
    said = os.fsdecode(done.stdout).split("\0")
    if done.returncode == 0:
        return Revision(repo, theirs, said[0].strip())
    if done.returncode == 1:
        files = list(dict.fromkeys(filter(None, said[1:])))
        names = ", ".join(f"`{shown(each)}`" for each in files[:_FEW])
        more = f" and {len(files) - _FEW} more" if len(files) > _FEW else ""
        raise SourceError(
            f"`{shown(head)}` can't be merged into `{shown(base)}`: both change "
            f"{names}{more}",
            "merge or rebase it by hand, or leave --as-merged out",
        )
    if done.returncode == _USAGE:
        raise SourceError(
            "this git can't merge without a working tree",
            "install git 2.38 or newer, or leave --as-merged out",
        )
    first = next(iter(os.fsdecode(done.stderr).strip().splitlines()), "no reason given")
    raise SourceError(
        f"`{shown(head)}` can't be merged into `{shown(base)}`: {shown(first)}",
        "fetch the whole history of both (`fetch-depth: 0` in a pipeline)",
    )
