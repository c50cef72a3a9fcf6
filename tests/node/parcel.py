"""A second implementation of the parcel, written from docs/node-protocol.md alone.

It shares no code with `tailgit.deploy`: where the two disagree, one of them has
misread the page.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TAILNET = "acme"
DOMAIN = "acme.internal"
INTERFACE = "tg-acme"
COMMIT = "3f" * 20
MEMBERS = ("envelope", "statement", "statement.sig", "path", "bundle.tar")
PEER = "6Zg1" + "q" * 38 + "8="

WIREGUARD = f"""\
[Interface]
ListenPort = 51820
FwMark = 0x7467

[Peer]
# db-1
PublicKey = {PEER}
Endpoint = 203.0.113.10:51820
AllowedIPs = 100.64.7.9/32, fd5c:91aa:7be0::1234/128
PersistentKeepalive = 25
"""

ROUTER = """\
link set dev tg-acme mtu 1420
address replace 100.64.1.1/32 dev tg-acme
address replace fd5c:91aa:7be0::1/128 dev tg-acme nodad
route replace 100.64.7.9/32 dev tg-acme
route replace fd5c:91aa:7be0::1234/128 dev tg-acme
"""

FIREWALL = """\
table inet tailgit_acme {}
delete table inet tailgit_acme
table inet tailgit_acme {
  set own4 {
    type ipv4_addr
    elements = { 100.64.1.1 }
  }
  set src1 {
    type ipv4_addr
    flags interval
    elements = { 100.64.7.9, 10.20.0.0/16 }
  }
  chain raw {
    type filter hook prerouting priority raw; policy accept;
    iifname != { "lo", "tg-acme" } ip daddr @own4 counter drop
  }
  chain in {
    type filter hook prerouting priority dstnat - 10; policy accept;
    iifname { "tg-acme", "tgr-acme" } jump from_peers
  }
  chain from_peers {
    ct direction reply ct state established,related accept
    ct state related meta l4proto { icmp, icmpv6 } accept
    ip saddr @src1 meta l4proto . th dport { tcp . 22, udp . 53-60 } counter accept
    counter drop
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "tg-acme" oifname "tg-acme" counter drop
  }
  chain out {
    type filter hook postrouting priority srcnat - 10; policy accept;
    oifname "tg-acme" ct direction reply ct state established,related accept
  }
}
"""

FILES: Mapping[str, str] = {
    "firewall.nft": FIREWALL,
    "hosts": "100.64.1.1 web-1.acme.internal web-1\n"
    "fd5c:91aa:7be0::1234 db-1.acme.internal db-1\n",
    "interface": ROUTER,
    "sysctl": "net.ipv4.conf.tg-acme.rp_filter=2\n",
    "wireguard.conf": WIREGUARD,
    "zone": "$ORIGIN acme.internal.\n$TTL 300\n@ IN SOA ns host 1 2 3 4 5\n",
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tar(members: Sequence[tuple[str, bytes]]) -> bytes:
    """A tar of plain files, in this order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as out:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o644
            out.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@dataclass(frozen=True)
class Signer:
    """An SSH key that may sign, in a folder of the test."""

    key: Path

    @classmethod
    def make(cls, folder: Path, name: str = "signer") -> Signer:
        key = folder / name
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]
        subprocess.run([*command, str(key)], check=True)
        return cls(key)

    @property
    def public(self) -> str:
        return " ".join(self.key.with_suffix(".pub").read_text().split()[:2])

    def sign(self, data: bytes, namespace: str) -> bytes:
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f"]
        done = subprocess.run(
            [*command, str(self.key)], input=data, capture_output=True, check=True
        )
        return done.stdout


@dataclass
class Parcel:
    """What one node is sent; every field may be made wrong before `build`."""

    public_keys: Sequence[str]
    signer: Signer
    files: dict[str, str] = field(default_factory=lambda: dict(FILES))
    tailnet: str = TAILNET
    domain: str = DOMAIN
    interface: str = INTERFACE
    height: int = 7
    kind: str = "apply"
    by: str = "Zoë Lima <ana@acme.com>"
    at: str = "2026-11-22T13:00:00Z"
    commit: str = COMMIT
    namespace: str = f"tailgit@{TAILNET}"
    siblings: Sequence[tuple[str, str]] = ()
    overrides: dict[str, bytes] = field(default_factory=dict)

    def envelope(self) -> bytes:
        return (
            f"tailgit-envelope 1\ntailnet {self.tailnet}\nnode web-1\n"
            f"commit {self.commit}\nheight {self.height}\nkind {self.kind}\n"
            f"by {self.by}\nat {self.at}\n"
        ).encode()

    def manifest(self) -> bytes:
        lines = [
            "tailgit-manifest 1",
            f"tailnet {self.tailnet}",
            f"domain {self.domain}",
            f"interface {self.interface}",
            *(f"publicKey {key}" for key in self.public_keys),
            f"files {len(self.files)}",
            *(f"{sha256(self.files[n].encode())}  {n}" for n in sorted(self.files)),
        ]
        return ("\n".join(lines) + "\n").encode()

    def root(self, envelope: bytes, manifest: bytes) -> str:
        leaf = f"leaf\n{sha256(envelope)}\n{sha256(manifest)}\n"
        top = sha256(leaf.encode())
        for side, sibling in self.siblings:
            pair = (sibling, top) if side == "L" else (top, sibling)
            top = sha256("node\n{}\n{}\n".format(*pair).encode())
        return top

    def members(self) -> list[tuple[str, bytes]]:
        """The parts of the parcel; `overrides` replaces a finished part by name."""
        envelope = self.overrides.get("envelope", self.envelope())
        manifest = self.overrides.get("manifest", self.manifest())
        root = self.root(envelope, manifest)
        statement = f"tailgit-apply 1\nroot {root}\n".encode()
        bundle = [(name, self.files[name].encode()) for name in sorted(self.files)]
        parts = {
            "envelope": envelope,
            "statement": statement,
            "statement.sig": self.signer.sign(statement, self.namespace),
            "path": "".join(f"{s} {h}\n" for s, h in self.siblings).encode(),
            "bundle.tar": tar([*bundle, ("manifest", manifest)]),
        }
        return [(name, self.overrides.get(name, parts[name])) for name in MEMBERS]

    def build(self) -> bytes:
        return tar(self.members())
