"""A rollout of a real CrewAI agent against a scripted model."""

import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

import agentcore_rl_crewai
from played import play, serving, store

__all__ = ["play", "serving", "store"]

with warnings.catch_warnings():  # what CrewAI and what it imports say of themselves
    warnings.simplefilter("ignore")
    from crewai.events.base_events import BaseEvent
    from crewai.events.event_bus import crewai_event_bus

# CrewAI 1.15 reads fields that it has deprecated.
_THEIRS = ("ignore::DeprecationWarning:crewai",)
_EVENT_BUS_THREADS = 10


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Their warnings are no errors here."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for warning in _THEIRS:
                item.add_marker(pytest.mark.filterwarnings(warning))


class Warm(BaseEvent):
    type: str = "warm"


@pytest.fixture(scope="session", autouse=True)
def _event_bus() -> None:
    """Starts the threads that CrewAI's event bus keeps, so that no test is said to have left them."""
    together = threading.Barrier(_EVENT_BUS_THREADS)

    @crewai_event_bus.on(Warm)
    def wait(source: Any, event: Warm) -> None:
        together.wait(10)

    for _ in range(_EVENT_BUS_THREADS):
        crewai_event_bus.emit(None, Warm())
    crewai_event_bus.flush()
    crewai_event_bus.off(Warm, wait)


@pytest.fixture
def adapter() -> Any:
    """Whose agents are played."""
    return agentcore_rl_crewai.adapter
