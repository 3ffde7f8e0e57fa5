"""Finds code of ours that blocks an event loop.

Each loop says which callback it runs, and a thread looks a few times per second. A loop that runs one
callback for longer than a second is blocked. It counts against a test when the nearest coroutine (or the
plain callback) is ours and no user's code stands below it: a rollout's own blocking code may block the
rollout's own loop.
"""

import asyncio
import faulthandler
import functools
import os
import re
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INTERVAL = 0.2
LIMIT = 1.0
_THREAD = re.compile(r"(?:Current thread|Thread) 0x([0-9a-f]+)")
_FUNCTION = re.compile(r"\s*((?:async\s+)?def)\s+(\w+)")
_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')


@dataclass(frozen=True, slots=True)
class Place:
    """A line that a thread is at."""

    file: str
    line: int
    name: str

    def __str__(self) -> str:
        return f'  File "{self.file}", line {self.line}, in {self.name}'


@dataclass(slots=True)
class _Sighting:
    """One callback of a loop, from the first look that found it on."""

    callback: object
    since: float
    cpu_since: float
    place: Place | None
    looks: int = 0
    stuck: bool = True
    told: bool = False


@dataclass(slots=True)
class LoopWatch:
    """Watches all threads of this process.

    Attributes:
        ours: folders whose code must not block.
        users: folders whose code may, because it stands for a user's.
        limit: seconds that one callback may take.
        found: one text per blocked callback, with the stack; whoever reads it empties it.
    """

    ours: tuple[Path, ...]
    users: tuple[Path, ...]
    limit: float = LIMIT
    found: list[str] = field(default_factory=list)
    _sightings: dict[int, _Sighting] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        _tell_callbacks()
        self._thread = threading.Thread(target=self._look_on, name="loop-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _look_on(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        running = _RUNNING.copy()
        for gone in self._sightings.keys() - running.keys():
            del self._sightings[gone]
        long = {
            thread_id
            for thread_id, callback in running.items()
            if (seen := self._sightings.get(thread_id)) is not None and seen.callback is callback
        }
        stacks = _stacks() if long else {}
        for thread_id, callback in running.items():
            seen = self._sightings.get(thread_id)
            if thread_id not in long or seen is None:
                self._sightings[thread_id] = _Sighting(callback, now, _cpu_seconds(thread_id), None)
                continue
            stack = stacks.get(thread_id, [])
            # It may have ended since; what was seen then is another callback's.
            if not stack or _RUNNING.get(thread_id) is not callback:
                continue
            blamed = self._blamed(stack)
            seen.stuck = seen.stuck and (seen.looks == 0 or seen.place == blamed)
            seen.place = blamed
            seen.looks += 1
            # A starved thread moves slowly and uses no CPU; a blocked one stands still or burns it. Where all
            # threads starve so does this one: it counts its looks, not the clock.
            stuck = seen.stuck and seen.looks * INTERVAL >= self.limit
            busy = _cpu_seconds(thread_id) - seen.cpu_since >= self.limit / 2
            if blamed is not None and not seen.told and now - seen.since >= self.limit and (stuck or busy):
                seen.told = True
                text = "\n".join(map(str, stack[-12:]))
                self.found.append(f"an event loop was blocked for {now - seen.since:.1f} s:\n{text}")

    def _blamed(self, stack: list[Place]) -> Place | None:
        """Our innermost place, if the callback's blocking part is ours (stack: outermost first)."""
        nearest = max((n for n, place in enumerate(stack) if _is_coroutine(place)), default=0)
        part = stack[nearest:]
        if any(_stands_in(place, self.users) for place in part):
            return None
        return next((place for place in reversed(part) if _stands_in(place, self.ours)), None)


_RUNNING: dict[int, object] = {}
"""By thread: something that is only the same while its loop runs the same callback."""


def _tell_callbacks() -> None:
    """Have every loop of asyncio say which callback it runs."""
    handle: Any = asyncio.Handle
    if hasattr(handle, "_run_untold"):
        return
    handle._run_untold = run = handle._run

    def told(self: Any) -> None:
        thread_id = threading.get_ident()
        outer = _RUNNING.get(thread_id)
        _RUNNING[thread_id] = object()
        try:
            run(self)
        finally:
            if outer is None:
                del _RUNNING[thread_id]
            else:
                _RUNNING[thread_id] = outer

    handle._run = told


def _stacks() -> dict[int, list[Place]]:
    """What each thread does in its loop's innermost callback (asyncio.Handle._run), outermost first.

    faulthandler writes all stacks in one go. A walk along the frames of a running thread cannot be trusted:
    they end, and their memory is another's, between two steps of it (seen in Python 3.11).
    """
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        text = file.read().decode("ascii", "backslashreplace")
    stacks: dict[int, list[Place]] = {}
    stack: list[Place] | None = None
    for line in text.splitlines():
        if found := _THREAD.match(line):
            thread_id, stack = int(found[1], 16), []
        elif (found := _FRAME.match(line)) and stack is not None:
            place = Place(found[1], int(found[2]), found[3])
            if place.name == "_run" and place.file.endswith("asyncio/events.py"):
                stacks[thread_id] = stack[::-1]
                stack = None
            else:
                stack.append(place)
    return stacks


def _is_coroutine(place: Place) -> bool:
    """Whether the nearest definition of that name above the place is a coroutine's."""
    above = [
        begins for line, name, begins in _functions(place.file) if line <= place.line and name == place.name
    ]
    return bool(above) and above[-1].startswith("async")


@functools.cache
def _functions(file: str) -> list[tuple[int, str, str]]:
    """Line, name and `def` or `async def` of each function that a file defines, in order."""
    try:
        lines = Path(file).read_text(errors="replace").splitlines()
    except OSError:
        return []
    found = [(number, _FUNCTION.match(line)) for number, line in enumerate(lines, 1)]
    return [(number, match[2], match[1]) for number, match in found if match is not None]


def _stands_in(place: Place, folders: tuple[Path, ...]) -> bool:
    return any(place.file.startswith(f"{folder}/") for folder in folders)


def _cpu_seconds(thread_id: int) -> float:
    """CPU time of a thread; 0 where the platform does not tell, or the thread has ended."""
    native = next((thread.native_id for thread in threading.enumerate() if thread.ident == thread_id), None)
    try:
        # A clock of the thread itself (pthread_getcpuclockid) must not be asked for once it may have ended.
        fields = Path(f"/proc/self/task/{native}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
