"""The table at the end."""

from typing import Any

from gateway_fidelity import table


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table, where any of it was run in this process."""
    lines = table()
    if len(lines) > 1:
        terminalreporter.section("fidelity: tokens against the engine's own log")
        for line in lines:
            terminalreporter.write_line(line)
