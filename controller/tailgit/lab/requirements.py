"""What this machine must have before a lab can be built, said all at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tailgit.errors import LabError

_PACKAGES = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "ping": "iputils-ping",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "sudo": "sudo",
    "tar": "tar",
    "wg": "wireguard-tools",
}
"""Command -> Debian package. A lab has no way out, so nothing is installed in it."""

ADMIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def require_root() -> None:
    """`LabError` unless this process may make namespaces of every kind."""
    if os.geteuid() != 0:
        raise LabError(
            "a lab needs root to make network namespaces (without root comes later)",
            f"run: sudo {sys.executable} -m tailgit lab …",
        )


def require_tools() -> None:
    """`LabError` that lists every missing command, with the line that installs them."""
    missing = {
        command: package
        for command, package in _PACKAGES.items()
        if shutil.which(command, path=ADMIN_PATH) is None
    }
    if not _has_wireguard():
        missing["wireguard-go"] = "wireguard-go"
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise LabError(
            f"this machine lacks {', '.join(sorted(missing))}",
            f"run: sudo apt-get install --no-install-recommends {packages}",
        )
    if not Path("/dev/net/tun").exists() and not _in_kernel("wireguard"):
        raise LabError("/dev/net/tun is missing", "run: sudo modprobe tun")


def _has_wireguard() -> bool:
    found = shutil.which("wireguard-go", path=ADMIN_PATH)
    return found is not None or _in_kernel("wireguard")


def _in_kernel(module: str) -> bool:
    if Path(f"/sys/module/{module}").exists():
        return True
    modinfo = shutil.which("modinfo", path=ADMIN_PATH)
    if modinfo is None:
        return False
    done = subprocess.run([modinfo, module], capture_output=True, timeout=10)
    return done.returncode == 0
