"""Room for many connections at a time: one open file each, and shells allow few."""

from __future__ import annotations

import resource
from contextlib import suppress


def room_for_many() -> None:
    """Raise this process's limit of open files to what the system lets it have.

    1,024 is the usual soft limit; 512 connections with pipes to ProxyCommands need
    more. Programs that are started from here are told nothing new by it: Python closes
    what it opened.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
