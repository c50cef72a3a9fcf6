"""One lab for the cases of a worker, anew after one that failed; and the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.chaos.world import World

Whole = Callable[[], AbstractContextManager[World]]


@pytest.fixture(scope="package")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """`with whole() as world`: nodes that no case before has left in a bad way."""
    kept: list[World] = []

    @contextmanager
    def one() -> Iterator[World]:
        if not kept:
            kept.append(World.build(tmp_path_factory.mktemp("chaos")))
        try:
            yield kept[0]
        except BaseException:
            kept.pop().lab.down()
            raise

    yield one
    for world in kept:
        world.lab.down()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many cases of each kind were tried, and how many of them passed."""
    tried: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            said = dict(getattr(report, "user_properties", ()))
            if getattr(report, "when", "") != "call" or "chaos" not in said:
                continue
            tried[said["chaos"]] += 1
            passed[said["chaos"]] += report.passed
    if not tried:
        return
    terminalreporter.section("chaos: passed of tried")
    for kind in sorted(tried):
        terminalreporter.write_line(f"{passed[kind]:4} of {tried[kind]:4}  {kind}")
    terminalreporter.write_line(f"{passed.total():4} of {tried.total():4}  in all")
