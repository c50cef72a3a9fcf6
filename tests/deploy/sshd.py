"""A real OpenSSH server on loopback, with a forced command that plays a node.

`Node` keeps everything below one folder and ends the process that it started. What
the forced command answers lies in files, one for each verb; it logs every request, so
that a test can count them and see what arrived on standard input.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tailgit.deploy.ssh import Login

_FORCED = """#!/bin/sh
cd '{folder}' || exit 1
set -- $SSH_ORIGINAL_COMMAND
echo "$PPID $*" >>log
[ "$1" != stage ] || cat >parcel
[ ! -f "before-$1" ] || . "./before-$1"
cat "answer-$1"
"""

_CONFIG = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
LogLevel VERBOSE
MaxStartups 100
{more}
"""


def make_key(
    file: Path, *, passphrase: str = "", kind: str = "ed25519", form: str = "RFC4716"
) -> Path:
    """A new SSH key pair; returns the private half's file."""
    words = ["-q", "-t", kind, "-m", form, "-N", passphrase, "-C", "", "-f", file]
    subprocess.run(["ssh-keygen", *words], check=True)
    return file


def public(file: Path) -> str:
    """`TYPE BASE64` of a key pair."""
    return " ".join(Path(f"{file}.pub").read_text().split()[:2])


class Node:
    """One sshd; `controller` is the private key that it lets in."""

    def __init__(self, folder: Path, *, forced: str | None = None, more: str = ""):
        self.folder = folder
        folder.mkdir()
        self.controller = make_key(folder / "controller")
        self.host = make_key(folder / "host")
        script = folder / "forced"
        script.write_text(_FORCED.format(folder=folder))
        script.chmod(0o755)
        command = str(script) if forced is None else forced
        options = f'restrict,command="{command}" ' if command else ""
        (folder / "authorized_keys").write_text(f"{options}{public(self.controller)}\n")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._start(more)

    def configured(self, more: str) -> None:
        """Ends the server and starts it anew with other lines in its configuration."""
        self.close()
        self._start(more)

    def _start(self, more: str) -> None:
        folder = self.folder
        config = folder / "sshd_config"
        config.write_text(_CONFIG.format(folder=folder, port=self.port, more=more))
        # As root sshd wants /run/sshd, which a test has no business to make: a mount
        # namespace of its own has one.
        command = f"exec {shutil.which('sshd')} -D -f {config} -E {folder}/sshd.log"
        if os.geteuid() == 0:
            private = "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && " + command
            argv = ["unshare", "--mount", "sh", "-c", private]
        else:
            argv = ["sh", "-c", command]
        self.process = subprocess.Popen(argv, start_new_session=True)
        self._wait()

    def _wait(self) -> None:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError((self.folder / "sshd.log").read_text())

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)

    def login(self, name: str = "db-1") -> Login:
        """How to log in here, with this server's own host key pinned."""
        user = pwd.getpwuid(os.geteuid()).pw_name
        return Login(name, "127.0.0.1", self.port, user, public(self.host))

    def answers(self, verb: str, data: bytes, before: str = "") -> None:
        """From now on `verb` runs the shell lines `before` and is answered `data`."""
        (self.folder / f"answer-{verb}").write_bytes(data)
        (self.folder / f"before-{verb}").write_text(before)

    @property
    def requests(self) -> list[str]:
        """The requests so far."""
        return [line.partition(" ")[2] for line in self._log]

    @property
    def connections(self) -> list[str]:
        """For each request the id of the server process: equal on one connection."""
        return [line.partition(" ")[0] for line in self._log]

    @property
    def _log(self) -> list[str]:
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def parcel(self) -> bytes:
        """What the last `stage` brought."""
        return (self.folder / "parcel").read_bytes()
