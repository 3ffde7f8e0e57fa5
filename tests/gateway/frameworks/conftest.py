"""The table at the end."""

from typing import Any

from gateway_agents import ROWS, table


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table, where any of it was played in this process."""
    if ROWS:
        terminalreporter.section("frameworks: branches of real agents' conversations")
        for line in table():
            terminalreporter.write_line(line)
