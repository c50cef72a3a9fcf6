"""Tailnets on disk for the tests of load, check and edit."""

from __future__ import annotations

import subprocess
from pathlib import Path

HEAD = """\
tailnet:
  format: 1
  name: acme
  domain: acme.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
"""

PEOPLE = """\
users:
  ana@acme.com: {name: Ana Lima, role: admin}
  ben@acme.com: {disabled: true}
groups: {group:data-team: [ana@acme.com]}
"""

SERVERS = """\
deviceDefaults: {ssh: {user: ops}}
devices:
  db-1:
    tags: [tag:db]
    publicKey: 6Zg1hk2gZLIdZbvcOZtPzqTdgLHbfBv9ZEUVLKzzIyA=
    endpoints: ["203.0.113.10:51820"]
  gw:
    tags: [tag:router]
    endpoints: ["198.51.100.7:4500", "[2001:db8::7]:51820"]
    ssh: {port: 2222}
    routes: [10.20.0.0/16]
  ana-laptop: {owner: ana@acme.com}
"""

POLICY = """\
tagOwners: {tag:db: [group:data-team], tag:router: []}
autoApprovers: {routes: {10.20.0.0/16: [tag:router]}}
grants:
  # The data team
  # reads the replicas.
  - {src: [group:data-team], dst: [tag:db], ip: ["tcp:5432"], name: data-postgres}
acls:
  - action: accept
    src: ["*"]
    dst: ["tag:db:22,80", "gw:*", "10.20.0.9:80,22"]
    proto: tcp
tests:
  - {src: group:data-team, accept: ["db-1:5432"], deny: ["db-1:23"]}
"""

ACME = {
    "tailnet.yaml": HEAD,
    "people.yaml": PEOPLE,
    "devices/servers.yaml": SERVERS,
    "acls/data.yaml": POLICY,
}


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Writes files below a folder, and gives the folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(data)
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Runs git in a folder as somebody, whoever runs the tests."""
    done = subprocess.run(
        [
            "git",
            *("-c", "user.name=Ana Lima", "-c", "user.email=ana@acme.com"),
            *("-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main"),
            *("-c", "protocol.file.allow=always"),
            *arguments,
        ],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def committed(folder: Path, files: dict[str, str | bytes]) -> Path:
    """A git repository with one commit that has these files."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q")
    write(folder, files)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Say something")
    return folder
