"""Shows a batch on a terminal while it runs, from a thread of its own: the batch waits for none of it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from agentcore_rl.cli.live_figures import LiveFigures
from agentcore_rl.cli.screen import Screen
from agentcore_rl.codec import decode_record
from agentcore_rl.exceptions import AgentCoreRLError
from agentcore_rl.logs import logger_of
from agentcore_rl.outcome import Progress, RolloutOutcome
from agentcore_rl.stores.places import open_store

__all__ = ["LiveView"]

logger = logger_of(__name__)

_EVERY_S = 0.25
_RECORDS = 8  # read between two drawings: the rest is read later, and all of them are counted


class LiveView:
    """The view of one batch, as a context manager.

    Args:
        label: what the batch is called.
        store: location of its record store.
        progress: where it stands; must be cheap, and may be called from any thread.
        screen: what to draw on; it is closed at the end.
    """

    def __init__(
        self, label: str, store: str, progress: Callable[[], Progress], screen: Screen | None = None
    ) -> None:
        self._store = store
        self._progress = progress
        self._screen = screen or Screen()
        self._figures = LiveFigures(label, time.monotonic())
        self._heard: deque[RolloutOutcome] = deque()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, name="agentcore-rl live view", daemon=True)

    def __enter__(self) -> LiveView:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()
        self._screen.close()

    def hear(self, outcome: RolloutOutcome) -> None:
        """Tell it of an outcome; returns at once."""
        self._heard.append(outcome)

    def _show(self) -> None:
        try:
            store = open_store(self._store)
            while not self._over.is_set():
                for _ in range(min(_RECORDS, len(self._heard))):
                    outcome = self._heard.popleft()
                    self._figures.hear(outcome)
                    if outcome.location is not None and not self._over.is_set():
                        with suppress(AgentCoreRLError):  # a view is no place to fail: `show` will say it
                            self._figures.read(decode_record(store.get(outcome.request.key)))
                self._screen.draw(list(self._figures.lines(self._progress())))
                self._over.wait(_EVERY_S)
        except Exception:
            # The batch goes on without its view.
            self._screen.close()
            logger.warning(
                "The live view has ended; the run goes on. --plain runs without one.",
                exc_info=logger.isEnabledFor(logging.DEBUG),
            )
