"""Finds code of ours that blocks an event loop.

A thread looks a few times per second at every thread's stack. A loop that runs one callback for longer than a
second is blocked. It counts against a test when the nearest coroutine (or the plain callback) is ours and no
user's code stands below it: a rollout's own blocking code may block the rollout's own loop.
"""

import gc
import inspect
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

INTERVAL = 0.2
LIMIT = 1.0
_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


@dataclass(slots=True)
class _Sighting:
    """One callback of a loop, from the first look that found it on."""

    callback: FrameType
    since: float
    cpu_since: float
    place: tuple[int, int] | None
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
        frames = _frames()
        for gone in self._sightings.keys() - frames.keys():
            del self._sightings[gone]
        for thread_id, frame in frames.items():
            stack = _callback_stack(frame)
            if not stack:
                self._sightings.pop(thread_id, None)
                continue
            blamed = self._blamed(stack[1:])
            place = (id(blamed), blamed.f_lasti) if blamed is not None else None
            seen = self._sightings.get(thread_id)
            # The frame is held, so its identity cannot be taken by a later callback.
            if seen is None or seen.callback is not stack[0]:
                self._sightings[thread_id] = _Sighting(stack[0], now, _cpu_seconds(thread_id), place)
                continue
            seen.stuck = seen.stuck and seen.place == place
            seen.looks += 1
            # A starved thread moves slowly and uses no CPU; a blocked one stands still or burns it. Where all
            # threads starve so does this one: it counts its looks, not the clock.
            stuck = seen.stuck and seen.looks * INTERVAL >= self.limit
            busy = _cpu_seconds(thread_id) - seen.cpu_since >= self.limit / 2
            if blamed is not None and not seen.told and now - seen.since >= self.limit and (stuck or busy):
                seen.told = True
                text = "".join(traceback.format_stack(frame)[-12:])
                self.found.append(f"an event loop was blocked for {now - seen.since:.1f} s:\n{text}")

    def _blamed(self, stack: list[FrameType]) -> FrameType | None:
        """Our innermost frame, if the callback's blocking part is ours (stack: outermost first)."""
        nearest = max((n for n, frame in enumerate(stack) if frame.f_code.co_flags & _COROUTINE), default=0)
        part = stack[nearest:]
        if any(_stands_in(frame, self.users) for frame in part):
            return None
        return next((frame for frame in reversed(part) if _stands_in(frame, self.ours)), None)


def _frames() -> dict[int, FrameType]:
    """Each thread's frame, by its id.

    In Python 3.11 a garbage collection in the middle can stop the whole process (CPython issue 106883).
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        if collects:
            gc.enable()


def _callback_stack(frame: FrameType | None) -> list[FrameType]:
    """The frames from a loop's innermost running callback (asyncio.Handle._run) on, outermost first."""
    stack: list[FrameType] = []
    while frame is not None:
        stack.append(frame)
        code = frame.f_code
        if code.co_name == "_run" and code.co_filename.endswith(("asyncio/events.py", "asyncio\\events.py")):
            return stack[::-1]
        frame = frame.f_back
    return []


def _stands_in(frame: FrameType, folders: tuple[Path, ...]) -> bool:
    return any(frame.f_code.co_filename.startswith(f"{folder}/") for folder in folders)


def _cpu_seconds(thread_id: int) -> float:
    """CPU time of a thread; 0 where the platform does not tell."""
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(thread_id))
    except (AttributeError, OSError):
        return 0.0
