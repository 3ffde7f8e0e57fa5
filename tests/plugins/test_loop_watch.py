"""The detector finds what it should, and only that."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from loop_watch import LoopWatch

LIBRARY = """
import asyncio, time

async def blocks(found):
    time.sleep(0.9)
    for _ in range(100):
        if not found:
            time.sleep(0.1)

async def computes(found):
    until = time.monotonic() + 10
    while time.monotonic() < until and not found:
        sum(range(1000))

async def waits():
    await asyncio.sleep(0.9)

async def calls(users_function):
    users_function()

async def awaits(users_coroutine):
    await users_coroutine()
"""


@pytest.fixture
def library(tmp_path: Path) -> dict[str, Callable[..., Awaitable[None]]]:
    """A module that stands in a folder of "ours"."""
    path = tmp_path / "library.py"
    path.write_text(LIBRARY)
    names: dict[str, Callable[..., Awaitable[None]]] = {}
    exec(compile(LIBRARY, path, "exec"), names)  # type: ignore[arg-type]
    return names


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[LoopWatch]:
    """A running watch with a short limit."""
    watch = LoopWatch(ours=(tmp_path,), users=(Path(__file__).parent,), limit=0.4)
    watch.start()
    yield watch
    watch.stop()


@pytest.mark.parametrize("name", ["blocks", "computes"])
def test_our_coroutine_that_holds_the_loop_is_found(name, library, watch):
    """Sleeping and computing in a coroutine of ours are found, once each, with the line."""
    asyncio.run(library[name](watch.found))
    assert len(watch.found) == 1
    assert "library.py" in watch.found[0]


def test_waiting_is_not_blocking(library, watch):
    """A coroutine that awaits for long leaves the loop free."""
    asyncio.run(library["waits"]())
    assert watch.found == []


def test_a_users_own_blocking_code_is_not_ours(library, watch):
    """A handler of the user's that blocks, sync or async, does so in a loop of its own."""

    def handler() -> None:
        time.sleep(0.9)

    async def coroutine() -> None:
        time.sleep(0.9)  # noqa: ASYNC251

    asyncio.run(library["calls"](handler))
    asyncio.run(library["awaits"](coroutine))
    assert watch.found == []
