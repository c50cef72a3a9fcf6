"""Private keys are found wherever they lie, and never shown."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest

from tailgit.load import load
from tailgit.load.secrets import find_secrets
from tailgit.report.findings import as_text
from tests.load.files import ACME, committed

KEY = base64.b64encode(bytes(range(32))).decode()
BODY = base64.b64encode(bytes(range(90))).decode()
DASHES = "-----"  # apart, so that this file is no finding itself


def pem(kind: str, between: str = "\n") -> str:
    return f"{DASHES}BEGIN {kind}{DASHES}{between}{BODY}"


SECRETS = [
    f"PrivateKey = {KEY}",
    f"privatekey={KEY}",
    f"private_key: '{KEY}'",
    f'"privateKey": "{KEY}"',
    f"PRIVATE-KEY={KEY}",
    f"PresharedKey = {KEY}",
    pem("OPENSSH PRIVATE KEY"),
    pem("RSA PRIVATE KEY", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES,00\n\n"),
    pem("PRIVATE KEY", "\r\n"),
    "key: |\n    " + pem("EC PRIVATE KEY", "\n    "),
    '{"key": "' + pem("PRIVATE KEY", "\\n"),
    "AGE-SECRET-KEY-1" + "Q" * 58,
]
HARMLESS = [
    f"publicKey: {KEY}",
    f"PublicKey = {KEY}",
    "The file begins with -----BEGIN OPENSSH PRIVATE KEY----- and some base64.",
    "PrivateKey = (kept on the node)",
    "privateKey: too short=",
    pem("CERTIFICATE"),
    pem("PUBLIC KEY"),
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_found_and_not_quoted(text: str) -> None:
    """In any file, at any indentation, with its line."""
    (found,) = find_secrets(b"\xff\x00\nfirst\n  " + text.encode(), "x")
    assert (found.code, found.is_error) == ("private-key", True)
    assert found.place.line >= 3
    assert KEY[:10] not in as_text([found])
    assert BODY[:10] not in as_text([found])


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_one(text: str) -> None:
    """Public keys, certificates and prose are no finding."""
    assert list(find_secrets(text.encode(), "x")) == []


def test_every_file_of_a_revision_is_searched(tmp_path: Path) -> None:
    """Also below dot folders, in excluded files and in binary ones."""
    secret = f"PrivateKey = {KEY}\n".encode()
    head = ACME["tailnet.yaml"] + "exclude: [old.yaml]\n"
    files: dict[str, str | bytes] = {
        **ACME,
        "tailnet.yaml": head,
        ".hidden/wg0.conf": secret,
        ".env": secret,
        "old.yaml": secret,
        "bin": b"\x00" * 100 + secret,
    }
    repo = committed(tmp_path / "repo", files)
    found = [f.place.file for f in load(repo, "HEAD").findings]
    assert found == [".env", ".hidden/wg0.conf", "bin", "old.yaml"]
    assert [f.place.file for f in load(repo).findings] == [".env", "bin", "old.yaml"]


@pytest.mark.parametrize(
    "data",
    [
        b"privateKey" * 300_000,
        (DASHES + "BEGIN " + "PRIVATE KEY" + DASHES).encode() * 50_000,
        (DASHES + "BEGIN PRIVATE KEY" + DASHES + "\n" * 2000).encode() * 500,
        b"PRIVATE KEY" + b"a: b\n" * 500_000,
    ],
    ids=["names", "headers", "blanks", "lines"],
)
def test_hostile_files_end_soon(data: bytes) -> None:
    """The patterns don't backtrack over a file again and again."""
    start = time.process_time()
    list(find_secrets(data, "x"))
    assert time.process_time() - start < 5
