"""A bundle: what one node gets, as a deterministic tar with its manifest last.

The format is the contract of docs/node-protocol.md. Nothing in it depends on a clock,
a commit or a user, so the same policy gives the same bytes anywhere.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Bundle:
    """The compiled files of one node.

    `files` are (name, content) in bytewise order of name; `digest` is the SHA-256 of
    `manifest`, which lists the digest of each file.
    """

    node: str
    files: tuple[tuple[str, bytes], ...]
    manifest: bytes
    digest: str

    @staticmethod
    def of(
        node: str,
        files: Iterable[tuple[str, bytes]],
        *,
        tailnet: str,
        domain: str,
        interface: str,
        public_keys: Iterable[str],
    ) -> Bundle:
        listed = tuple(sorted(files))
        keys = "".join(f"publicKey {key}\n" for key in public_keys)
        sums = "".join(f"{sha256(body).hexdigest()}  {name}\n" for name, body in listed)
        manifest = (
            f"tailgit-manifest 1\ntailnet {tailnet}\ndomain {domain}\n"
            f"interface {interface}\n{keys}files {len(listed)}\n{sums}"
        ).encode()
        return Bundle(node, listed, manifest, sha256(manifest).hexdigest())

    @property
    def peers(self) -> int:
        """How many peers the node gets."""
        return dict(self.files).get("wireguard.conf", b"").count(b"[Peer]\n")

    def tar(self) -> bytes:
        """The bundle as one tar; times, owners and modes are constants."""
        return make_tar((*self.files, ("manifest", self.manifest)))


def make_tar(members: Iterable[tuple[str, bytes]]) -> bytes:
    """A ustar archive of plain files in the given order, the same everywhere."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.size = len(body)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def compiled_digest(bundles: Mapping[str, Bundle]) -> str:
    """What reviews and plans quote: SHA-256 of the sorted `NODE<TAB>DIGEST` lines."""
    lines = sorted(f"{node}\t{bundle.digest}\n" for node, bundle in bundles.items())
    return sha256("".join(lines).encode()).hexdigest()
