"""The change of a contractor: the example company, with more people, before and after.

Kim, a contractor, leaves the backend team; the data team gets the database; a build
machine is retired. It is one commit on examples/acme with the files below beside it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ACME = Path(__file__).resolve().parents[2] / "examples" / "acme"

PEOPLE = """\
users:
  chloe@acme.com: {name: Chloe Martin}
  kim@contractor.example: {name: Kim Doe}
  lee@acme.com: {name: Lee Park}
  omar@acme.com: {name: Omar Haddad}

groups:
  group:backend:
    - kim@contractor.example
    - lee@acme.com
    - omar@acme.com
  group:contractors: [kim@contractor.example]
"""

DEVICES = """\
devices:
  api-1: {tags: [tag:api]}
  api-2: {tags: [tag:api]}
  build-02: {tags: [tag:ci]}
  chloe-laptop: {owner: chloe@acme.com}
  chloe-phone: {owner: chloe@acme.com}
  git-1: {tags: [tag:git]}
  kim-laptop: {owner: kim@contractor.example}
  lee-laptop: {owner: lee@acme.com}
  ns-1: {tags: [tag:dns]}
  old-build-01: {tags: [tag:ci]}
  omar-laptop: {owner: omar@acme.com}
  registry-1: {tags: [tag:registry]}
  stg-1: {tags: [tag:staging]}
"""

POLICY = """\
tagOwners:
  tag:api: [group:backend]
  tag:ci: [group:backend]
  tag:dns: []
  tag:git: []
  tag:registry: []
  tag:staging: [group:backend]

grants:
  # The backend team looks after its servers.
  - {src: [group:backend], dst: [tag:api], ip: ["tcp:22", "tcp:443"]}
  - {src: [group:backend], dst: [tag:staging], ip: ["*"]}
  - {src: [group:backend], dst: [tag:ci], ip: ["tcp:22"]}
  - {src: [group:backend], dst: [tag:git], ip: ["tcp:443"]}
  # Contractors read the code.
  - {src: [group:contractors], dst: [tag:git], ip: ["tcp:443"]}
  # Build machines fetch and push.
  - {src: [tag:ci], dst: [tag:git], ip: ["tcp:22", "tcp:443"]}
  - {src: [tag:ci], dst: [tag:registry], ip: ["tcp:443"]}
  - {src: ["*"], dst: [tag:dns], ip: ["udp:53"]}
"""

_GRANT = '{src: [group:data-team], dst: [tag:db], ip: ["tcp:5432"]}\n'
_TEST = '  - {src: ana@acme.com, proto: tcp, accept: ["db-1:5432"]}\n'


def contractor_repo(folder: Path) -> Path:
    """A repository with two commits: before, and the change."""
    shutil.copytree(ACME, folder)
    policy = (folder / "policy.yaml").read_text()
    assert _GRANT in policy
    assert _TEST in policy
    before = policy.replace(f"  - {_GRANT}", "").replace(_TEST, "")
    (folder / "policy.yaml").write_text(before)
    people = (folder / "people.yaml").read_text()
    team = "group:data-team: [ana@acme.com]"
    assert team in people
    wider = team.replace("]", ", ben@acme.com, chloe@acme.com]")
    (folder / "people.yaml").write_text(people.replace(team, wider))
    (folder / "team.yaml").write_text(PEOPLE)
    (folder / "machines.yaml").write_text(DEVICES)
    (folder / "servers.yaml").write_text(POLICY)
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "before")
    named = f"  - {_GRANT}".replace("]}\n", "], name: data-postgres}\n")
    policy = policy.replace(f"  - {_GRANT}", named).replace(_TEST, "")
    (folder / "policy.yaml").write_text(policy)
    text = PEOPLE.replace("    - kim@contractor.example\n", "", 1)
    (folder / "team.yaml").write_text(text)
    left = DEVICES.replace("  old-build-01: {tags: [tag:ci]}\n", "")
    (folder / "machines.yaml").write_text(left)
    commit(folder, "Kim off backend; postgres for data; retire old-build-01")
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Plain git; dates and names are fixed, so commits have the same ids anywhere."""
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (
            ("NAME", "Ana Lima"),
            ("EMAIL", "ana@acme.com"),
            ("DATE", "2026-11-22T12:00:00Z"),
        )
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **who},
    )
    return done.stdout


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)
