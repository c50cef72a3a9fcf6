"""A node for one test: the real script in namespaces of its own.

Network, mounts and processes are the node's own, with a private copy of /etc and empty
/run, /var/lib and /usr/local, so the script runs unmodified from the path that it
has on a real node. /bin/sh is the shell under test and, for busybox, its tools stand
first in PATH as on Alpine. When the node's first process ends, all of it is gone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.node.parcel import Parcel, Signer

SCRIPT = Path(__file__).parents[2] / "node" / "tailgit-node"
SELF = "/usr/local/lib/tailgit/tailgit-node"
NAME = "acme"
STATE = f"/var/lib/tailgit/{NAME}"
KEYS = f"/etc/tailgit/{NAME}/keys"

BUSYBOX_TOOLS = (
    "awk cat chmod cmp cut date dd find grep head id ls mkdir mkfifo mktemp mv rm sed "
    "setsid sha256sum sleep sort sync tail tar timeout tr wc"
)

BUILD = """
set -e
mkdir -p "$1/etc" && cp -a /etc/. "$1/etc/"
mount --bind "$1/etc" /etc
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=0755 tmpfs /var/lib
mount -t tmpfs -o mode=0755 tmpfs /usr/local
mkdir -p /usr/local/bin /usr/local/sbin /usr/local/lib/tailgit
ip link set lo up
if [ "$2" = busybox ]; then
    for tool in $3; do ln -s /usr/bin/busybox "/usr/local/bin/$tool"; done
    mount --bind /usr/bin/busybox /usr/bin/dash
fi
touch /run/built
exec sleep 3600
"""


@dataclass(frozen=True)
class Answer:
    """A framed answer that proved whole: its fields in order, and the exit status."""

    fields: tuple[tuple[str, str], ...]
    status: int
    raw: bytes

    def __getitem__(self, key: str) -> str:
        return self.all(key)[0]

    def all(self, key: str) -> list[str]:
        return [value for name, value in self.fields if name == key]

    @property
    def error(self) -> str:
        return dict(self.fields).get("error", "")


def parse(raw: bytes, status: int = 0) -> Answer:
    """Read a frame as the protocol page says, from its last start line on."""
    lines = raw.split(b"\n")
    assert lines[-1] == b"", f"the answer is cut: {raw!r}"
    start = max(i for i, line in enumerate(lines) if line == b"TAILGIT 1")
    *body, end = lines[start:-1]
    digest = hashlib.sha256(b"\n".join(body) + b"\n").hexdigest()
    assert end == b"end\t" + digest.encode()
    escapes = {"\\t": "\t", "\\n": "\n", "\\\\": "\\"}
    fields = []
    for line in body[1:]:
        key, _, value = line.decode().partition("\t")
        assert "\t" not in value
        pieces, rest = [], value
        while rest:
            step = 2 if rest[0] == "\\" else 1
            pieces.append(escapes[rest[:2]] if step == 2 else rest[0])
            rest = rest[step:]
        fields.append((key, "".join(pieces)))
    assert [key for key, _ in fields[:3]] == ["verb", "tailnet", "result"]
    return Answer(tuple(fields), status, raw)


class Node:
    """One node under one shell."""

    def __init__(
        self, shell: str, folder: Path, signer: Signer, *, enrolled: bool = True
    ) -> None:
        self.shell = shell
        self.signer = signer
        # Even a killed pytest leaves no node behind.
        command = ["setpriv", "--pdeathsig", "KILL", "unshare"]
        command += ["--mount", "--net", "--pid", "--fork", "--kill-child"]
        self.first = subprocess.Popen(
            [
                *(*command, "--mount-proc", "sh", "-c", BUILD),
                *("build", str(folder), shell, BUSYBOX_TOOLS),
            ]
        )
        children = Path(f"/proc/{self.first.pid}/task/{self.first.pid}/children")
        wait(lambda: children.read_text().strip() != "")
        self.pid = int(children.read_text().split()[0])
        self.root = Path(f"/proc/{self.pid}/root")
        wait(lambda: (self.root / "run/built").exists())
        if enrolled:
            shutil.copy(SCRIPT, self.path(SELF))
            self.path(SELF).chmod(0o755)
            self.enroll_by_hand()

    def enroll_by_hand(self) -> None:
        """What `enroll` makes, without its users and packages."""
        self.path(KEYS).mkdir(parents=True)
        self.private = self.run("wg", "genkey").stdout.decode().strip()
        self.public = (
            self.run("wg", "pubkey", stdin=self.private.encode())
            .stdout.decode()
            .strip()
        )
        prefix = self.public[:16].replace("+", "-").replace("/", "_")
        self.write(f"{KEYS}/{prefix}", self.private + "\n")
        self.write(
            f"/etc/tailgit/{NAME}/allowed_signers",
            f'ana@acme.com namespaces="tailgit@{NAME}" {self.signer.public}\n',
        )

    def close(self) -> None:
        self.first.kill()
        self.first.wait()

    def enter(self, *command: str) -> list[str]:
        # `nsenter -a` would also want namespaces that this kernel may not have.
        namespaces = ["--mount", "--net", "--pid"]
        return ["nsenter", "--target", str(self.pid), *namespaces, "--", *command]

    def run(
        self,
        *command: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            self.enter(*command), input=stdin, capture_output=True, timeout=60, env=env
        )
        if check:
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done

    def sh(self, text: str) -> str:
        return self.run("sh", "-c", text).stdout.decode()

    def path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def read(self, path: str) -> str:
        return self.path(path).read_text()

    def write(self, path: str, text: str, mode: int = 0o600) -> None:
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)
        self.path(path).chmod(mode)

    # Asking the script

    def request(self, *words: str, stdin: bytes = b"") -> Answer:
        done = self.run(SELF, "request", *words, stdin=stdin, check=False)
        return parse(done.stdout, done.returncode)

    def serve(self, command: str, *flags: str, stdin: bytes = b"") -> Answer:
        env = {"SSH_ORIGINAL_COMMAND": command, "PATH": "/usr/bin:/bin"}
        done = self.run(SELF, "serve", *flags, env=env, stdin=stdin, check=False)
        return parse(done.stdout, done.returncode)

    def parcel(self, **changes: object) -> Parcel:
        return Parcel([self.public], self.signer, **changes)  # type: ignore[arg-type]

    def observe(self) -> Answer:
        return self.request("observe", NAME)

    def stage(self, parcel: Parcel | bytes, token: str = "none") -> Answer:
        data = parcel if isinstance(parcel, bytes) else parcel.build()
        return self.request("stage", NAME, token, stdin=data)

    def activate(
        self, number: int | str, seconds: int = 600, token: str = "none"
    ) -> Answer:
        return self.request("activate", NAME, str(number), str(seconds), token)

    def confirm(self, number: int | str, token: str = "none") -> Answer:
        return self.request("confirm", NAME, str(number), token)

    def rollback(self, number: int | str, token: str = "none") -> Answer:
        return self.request("rollback", NAME, str(number), token)

    def apply(self, parcel: Parcel) -> str:
        """Stage, activate and confirm; every one of them must succeed."""
        number = self.stage(parcel)["generation"]
        for answer in (self.activate(number), self.confirm(number)):
            assert answer["result"] == "ok", answer.fields
        return number

    def reboot(self) -> None:
        """All processes, interfaces, tables and /run are gone; the disk stays."""
        self.run("sh", "-c", "kill -9 -1", check=False)
        self.sh(
            f"rm -rf /run/tailgit /run/wireguard; nft flush ruleset;"
            f"ip link delete tg-{NAME} 2>/dev/null || :"
        )

    # Looking at it without the script

    def table(self) -> str:
        """Our table with handles, or nothing."""
        listed = self.run(
            "nft", "-a", "list", "table", "inet", f"tailgit_{NAME}", check=False
        )
        return listed.stdout.decode()

    def links(self) -> dict[str, dict[str, object]]:
        shown = self.run("ip", "-j", "link", "show").stdout
        return {link["ifname"]: link for link in json.loads(shown)}

    def generations(self) -> list[str]:
        folder = self.path(f"{STATE}/generations")
        return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []

    def current(self) -> str | None:
        path = self.path(f"{STATE}/current")
        return path.read_text().split()[0] if path.exists() else None

    def guards(self) -> list[int]:
        """Process ids, as the node sees them, of what runs `guard`."""
        return self.loops("guard")

    def timers(self) -> list[int]:
        """The same of what runs `timer`."""
        return self.loops("timer")

    def loops(self, verb: str) -> list[int]:
        found = []
        for entry in self.path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if words[2:3] == [verb.encode()] and parent == "1":
                found.append(int(entry.name))
        return found

    def fingerprint(self) -> dict[str, tuple[int, int, int]]:
        """Inode, mtime and ctime of everything that a request could have written."""
        stamps = {}
        for top in (STATE, "/etc/tailgit", "/etc/hosts", "/run/tailgit"):
            base = self.path(top)
            if not base.exists():
                continue
            for path in [base, *(base.rglob("*") if base.is_dir() else ())]:
                if path.is_fifo():  # The guard's own ticks go through it.
                    continue
                stat = path.stat()
                key = str(path.relative_to(self.root))
                stamps[key] = (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
        return stamps


def wait(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Return as soon as the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
