"""A machine with a real systemd as its first process, in namespaces of its own.

Its disk (`/etc`, `/var`, `/usr/local`, `/root`) lies in a folder of the test and
outlives a reboot; `/run`, `/tmp`, network, processes and the mount table do not. `/usr`
and the rest are this computer's own, read-only. systemd gets a cgroup of its own below
this computer's cgroup v2 tree, and neither the clock nor the kernel's modules: what it
does, it does to the machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from tests.node.nodes import NAME, SCRIPT, SELF, STATE, Answer, parse, wait
from tests.node.parcel import Parcel, Signer

ADDRESS = "192.0.2.1"
"""Of the machine, on the network that it shares with the peer."""

INIT = Path("/lib/systemd/systemd")

_UNITS = INIT.parent / "system"

_KEPT = (
    *("dbus", "systemd-journald", "systemd-logind"),
    *("systemd-tmpfiles-setup.service", "systemd-user-sessions"),
)
"""Of what the distribution's targets want: enough for logins, units and a journal."""

_BUILD = """
set -e
for each in etc root usr/local var; do mount --bind "$1/$each" "/$each"; done
mount -t tmpfs -o mode=0755 none /run
mount -t tmpfs -o mode=1777 none /tmp
mkdir /run/dev
mount -t tmpfs -o mode=0755 none /run/dev
mkdir -p /run/dev/net /run/dev/pts /run/dev/shm /run/dev/mqueue
for each in null zero full random urandom tty net/tun; do
    : >"/run/dev/$each"
    mount --bind "/dev/$each" "/run/dev/$each"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 none /run/dev/pts
ln -s pts/ptmx /run/dev/ptmx
ln -s /proc/self/fd /run/dev/fd
mount --rbind /run/dev /dev
umount -l /run/dev
rmdir /run/dev
mount -o remount,bind,ro /
mount -t proc none /proc
mount --bind /proc/sys /proc/sys
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,ro /proc/sys
mount -t sysfs -o ro none /sys
mount -t cgroup2 none /sys/fs/cgroup
ip link set lo up
: >/run/built
until [ -e /run/powered ]; do sleep 0.02; done
rm /run/built /run/powered
exec env -i container=test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin \
    setpriv --bounding-set -sys_module,-sys_time,-syslog "$2"
"""

_SSHD = """\
HostKey /etc/ssh/machine
AuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys
UsePAM yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
"""


def why_not() -> str:
    """Why no systemd can be started here; empty where it can."""
    if not INIT.exists():
        return "systemd is not installed on this computer"
    for tool, package in (("dbus-daemon", "dbus"), ("loginctl", "systemd")):
        if shutil.which(tool) is None:
            return f"{tool} (package {package}) is not installed on this computer"
    if not any(Path("/").glob("usr/lib/*/security/pam_systemd.so")):
        return "pam_systemd (package libpam-systemd) is not installed on this computer"
    if not Path("/dev/net/tun").exists():
        return "/dev/net/tun is missing"
    tree = _cgroups()
    if tree is None:
        return "no cgroup v2 hierarchy is mounted here"
    try:
        trial = Path(tempfile.mkdtemp(prefix="tailgit-test-", dir=tree))
    except OSError as error:
        return f"a cgroup can't be made in {tree}: {error.strerror}"
    trial.rmdir()
    return ""


def _cgroups() -> Path | None:
    """Where this computer's cgroup v2 tree is mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


class Machine:
    """A machine that is switched on with `power_on` and enrolled with `enroll`."""

    def __init__(self, folder: Path, signer: Signer) -> None:
        self.folder = folder
        self.signer = signer
        self._first: subprocess.Popen[bytes] | None = None
        self._cgroup: Path | None = None
        self.when_off: list[Callable[[], None]] = []
        """What the test started in the machine's networks, ended by `close`."""
        self._furnish()

    def _furnish(self) -> None:
        """The disk of a fresh server: only sshd and nftables, not of tailgit."""
        for each in ("root", "usr/local/bin", "usr/local/sbin", "usr/local/lib"):
            (self.folder / each).mkdir(parents=True)
        for each in ("lib", "cache", "spool", "log/journal", "tmp"):
            (self.folder / "var" / each).mkdir(parents=True)
        (self.folder / "var/tmp").chmod(0o1777)
        (self.folder / "var/run").symlink_to("/run")
        etc = self.folder / "etc"
        subprocess.run(["cp", "-a", "/etc/.", str(etc)], check=True)
        for gone in ("tailgit", "systemd/system", "systemd/user", "rc0.d", "init.d"):
            shutil.rmtree(etc / gone, ignore_errors=True)
        for gone in ("fstab", "sudoers.d/tailgit", "rc.local"):
            (etc / gone).unlink(missing_ok=True)
        (etc / "machine-id").unlink(missing_ok=True)
        (etc / "machine-id").write_text(uuid.uuid4().hex + "\n")
        (etc / "hostname").write_text("web-1\n")
        (etc / "hosts").write_text("127.0.0.1 localhost web-1\n")
        (etc / "nftables.conf").write_text("#!/usr/sbin/nft -f\nflush ruleset\n")
        ssh = etc / "ssh"
        shutil.rmtree(ssh / "sshd_config.d", ignore_errors=True)
        (ssh / "sshd_config").write_text(_SSHD)
        (ssh / "machine").unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]
        subprocess.run([*command, str(ssh / "machine")], check=True)
        (ssh / "keys").mkdir()
        (ssh / "keys/root").write_text(self.signer.public + "\n")
        logind = etc / "systemd/logind.conf.d"
        logind.mkdir(exist_ok=True)
        # The hardest case: what a login leaves behind is killed with it.
        (logind / "kill.conf").write_text(
            "[Login]\nKillUserProcesses=yes\nKillExcludeUsers=nobody\n"
        )
        self._choose_units(etc / "systemd/system")

    def _choose_units(self, units: Path) -> None:
        """Of the distribution's services only those that the tests are about."""
        units.mkdir(parents=True)
        wanted = {path.name for path in _UNITS.glob("*.target.wants/*")}
        for name in {*wanted, "systemd-remount-fs.service"}:
            if not name.startswith(_KEPT) and not name.endswith(".target"):
                (units / name).symlink_to("/dev/null")
        (units / "default.target").symlink_to(_UNITS / "multi-user.target")
        for target, unit in (
            ("multi-user.target", "ssh.service"),
            ("sysinit.target", "nftables.service"),
        ):
            (units / f"{target}.wants").mkdir()
            (units / f"{target}.wants" / unit).symlink_to(_UNITS / unit)

    # Power

    def power_on(self, *plugs: Callable[[Machine], None]) -> None:
        """Start systemd; what is plugged in (cable, listener) is there before it."""
        tree = _cgroups()
        assert tree is not None
        self._cgroup = Path(tempfile.mkdtemp(prefix="tailgit-test-", dir=tree))
        console = (self.folder / "console").open("ab")
        # Even a killed pytest leaves no machine behind.
        self._first = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "sh", "-c"),
                'echo $$ >"$0/cgroup.procs"; exec "$@"',
                str(self._cgroup),
                *("unshare", "--mount", "--net", "--pid", "--uts", "--ipc"),
                *("--cgroup", "--fork", "--kill-child"),
                *("sh", "-c", _BUILD, "build", str(self.folder), str(INIT)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
        )
        console.close()
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children")
        wait(lambda: children.exists() and children.read_text().strip() != "")
        self.pid = int(children.read_text().split()[0])
        self.root = Path(f"/proc/{self.pid}/root")
        wait(self._is_built)
        for plug in plugs:
            plug(self)
        (self.root / "run/powered").touch()

    def _is_built(self) -> bool:
        assert self._first is not None
        said = (self.folder / "console").read_text()
        assert self._first.poll() is None, f"the machine was not built: {said}"
        return (self.root / "run/built").exists()

    def wait_until_up(self) -> None:
        """Until systemd has done all that its targets want."""
        asked = ("systemctl", "is-system-running", "--wait")
        state = ""

        def is_up() -> bool:
            nonlocal state
            # It says nothing at all while systemd does not listen yet.
            state = self.run(*asked, check=False).strip()
            return state not in ("", "offline", "initializing", "starting")

        wait(is_up, 30)
        failed = self.run("systemctl", "--failed", "--no-pager", check=False)
        assert state == "running", state + failed

    def reboot(self, *plugs: Callable[[Machine], None]) -> None:
        """As `systemctl reboot`: every unit is stopped, then a new first process."""
        assert self._first is not None
        self.run("systemctl", "--no-block", "reboot", check=False)
        self._first.wait(60)
        self._clear()
        self.power_on(*plugs)

    def cut_power(self) -> None:
        """Everything that runs is gone at once; nothing is stopped."""
        if self._first is not None:
            self._first.kill()
            self._first.wait()
            self._first = None
        self._clear()

    def close(self) -> None:
        for end in self.when_off:
            end()
        self.cut_power()

    def _clear(self) -> None:
        """The cgroups of a machine that is off."""
        if self._cgroup is None:
            return
        wait(lambda: "populated 0" in (self._cgroup / "cgroup.events").read_text())
        for folder, _, _ in os.walk(self._cgroup, topdown=False):
            Path(folder).rmdir()
        self._cgroup = None

    # Asking it

    def enter(self, *command: str) -> list[str]:
        namespaces = ["--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup"]
        return ["nsenter", "--target", str(self.pid), *namespaces, "--", *command]

    def run(self, *command: str, stdin: bytes = b"", check: bool = True) -> str:
        """What a command prints that root runs on the machine's console."""
        done = subprocess.run(
            self.enter(*command), input=stdin, capture_output=True, timeout=60
        )
        if check:
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.decode()

    def sh(self, text: str) -> str:
        return self.run("sh", "-ec", text)

    def path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def wait_active(self, unit: str) -> None:
        wait(lambda: self.property(unit, "ActiveState") == "active")

    def property(self, unit: str, name: str) -> str:
        shown = self.run("systemctl", "show", f"--property={name}", "--value", unit)
        return shown.strip()

    def journal(self) -> str:
        return self.run("journalctl", "--no-pager", "--boot", "--quiet")

    # The node

    def enroll(self) -> str:
        """Make it a node as the administrator does; its public key."""
        self.path("/run/new").write_bytes(SCRIPT.read_bytes())
        lines = f"controller {self.signer.public}\nsigner ana {self.signer.public}\n"
        done = self.run("sh", "/run/new", "enroll", NAME, stdin=lines.encode())
        answer = parse(done.encode())
        assert answer["result"] == "ok", answer.fields
        return answer["publicKey"]

    def request(self, *words: str, stdin: bytes = b"") -> Answer:
        done = self.run(SELF, "request", *words, stdin=stdin, check=False)
        return parse(done.encode())

    def observe(self) -> Answer:
        return self.request("observe", NAME)

    def stage(self, parcel: Parcel) -> str:
        answer = self.request("stage", NAME, "none", stdin=parcel.build())
        assert answer["result"] == "ok", answer.fields
        return answer["generation"]

    def activate(self, number: str, seconds: int = 600) -> Answer:
        return self.request("activate", NAME, number, str(seconds), "none")

    def confirm(self, number: str) -> Answer:
        return self.request("confirm", NAME, number, "none")

    def number(self, name: str) -> str:
        """The generation that `current`, `pending` or `rolledback` names."""
        file = self.path(f"{STATE}/{name}")
        return file.read_text().split()[0] if file.exists() else "none"


def elapsed(since: float) -> float:
    return round(time.monotonic() - since, 3)
