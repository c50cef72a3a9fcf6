"""One measurement of a push: hosts, time, and the client's own CPU."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement: how many hosts, how long, how much of the client's CPU."""

    hosts: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.hosts / self.seconds

    @property
    def each(self) -> float:
        """Milliseconds of CPU for each host."""
        return self.cpu / self.hosts * 1000


def measured(hosts: int, work: Callable[[], object]) -> Round:
    """Time and CPU of `work`, in this process and in the ones it waits for."""

    def used() -> float:
        both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, both))

    before, start = used(), time.monotonic()
    work()
    return Round(hosts, time.monotonic() - start, used() - before)
