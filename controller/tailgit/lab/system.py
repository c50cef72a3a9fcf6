"""The system calls that namespaces need and Python 3.11 does not offer.

Errors are `OSError` with the call and its target in the text. Linux only.
"""

from __future__ import annotations

import ctypes
import os

NEW_MOUNT = 0x00020000
NEW_UTS = 0x04000000
NEW_IPC = 0x08000000
NEW_PID = 0x20000000
NEW_NET = 0x40000000

BIND = 0x1000
RECURSIVE = 0x4000
PRIVATE = 0x40000

_SYS_MOUNT_SETATTR = 442  # the same number on every architecture but alpha
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_ATTR_RDONLY = 0x1

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` for new ones; NEW_PID counts for children."""
    _checked(_libc.unshare(flags), "unshare", "namespaces")


def mount(
    source: str, target: str, kind: str = "", flags: int = 0, data: str = ""
) -> None:
    """mount(2)."""
    result = _libc.mount(
        source.encode(),
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _checked(result, f"mount {kind}".rstrip(), target)


def unmount(target: str) -> None:
    """Take a mount out of sight; it lives on while something uses it."""
    detach = 2
    _checked(_libc.umount2(os.fsencode(target), detach), "unmount", target)


def make_read_only(tree: str) -> None:
    """Make the mount at `tree` and all below read-only, in this mount namespace."""
    attributes = _MountAttributes(attr_set=_ATTR_RDONLY)
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        os.fsencode(tree),
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    _checked(result, "mount_setattr", tree)


def set_hostname(name: str) -> None:
    """Name this UTS namespace."""
    encoded = name.encode()
    _checked(_libc.sethostname(encoded, len(encoded)), "sethostname", name)


def _checked(result: int, call: str, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}", what)
