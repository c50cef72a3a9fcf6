"""A small tailnet in a folder, as a user would have it."""

from __future__ import annotations

from pathlib import Path

import pytest

TAILNET = """\
tailnet:
  format: 1
  name: acme
  domain: acme.internal
  ipv4: 100.64.0.0/10
  ipv6: fd5c:91aa:7be0::/48
users:
  ana@acme.com: {name: Ana Lima}
groups: {group:data-team: [ana@acme.com]}
tagOwners: {tag:db: [group:data-team]}
"""

DEVICES = """\
devices:
  db-1:
    tags: [tag:db]
    publicKey: 6Zg1fQ0o3Pqj4m0sO5GmVbq5tGgRUuTzvKyJ0uUoY1E=
    endpoints: ["203.0.113.10:51820"]
  ana-laptop:
    owner: ana@acme.com
    publicKey: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
    endpoints: ["203.0.113.11:51820"]
  ana-new:
    owner: ana@acme.com
"""

POLICY = """\
grants:
  # The data team reads the replicas.
  - {src: [group:data-team], dst: [tag:db], ip: ["tcp:5432"], name: data-postgres}
tests:
  - {src: ana@acme.com, accept: ["db-1:5432"], deny: ["db-1:22"]}
"""


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A valid tailnet: a server, a laptop, a device that awaits its key, one grant."""
    root = tmp_path / "acme"
    root.mkdir()
    (root / "tailnet.yaml").write_text(TAILNET)
    (root / "devices.yaml").write_text(DEVICES)
    (root / "policy.yaml").write_text(POLICY)
    return root
