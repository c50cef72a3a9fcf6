"""Signatures over statements: which key makes them, what ssh-keygen says of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tailgit.deploy.sign import public_half, sign, signing_key
from tailgit.errors import SigningError
from tests.deploy.sshd import make_key, public


def test_a_signature_is_one_that_ssh_keygen_verifies(tmp_path: Path) -> None:
    """In the tailnet's namespace, over exactly the statement."""
    key = make_key(tmp_path / "key")
    statement = b"tailgit-apply 1\nroot 00\n"
    (tmp_path / "sig").write_bytes(sign(statement, "acme", str(key)))
    (tmp_path / "allowed").write_text(f"ana {public(key)}\n")

    def verifies(namespace: str, data: bytes) -> bool:
        words = ["-f", tmp_path / "allowed", "-I", "ana", "-n", namespace]
        done = subprocess.run(
            ["ssh-keygen", "-Y", "verify", *words, "-s", tmp_path / "sig"],
            input=data,
            capture_output=True,
        )
        return done.returncode == 0

    assert verifies("tailgit@acme", statement)
    assert not verifies("tailgit@other", statement)
    assert not verifies("tailgit@acme", statement + b"\n")


def test_a_key_that_can_not_sign_is_an_error_with_a_next_step(tmp_path: Path) -> None:
    """A public key without its other half, a file that is no key, no file at all."""
    key = make_key(tmp_path / "key")
    key.unlink()
    for which in (f"{key}.pub", public(key), str(tmp_path / "missing")):
        with pytest.raises(SigningError, match="did not sign") as caught:
            sign(b"x", "acme", which)
        assert "ssh-add -l" in caught.value.help


def test_the_signing_key_is_the_one_that_signs_commits(tmp_path: Path) -> None:
    """Named, else git's where it signs with SSH, else ~/.ssh/id_ed25519, else none."""
    home, repo = tmp_path / "home", tmp_path / "repo"
    (home / ".ssh").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", repo], check=True)

    def config(name: str, value: str) -> None:
        subprocess.run(["git", "-C", repo, "config", name, value], check=True)

    config("user.signingkey", "")
    with pytest.raises(SigningError, match="no key to sign with"):
        signing_key(None, repo, home)
    usual = make_key(home / ".ssh" / "id_ed25519")
    assert signing_key(None, repo, home) == str(usual)
    config("user.signingkey", "AB12CD")
    config("gpg.format", "openpgp")
    assert signing_key(None, repo, home) == str(usual)
    config("gpg.format", "ssh")
    config("user.signingkey", f"key::{public(usual)}")
    assert signing_key(None, repo, home) == f"key::{public(usual)}"
    assert public_half(f"key::{public(usual)}") == public(usual)
    assert public_half(str(usual)) == public(usual)
    named = make_key(tmp_path / "named")
    assert signing_key(named, repo, home) == str(named)
    with pytest.raises(SigningError, match="no signing key"):
        signing_key(tmp_path / "none", repo, home)
