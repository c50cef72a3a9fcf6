"""What one machine of a lab sees as its file system.

A node is this machine's software with private state: the whole tree is read-only,
and `/etc /opt /srv /usr /var` are overlays whose changes live in a tmpfs of the node,
so `useradd`, a rename over `/etc/hosts` or an installed script happen to that node
alone. Homes, `/run`, `/tmp` and `/dev/shm` start empty, as on a fresh server. Overlays
cost nothing until something is written, so fifty nodes need no fifty copies of
`/etc`. Paths in `visible` (the repository, the Python that runs us) stay where they
are, also where one of the above hides them.

The controller is the caller's own environment in another place on the network: it
sees and writes the caller's files, but has its own `/etc` (names of the nodes, ssh
settings) and home.

All functions run as PID 1 of the new machine, before it runs anything else.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tailgit.errors import LabError
from tailgit.lab import system

BASE = Path("/run/tailgit-lab")
"""The lab's own files, in its tmpfs: the admin's key, known_hosts, home, clone."""

ADMIN_KEY, KNOWN_HOSTS, HOME, SCRATCH = (
    BASE / name for name in ("admin", "known_hosts", "home", "tmp")
)

_OVERLAID = ("/etc", "/opt", "/srv", "/usr", "/var")
_EMPTY = {
    "/dev/shm": "1777",
    "/home": "755",
    "/root": "700",
    "/run": "755",
    "/tmp": "1777",
}

# If this machine is itself part of a tailnet, its nodes must not seem enrolled.
_FRESH = ("/etc/tailgit", "/usr/local/lib/tailgit", "/var/lib/tailgit")

_SSH_CONFIG = f"""\
Host *
  IdentityFile {ADMIN_KEY}
  IdentityFile ~/.ssh/id_ed25519
  UserKnownHostsFile {KNOWN_HOSTS}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
"""


def found_lab(visible: Iterable[str]) -> None:
    """Make the lab's own mount namespace: the caller's files, but a `/run` of its own.

    That hides the sockets of the host's services from every machine of the lab.
    """
    system.mount("none", "/", flags=system.PRIVATE | system.RECURSIVE)
    with _kept(visible):
        system.mount("tmpfs", "/run", "tmpfs", data="mode=755")
    for folder in (BASE, HOME, SCRATCH):
        folder.mkdir(mode=0o700)


def node(hostname: str, visible: Iterable[str], sshd_config: str) -> None:
    """A server that root may log in to with the admin's key."""
    admin = (BASE / "admin.pub").read_text()
    with _kept(visible):
        system.make_read_only("/")
        _overlay(_OVERLAID)
        for path, mode in _EMPTY.items():
            if Path(path).is_dir():
                system.mount("tmpfs", path, "tmpfs", data=f"mode={mode}")
    _kernel_views()
    _terminals()
    for path in _FRESH:
        shutil.rmtree(path, ignore_errors=True)
    for key in Path("/etc/ssh").glob("ssh_host_*"):
        key.unlink()
    _name(hostname)
    _replace("/etc/machine-id", uuid.uuid4().hex + "\n")
    _replace("/etc/resolv.conf", "")
    if sshd_config:
        ssh = Path("/root/.ssh")
        ssh.mkdir(mode=0o700)
        (ssh / "authorized_keys").write_text(admin)
        Path("/run/utmp").touch()
        _unlock_root()
        _replace("/etc/ssh/sshd_config", sshd_config)


def controller(hostname: str, names: Mapping[str, str]) -> None:
    """The place that `tailgit apply` runs from; `names` are NAME -> address."""
    _overlay(("/etc",))
    _kernel_views()
    _name(hostname, names)
    _replace("/etc/ssh/ssh_config.d/00-tailgit-lab.conf", _SSH_CONFIG)
    (HOME / ".gitconfig").write_text(
        "[user]\n\tname = tailgit lab\n\temail = lab@tailgit.invalid\n"
        "[safe]\n\tdirectory = *\n"
    )


def router(hostname: str) -> None:
    """The lab's Internet: nothing but its own network."""
    _kernel_views()
    system.set_hostname(hostname)


@contextmanager
def _kept(visible: Iterable[str]) -> Iterator[None]:
    """What is hidden by mounts made meanwhile is bound back to where it was.

    An overlay hides nothing; and to bind a `/usr` back over it would undo it.
    """
    held = {
        path: os.open(path, os.O_PATH | os.O_CLOEXEC)
        for path in sorted(visible)
        if Path(path).is_dir()
    }
    yield
    for path, handle in held.items():
        if not Path(path).exists():
            Path(path).mkdir(parents=True)
            flags = system.BIND | system.RECURSIVE
            system.mount(f"/proc/self/fd/{handle}", path, flags=flags)
        os.close(handle)


def _overlay(folders: Iterable[str]) -> None:
    """Make each folder copy-on-write, its changes in a tmpfs that nothing names."""
    system.mount("tmpfs", "/run", "tmpfs", data="mode=700")
    for number, folder in enumerate(folders):
        if Path(folder).is_symlink() or not Path(folder).is_dir():
            continue
        upper, work = Path(f"/run/{number}/upper"), Path(f"/run/{number}/work")
        upper.mkdir(parents=True)
        work.mkdir()
        upper.chmod(Path(folder).stat().st_mode & 0o7777)
        layers = f"lowerdir={folder},upperdir={upper},workdir={work}"
        try:
            system.mount("overlay", folder, "overlay", data=layers)
        except OSError as error:
            raise LabError(
                f"this kernel can't mount an overlay on {folder}: {error.strerror}",
                "run: sudo modprobe overlay; in a container it must be privileged",
            ) from None
    system.unmount("/run")


def _kernel_views() -> None:
    """Of the new PID and network namespace."""
    system.mount("proc", "/proc", "proc")
    system.mount("sysfs", "/sys", "sysfs")


def _terminals() -> None:
    """Ptys of its own: sshd must be able to give one to a user."""
    if Path("/dev/pts").is_dir():
        system.mount(
            "devpts", "/dev/pts", "devpts", data="newinstance,ptmxmode=0666,mode=620"
        )
        system.mount("/dev/pts/ptmx", "/dev/ptmx", flags=system.BIND)


def _name(hostname: str, others: Mapping[str, str] | None = None) -> None:
    system.set_hostname(hostname)
    _replace("/etc/hostname", hostname + "\n")
    lines = ["127.0.0.1 localhost", "::1 localhost", f"127.0.1.1 {hostname}"]
    lines += [f"{address} {name}" for name, address in (others or {}).items()]
    _replace("/etc/hosts", "\n".join(lines) + "\n")


def _unlock_root() -> None:
    """No password, but not locked: sshd without PAM refuses a locked account."""
    lines = Path("/etc/shadow").read_text().splitlines()
    unlocked = [
        ":".join(["root", "*", *line.split(":")[2:]])
        if line.startswith("root:")
        else line
        for line in lines
    ]
    Path("/etc/shadow").write_text("\n".join(unlocked) + "\n")


def _replace(path: str, text: str) -> None:
    """Write a file that may be a link into a `/run` that is gone."""
    target = Path(path)
    target.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
