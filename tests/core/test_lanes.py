import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from agentcore_rl.lanes import THREADS, WIDTH, Lane, Lanes


@dataclass(eq=False)
class Item:
    """Something to serve."""

    name: str
    busy: bool = False


class Served:
    """What was served, in order, by lanes of its own."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.left = 0
        self.first: Lane[Item] = Lane("first", self.note)
        self.lanes = Lanes(self.first, retry_s=(0.02, 0.1), is_done=lambda: not self.left)

    def note(self, item: Item) -> None:
        """Serve it."""
        with self.lanes.changed:
            self.names.append(item.name)
            self.left -= 1
            self.lanes.changed.notify_all()

    def add(self, lane: str, *names: str, serve: Callable[[Item], None] | None = None) -> None:
        """Put items into a lane."""
        with self.lanes.changed:
            self.left += len(names)
            for name in names:
                self.lanes.add(Item(name), lane, lane, serve or self.note)

    def until(self, done: Callable[[], bool]) -> None:
        """Wait for something that happens soon."""
        with self.lanes.changed:
            assert self.lanes.changed.wait_for(done, 10), "it did not happen within 10 seconds"


@pytest.fixture
def served() -> Iterator[Served]:
    """Lanes that are closed when the test has ended."""
    served = Served()
    yield served
    served.left = 0
    assert served.lanes.close(10)


def threads() -> int:
    """How many threads serve lanes."""
    return sum(thread.name == "agentcore-rl-sink" for thread in threading.enumerate())


def test_nothing_is_served_before_the_start_or_after_the_end(served: Served) -> None:
    """Starting twice is one start; after closing there is none."""
    before = threads()
    served.add("a", "1")
    assert threads() == before
    began: list[bool] = []
    assert served.lanes.start(lambda: began.append(True)) is True
    assert served.lanes.start(lambda: began.append(True)) is False
    served.until(lambda: served.names == ["1"])
    assert served.lanes.close(5) is True
    assert served.lanes.start(lambda: began.append(True)) is False
    assert began == [True]
    assert threads() == before


def test_lanes_that_hang_leave_threads_for_others(served: Served) -> None:
    """Each takes so many at most; what comes later is served."""
    going = threading.Event()

    def hang(item: Item) -> None:
        going.wait(20)
        served.note(item)

    served.lanes.start(lambda: None)
    for number in range(3):
        served.add(f"hanging-{number}", *(f"{number}-{item}" for item in range(2 * WIDTH)), serve=hang)
    served.add("working", "a", "b", "c")
    served.until(lambda: sorted(served.names) == ["a", "b", "c"])
    assert 3 * WIDTH < threads() <= THREADS
    going.set()
    served.until(lambda: not served.left)


def test_threads_are_no_more_than_allowed_and_go_when_idle(served: Served) -> None:
    """However many lanes hang."""
    going = threading.Event()

    def hang(item: Item) -> None:
        going.wait(20)
        served.note(item)

    served.lanes.start(lambda: None)
    for number in range(THREADS):
        served.add(f"{number}", "a", "b", serve=hang)
    end = time.monotonic() + 10
    while threads() < THREADS and time.monotonic() < end:
        time.sleep(0.01)
    assert threads() == THREADS
    going.set()
    served.until(lambda: not served.left)
    while threads() > 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert threads() == 2


def test_a_lane_that_fails_is_asked_with_one_until_it_works(served: Served) -> None:
    """All its items are served in the end, each once."""
    at_once, most, works = 0, 0, False

    def shaky(item: Item) -> None:
        nonlocal at_once, most
        with served.lanes.changed:
            at_once += 1
            most = max(most, at_once)
        try:
            time.sleep(0.005)
            if not works:
                raise OSError("not now")
        finally:
            with served.lanes.changed:
                at_once -= 1
        served.note(item)

    served.lanes.start(lambda: None)
    served.add("shaky", "0", serve=shaky)
    time.sleep(0.1)
    served.add("shaky", *map(str, range(1, 20)), serve=shaky)
    time.sleep(0.3)
    assert (most, served.names) == (1, [])
    works = True
    served.until(lambda: not served.left)
    assert sorted(served.names, key=int) == [str(number) for number in range(20)]


def test_an_item_that_never_works_is_passed(served: Served) -> None:
    """By the others of its lane."""

    def serve(item: Item) -> None:
        if item.name == "poison":
            raise OSError("never")
        served.note(item)

    served.add("a", "poison", "1", "2", "3", serve=serve)
    served.lanes.start(lambda: None)
    served.until(lambda: served.left == 1)
    assert sorted(served.names) == ["1", "2", "3"]


def test_an_item_in_two_lanes_is_with_one_thread(served: Served) -> None:
    """As a record that is to be spooled and stored at once."""
    at_once: list[int] = []
    item, now = Item("both"), [0]

    def part(_: Item) -> None:
        now[0] += 1
        at_once.append(now[0])
        time.sleep(0.05)
        now[0] -= 1

    with served.lanes.changed:
        served.lanes.add(item, "a", "a", part)
        served.lanes.add(item, "b", "b", part)
    served.lanes.start(lambda: None)
    served.until(lambda: len(at_once) == 2)
    assert at_once == [1, 1]
