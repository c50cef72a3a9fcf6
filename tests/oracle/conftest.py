"""Prints the oracle's table after the run, as every worker of it reported it."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the agreement of engine and judge rests on."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == "oracle":
                terminalreporter.section(report.nodeid)
                terminalreporter.line(str(text))
