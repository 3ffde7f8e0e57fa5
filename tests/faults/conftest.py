"""The world that fails, and the table at the end."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from app_process import app_process
from aws_services import AWSServices
from faults_kit import OPEN, ROWS, World, table


@pytest.fixture(scope="module")
def world(aws: AWSServices, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A bucket, a queue, and an app in one process that puts its records there."""
    place = World(aws, aws.bucket("faults"), aws.queue("faults"))
    folder = tmp_path_factory.mktemp("app")
    program = Path(__file__).with_name("app.py")
    settings = {"AGENTCORE_RL_STORE": place.location, "AGENTCORE_RL_QUEUE": place.queue}
    with app_process(program, folder, **settings) as app:
        place.app = app
        yield place


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    """Closes the connections that a test's launchers have opened."""
    yield
    while OPEN:
        await OPEN.pop().aclose()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table, where any of it was run in this process."""
    if ROWS:
        terminalreporter.section("fault matrix")
        for line in table():
            terminalreporter.write_line(line)
