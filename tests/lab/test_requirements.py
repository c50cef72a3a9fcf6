"""What a lab asks of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tailgit.errors import LabError
from tailgit.lab import requirements


def test_without_root_it_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with the sudo command, and that rootless is not there yet."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="needs root") as caught:
        requirements.require_root()
    assert "comes later" in caught.value.message
    assert caught.value.help.startswith("run: sudo ")


def test_missing_tools_are_listed_once_and_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every missing command in one list, every package once in one apt-get line."""
    for command in ("ip", "nsenter", "setpriv", "tar", "modinfo"):
        (tmp_path / command).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / command).chmod(0o755)
    monkeypatch.setattr(requirements, "ADMIN_PATH", str(tmp_path))
    with pytest.raises(LabError) as caught:
        requirements.require_tools()
    assert caught.value.message == (
        "this machine lacks nft, ping, ssh, ssh-keygen, sshd, sudo, wg, wireguard-go"
    )
    assert caught.value.help == (
        "run: sudo apt-get install --no-install-recommends iputils-ping nftables "
        "openssh-client openssh-server sudo wireguard-go wireguard-tools"
    )
