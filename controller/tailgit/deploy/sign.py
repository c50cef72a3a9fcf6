"""Sign an apply with an SSH key: one signature, also by an agent or a hardware key.

ssh-keygen does it (`-Y sign`), so a passphrase, a touch and an agent work as they do
for signed commits. The key is the one that signs commits, unless another is named.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tailgit.errors import SigningError
from tailgit.load.git import Repo
from tailgit.model.text import shown

SECONDS = 300
"""How long ssh-keygen may wait for a passphrase or a touch."""

_LITERAL = ("key::", "ssh-", "ecdsa-", "sk-")


def signing_key(chosen: Path | None, repository: Path, home: Path) -> str:
    """The key to sign with: a file's path or a public key as text.

    `chosen` if given; else git's `user.signingkey` where `gpg.format` is ssh; else
    `HOME/.ssh/id_ed25519`. Raises `SigningError` if there is none of them.
    """
    if chosen is not None:
        if not chosen.is_file():
            raise SigningError(f"no signing key {chosen}")
        return str(chosen)
    git = Repo(repository)
    if git.setting("gpg.format") == "ssh":
        key = git.setting("user.signingkey", "--type=path")
        if key:
            return key
    usual = home / ".ssh" / "id_ed25519"
    if usual.is_file():
        return str(usual)
    raise SigningError(
        "no key to sign with: git has no user.signingkey with gpg.format ssh, and "
        f"there is no {usual}",
        "name one with --signing-key FILE (a .pub file for a key in the agent)",
    )


def public_half(key: str) -> str:
    """The public key (`TYPE BASE64`) of what `signing_key` returned."""
    text = key.removeprefix("key::")
    if not key.startswith(_LITERAL):
        file = Path(key if key.endswith(".pub") else f"{key}.pub")
        try:
            text = file.read_text()
        except (OSError, UnicodeDecodeError):
            raise SigningError(f"no public key {file}") from None
    words = text.split()
    if len(words) < 2 or not words[0].startswith(_LITERAL[1:]):
        raise SigningError(f"{key} is not an SSH public key")
    return " ".join(words[:2])


def sign(statement: bytes, tailnet: str, key: str) -> bytes:
    """The armoured signature over `statement` in the namespace `tailgit@TAILNET`."""
    with tempfile.TemporaryDirectory(prefix="tailgit-") as folder:
        if key.startswith(_LITERAL):
            file = Path(folder) / "key.pub"
            file.write_text(key.removeprefix("key::") + "\n")
            key = str(file)
        command = ["ssh-keygen", "-Y", "sign", "-n", f"tailgit@{tailnet}", "-f", key]
        try:
            done = subprocess.run(
                command, input=statement, capture_output=True, timeout=SECONDS
            )
        except FileNotFoundError:
            raise SigningError(
                "ssh-keygen is not installed", "install the OpenSSH client"
            ) from None
        except subprocess.TimeoutExpired:
            raise SigningError(f"ssh-keygen waited {SECONDS} s for its key") from None
    if done.returncode or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise SigningError(
            f"ssh-keygen did not sign with {shown(key)}: {shown(said[-1])}",
            "is the key in the agent, and does it match? `ssh-add -l` lists them",
        )
    return done.stdout
