"""How long a start is repeated, and what for."""

import asyncio

import pytest

from agentcore_rl.batch.submit import start_patiently
from agentcore_rl.exceptions import OutcomeUnknown, RetryLater, ServiceBusy
from agentcore_rl.limits import Limiter, Quotas


class Door:
    """A launcher's `start` that raises what it was told, one after the other, and then answers."""

    def __init__(self, *raised: Exception) -> None:
        self.limiter = Limiter(Quotas())
        self.raised = list(raised)
        self.asked: list[str] = []

    async def start(self, session, payload):
        self.asked.append(session)
        if self.raised:
            raise self.raised.pop(0)
        return {"status": "processing"}


def start(door, **patience):
    """One start, with its repetitions."""
    return asyncio.run(start_patiently(door, "session", {}, **patience))


def test_a_busy_service_is_waited_for_longer_than_an_app_that_says_later():
    """Who asks wants to read soon why an app cannot write, and still waits for its turn at a full service."""
    door = Door(*[ServiceBusy("Rate exceeded.", after_s=0.01)] * 5)
    assert start(door, patience_s=0, busy_s=10) == {"status": "processing"}
    assert door.asked == ["session"] * 6
    door = Door(RetryLater("The spool cannot be written.", after_s=0.01))
    with pytest.raises(RetryLater, match="cannot be written"):
        start(door, patience_s=0, busy_s=10)
    assert door.asked == ["session"]


def test_one_patience_is_for_both():
    """Without another, a busy service is waited for as long as an app."""
    with pytest.raises(ServiceBusy):
        start(Door(ServiceBusy("Rate exceeded.", after_s=0.01)), patience_s=0)


def test_no_answer_is_asked_for_three_times():
    """The session id is the same each time, so that nothing runs twice."""
    door = Door(*[OutcomeUnknown("No answer.")] * 3)
    with pytest.raises(OutcomeUnknown):
        start(door, patience_s=10)
    assert door.asked == ["session"] * 3
