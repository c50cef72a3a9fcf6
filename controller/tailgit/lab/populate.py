"""From bare machines to a running tailnet, by the commands that people use.

The repository is cloned into the lab's own tmpfs, so that enrolment can write keys
and commits into it without touching the caller's. Everything runs on the controller,
as subprocesses: that place exists only inside the lab, and what works here is then
what works anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tailgit.errors import LabError
from tailgit.lab.furnish import ADMIN_KEY, BASE, HOME
from tailgit.lab.lab import Lab, Progress
from tailgit.lab.topology import CONTROLLER

CLONE = BASE / "repo"
"""Where the lab's clone of the repository is, as the controller sees it."""

OWNER_KEY = HOME / ".ssh" / "id_ed25519"
"""The key that logs in as the controller and signs; made for this lab alone."""

_LIMIT = 300.0


def populate(lab: Lab, root: Path, progress: Progress) -> Path:
    """Clone, enroll every device with fresh keys, commit, apply; the clone's root.

    `root` is the folder that holds tailnet.yaml, in a git repository. `LabError`
    says which step failed and what it said.
    """
    source = root.resolve()
    top = Path(_do(lab, ["git", "-C", str(source), "rev-parse", "--show-toplevel"]))
    progress(f"clone {top}")
    _do(lab, ["git", "clone", "--quiet", str(top), str(CLONE)])
    clone = CLONE / source.relative_to(top)
    _do(lab, ["mkdir", "-m", "700", str(OWNER_KEY.parent)])
    _do(lab, ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(OWNER_KEY)])
    for node in lab.nodes:
        progress(f"enroll {node}")
        _do(lab, _enroll(lab, node, clone))
    progress("commit and apply")
    _do(lab, ["git", "-C", str(CLONE), "commit", "--quiet", "-am", "Enroll the lab"])
    _do(lab, [*_tailgit(lab), "apply", "--repo", str(clone), "--yes"])
    return clone


def _enroll(lab: Lab, node: str, clone: Path) -> list[str]:
    return [
        *_tailgit(lab),
        *("device", "enroll", node, "--repo", str(clone)),
        *("--login", f"root@{lab.addresses(node)[0]}", "--identity", str(ADMIN_KEY)),
        *("--controller-key", f"{OWNER_KEY}.pub"),
        *("--host-key", lab.fingerprint(node), "--yes"),
    ]


def _tailgit(lab: Lab) -> tuple[str, ...]:
    return (lab.python, "-m", "tailgit")


def _do(lab: Lab, argv: Sequence[str]) -> str:
    done = lab.run(CONTROLLER, argv, timeout=_LIMIT)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").split("\n")
        raise LabError(
            f"in lab {lab.name}, `{' '.join(argv)}` failed: "
            + "; ".join(line.strip() for line in said if line.strip())
        )
    return done.stdout.decode().strip()
