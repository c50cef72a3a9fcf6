"""A whole machine for one test: its own network, mounts and processes, and an sshd.

The tests reach it through a listener of theirs on loopback that hands each connection
to `sshd -i` inside: real SSH to a machine whose /etc, /run, /var/lib and network are
its own, without an interface on the host. Nothing of it is left when its first
process ends. It begins bare: only root can log in, and nothing of tailgit is there.
"""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tailgit.deploy.ssh import Login
from tests.deploy.sshd import make_key, public

_BUILD = """
set -e
mkdir -p "$1/etc" && cp -a /etc/. "$1/etc/"
mkdir -m 1777 "$1/tmp"
mount --bind "$1/etc" /etc
mount --bind "$1/tmp" /tmp
rm -rf /etc/tailgit /etc/sudoers.d/tailgit
mount -t tmpfs -o mode=0755 none /run
mount -t tmpfs -o mode=0755 none /var/lib
mount -t tmpfs -o mode=0755 none /usr/local
mkdir -p /usr/local/lib /usr/local/sbin /usr/local/bin /run/sshd
ip link set lo up
touch /run/built
exec sleep 3600
"""

_CONFIG = """
HostKey /etc/machine/host
AuthorizedKeysFile /etc/machine/keys/%u .ssh/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
LogLevel QUIET
"""


class Machine:
    """One machine; `admin` is the private key that root lets in."""

    def __init__(self, folder: Path) -> None:
        own = folder / "etc" / "machine"
        (own / "keys").mkdir(parents=True)
        self.keys = own / "keys"
        self.admin = make_key(folder / "admin")
        self.host = make_key(own / "host")
        (own / "keys" / "root").write_text(public(self.admin) + "\n")
        (own / "sshd_config").write_text(_CONFIG)
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        self._first = subprocess.Popen(
            [*command, "--mount-proc", "sh", "-c", _BUILD, "build", str(folder)]
        )
        self.pid = self._inner()
        self.root = Path(f"/proc/{self.pid}/root")
        self._until(lambda: (self.root / "run/built").exists())
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sshds: list[subprocess.Popen[bytes]] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _inner(self) -> int:
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children")
        self._until(lambda: bool(children.read_text().strip()))
        return int(children.read_text().split()[0])

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "the machine was not built"
            time.sleep(0.01)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                sshd = ["/usr/sbin/sshd", "-i", "-f", "/etc/machine/sshd_config"]
                self._sshds.append(
                    subprocess.Popen(
                        self._enter(*sshd), stdin=connection, stdout=connection
                    )
                )

    def _enter(self, *command: str) -> list[str]:
        namespaces = ["--mount", "--net", "--pid"]
        return ["nsenter", "--target", str(self.pid), *namespaces, "--", *command]

    def close(self) -> None:
        if self._listener.fileno() < 0:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        self._first.kill()
        self._first.wait()
        for sshd in self._sshds:
            sshd.wait(10)

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command inside; what it printed."""
        done = subprocess.run(
            self._enter(*command), capture_output=True, text=True, timeout=60
        )
        if check:
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def login(self, name: str, user: str) -> Login:
        return Login(name, "127.0.0.1", self.port, user, public(self.host))

    def stamps(self, *, folders: bool = True) -> dict[str, tuple[int, int, int]]:
        """Inode, mtime and ctime of everything that a request could have written.

        Without `folders` of files alone: a temporary name leaves its mark on a folder.
        """
        stamps = {}
        for top in ("var/lib/tailgit", "etc/tailgit", "etc/hosts", "run/tailgit"):
            base = self.root / top
            for path in [base, *(base.rglob("*") if base.is_dir() else ())]:
                stat = path.stat()
                # The guard's own pipe ticks once a second.
                if path.name == "events" or (path.is_dir() and not folders):
                    continue
                key = str(path.relative_to(self.root))
                stamps[key] = (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
        return stamps
