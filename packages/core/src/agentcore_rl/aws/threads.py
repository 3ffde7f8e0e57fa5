"""Threads for blocking calls that may hang: given up on, replaced, and never waited for."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ["CallThreads"]

T = TypeVar("T")
_CLOSED = "The launcher is closed; make a new one."


class CallThreads:
    """Makes blocking calls in at most `most` threads, which begin when they are needed.

    A thread whose caller was cancelled counts no more: another may begin in its place, so that calls that
    hang hold up no others. Unlike those of `ThreadPoolExecutor` the threads do not keep the interpreter from
    ending.

    Args:
        most: calls at once.
        name: of the threads.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._changed = threading.Condition()
        self._calls: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._idle = self._alive = self._given_up = 0
        self._closed = False

    @property
    def alive(self) -> int:
        """Threads there are now, those that hang among them."""
        return self._alive

    async def call(self, function: Callable[[], T]) -> T:
        """What a blocking call returns; a cancellation leaves it to itself.

        Raises:
            RuntimeError: the threads are closed.
        """
        return await asyncio.wrap_future(self._submit(function))

    def _submit(self, function: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError(_CLOSED)
            self._calls.append((future, function))
            self._enough_threads()
        return future

    def _enough_threads(self) -> None:
        """Wake a thread for a call that waits, or begin one. The lock is held."""
        if self._idle >= len(self._calls):
            self._changed.notify()
        elif self._alive - self._given_up < self._most:
            self._alive += 1
            threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._calls and not self._closed:
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                # One that was given up on has a successor, so it ends.
                if not self._calls or self._alive - self._given_up > self._most:
                    self._alive -= 1
                    return
                future, function = self._calls.popleft()
            if future.cancelled():
                continue
            call = _Call(future, self)
            future.add_done_callback(call.ended)
            call.run(function)

    def give_up(self) -> None:
        """A call that runs has nobody any more who waits for it."""
        with self._changed:
            self._given_up += 1
            if self._calls and not self._idle:
                self._enough_threads()

    def came_back(self) -> None:
        """A call that was given up on has ended."""
        with self._changed:
            self._given_up -= 1

    def close(self) -> None:
        """Begin no further call; threads end with the call that they make."""
        with self._changed:
            self._closed = True
            calls = list(self._calls)
            self._calls.clear()
            self._changed.notify_all()
        for future, _ in calls:
            if future.set_running_or_notify_cancel():
                future.set_exception(RuntimeError(_CLOSED))


class _Call:
    """One call in its thread. Its future may be cancelled meanwhile: it is left as pending for that."""

    def __init__(self, future: Future[Any], threads: CallThreads) -> None:
        self._future, self._threads = future, threads
        self._lock = threading.Lock()
        self._running, self._given_up = True, False

    def ended(self, future: Future[Any]) -> None:
        with self._lock:
            self._given_up = given_up = self._running and future.cancelled()
        if given_up:
            self._threads.give_up()

    def run(self, function: Callable[[], Any]) -> None:
        answer, failure = None, None
        try:
            answer = function()
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            failure = error
        with self._lock:
            self._running = False
            given_up = self._given_up
        if given_up:
            self._threads.came_back()
        elif self._future.set_running_or_notify_cancel():
            if failure is None:
                self._future.set_result(answer)
            else:
                self._future.set_exception(failure)
