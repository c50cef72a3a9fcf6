"""Private keys are found wherever they lie, and never shown."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest

from tailgit.load import load
from tailgit.load.secrets import MAX_DERIVED, Suspects, find_secrets
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
    f"  PrivateKey={KEY} # of db-1",
    f"presharedKey: {KEY}",
    f"pre-shared-key: {KEY}",
    f'export WG_PRIVATE_KEY="{KEY}"',
    f"db1-private-key >- \n    {KEY}",
    f"privateKey: |\n      {KEY}",
    f"set interfaces wireguard wg0 private-key {KEY}",
    f"option private_key '{KEY}'",
    f'"{{\\"privateKey\\": \\"{KEY}\\"}}"',
    f"<PrivateKey>{KEY}</PrivateKey>",
    f"private_key={bytes(range(32)).hex()}",
    pem("OPENSSH PRIVATE KEY"),
    pem("RSA PRIVATE KEY", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES,00\n\n"),
    pem("PRIVATE KEY", "\r\n"),
    "key: |\n    " + pem("EC PRIVATE KEY", "\n    "),
    '{"key": "' + pem("PRIVATE KEY", "\\n"),
    "AGE-SECRET-KEY-1" + "Q" * 58,
    f"{DASHES[1:]} BEGIN SSH2 ENCRYPTED PRIVATE KEY {DASHES[1:]}\n{BODY}",
    pem("PGP PRIVATE KEY BLOCK", "\n\n"),
    f"PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n{BODY}",
]
HARMLESS = [
    f"publicKey: {KEY}",
    f"PublicKey = {KEY}",
    "The file begins with -----BEGIN OPENSSH PRIVATE KEY----- and some base64.",
    "PrivateKey = (kept on the node)",
    "privateKey: too short=",
    "privateKey: " + "ab" * 33,  # no 32 bytes
    "Private-Lines: 12\nand so on",
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


PUBLIC = "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8="  # the other half of KEY


def suspected(
    *files: str | bytes, declared: tuple[str, ...] = (PUBLIC,)
) -> list[tuple[str, str, int, int]]:
    """What Suspects says about files that are called 0, 1, 2 …"""
    suspects = Suspects()
    for number, content in enumerate(files):
        data = content.encode() if isinstance(content, str) else content
        # A key that is alone in its file is found by that; here it says it is public.
        suspects.look(data, f"{number}.pub")
    found = list(suspects.findings(declared))
    assert KEY not in as_text(found)
    return [
        (f.code, f.place.file.removesuffix(".pub"), f.place.line, f.place.column)
        for f in found
    ]


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        (KEY, 1, 1),
        (f"a: 1\r\nnote: ä {KEY}\n", 2, 9),
        (f"# {KEY}", 1, 3),
        (f"WG={KEY};x", 1, 4),
        (f"{PUBLIC}{KEY}", 1, 45),
        (f"\ufeff\n\n{{'x':'{KEY}'}}", 3, 7),
        (f"\ufeffk {KEY}", 1, 3),
        (b"\x00\xff\n" + KEY.encode() + b"\xff", 2, 1),
        (f"x\n {KEY}".encode("utf-16"), 2, 2),
    ],
)
def test_the_private_half_of_a_declared_key(
    content: str | bytes, line: int, column: int
) -> None:
    """Under any name or none, at its exact place."""
    assert suspected(content) == [("private-key", "0", line, column)]


def test_every_place_of_such_a_key_is_named() -> None:
    """The same text in three places is three places to mend."""
    found = suspected(f"{KEY}\n{KEY}", "nothing", f"a {KEY}")
    assert [place[1:] for place in found] == [("0", 1, 1), ("0", 2, 1), ("2", 1, 3)]


@pytest.mark.parametrize(
    "content",
    [
        PUBLIC,
        f"hostKey: AAAA{KEY}",
        f"A{KEY}",
        f"{KEY}=",
        KEY[:-1],
        f"privateKey: {KEY}",  # that one is found by its name
        base64.b64encode(bytes(range(1, 33))).decode(),
    ],
)
def test_what_is_nobodys_private_half(content: str) -> None:
    """Public keys, parts of longer texts, and what is found by its name already."""
    assert suspected(content) == []


def test_a_key_that_is_declared_is_not_suspected() -> None:
    """Whoever declares it has published it; nothing is derived from it."""
    assert suspected(KEY, declared=(PUBLIC, KEY)) == []
    assert suspected(KEY, declared=()) == []


def test_an_unclamped_private_key() -> None:
    """WireGuard takes any 32 bytes and clears and sets the same five bits."""
    other = bytearray(range(32))
    other[0], other[31] = 7, 0x1F | 0x80
    assert suspected(base64.b64encode(other).decode())[0][0] == "private-key"


def test_only_so_many_public_keys_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file of a million texts ends soon, and says that not all were compared."""
    many = [
        base64.b64encode(n.to_bytes(32, "big")).decode() for n in range(MAX_DERIVED + 9)
    ]
    text = "\n".join([KEY, *many])
    start = time.process_time()
    assert suspected(text) == [
        ("too-large", "0", MAX_DERIVED + 1, 1),
        ("private-key", "0", 1, 1),
    ]
    assert time.process_time() - start < 8
    monkeypatch.setattr("tailgit.load.secrets.MAX_TOKENS", 5)
    assert suspected(text)[0] == ("too-large", "0", 6, 1)


def test_keys_are_computed_only_where_there_is_a_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A normal repository costs no derivation and no import of cryptography."""
    monkeypatch.setattr("tailgit.load.secrets._public_half", None)
    assert suspected(f"publicKey: {PUBLIC}\n" * 3) == []
    with pytest.raises(TypeError):
        suspected(KEY)


@pytest.mark.parametrize("field", ["publicKey", "nextPublicKey", "relayPublicKey"])
def test_a_repository_with_the_private_half_of_its_key(
    tmp_path: Path, field: str
) -> None:
    """Every file of the root counts, whatever it is; `check` says so."""
    devices = ACME["devices/servers.yaml"].replace(
        "  ana-laptop:", f"  db-2: {{tags: [tag:db], {field}: {PUBLIC}}}\n  ana-laptop:"
    )
    files: dict[str, str | bytes] = {
        **ACME,
        "devices/servers.yaml": devices,
        "people.yaml": f"# {KEY}\n" + ACME["people.yaml"],
        ".ci/run": f"x {KEY}\n",
        "notes": f"\n{KEY}\n",
    }
    repo = committed(tmp_path / "repo", files)
    found = [f.place for f in load(repo, "HEAD").findings if f.code == "private-key"]
    assert [(p.file, p.line, p.column) for p in found] == [
        (".ci/run", 1, 3),
        ("notes", 2, 1),
        ("people.yaml", 1, 3),
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [("wg.key", 1), ("keys/db-1", 1), ("wg.pub", 0), ("db-1_PUBLIC", 0)],
)
def test_a_key_alone_in_a_file(name: str, found: int) -> None:
    """`wg genkey > wg.key` is found; the file of a public key says what it is."""
    data = f"{KEY}\n".encode()
    assert len(list(find_secrets(data, name))) == found
    assert list(find_secrets(data + b"more", name)) == []
