"""Sessions that end by themselves."""

import asyncio
import json
import time

import pytest

from agentcore_rl.exceptions import ConfigurationError, SessionLost
from agentcore_rl.launchers import SessionStatus
from agentcore_rl.local_runtime import LocalRuntime

SESSION = "a-session-that-ends-by-itself-after-{:>03}"


async def ask(runtime, number, **payload):
    """The app's answer."""
    return json.loads((await runtime.invoke(SESSION.format(number), json.dumps(payload).encode()))[2])


async def gone_after(runtime, number):
    """Seconds until the session is gone."""
    began = time.monotonic()
    while await runtime.status(SESSION.format(number)) is not SessionStatus.GONE:
        assert time.monotonic() - began < 30
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_idle_sessions_end(light, tmp_path, gone):
    """Not while they say HealthyBusy, nor while a call waits; then the id starts a new session."""
    async with LocalRuntime(str(light), directory=tmp_path, idle_timeout_s=0.5) as runtime:
        idle, _, slow = await asyncio.gather(
            ask(runtime, 1), ask(runtime, 2, status="HealthyBusy"), ask(runtime, 3, sleep=2.0)
        )
        assert slow["deliveries"] == 1
        # The slow call alone took four timeouts.
        assert await asyncio.to_thread(gone, idle["pid"])
        assert await runtime.status(SESSION.format(2)) is SessionStatus.BUSY
        again = await ask(runtime, 1)
        assert (again["deliveries"], again["pid"] != idle["pid"]) == (1, True)
        await ask(runtime, 2, status="Healthy")
        assert await gone_after(runtime, 2) >= 0.4


async def test_the_lifetime_always_wins(light, tmp_path):
    """A session that is busy, with a call under way, ends when it is too old; its caller hears why."""
    async with LocalRuntime(str(light), directory=tmp_path, max_lifetime_s=3) as runtime:
        await ask(runtime, 1, status="HealthyBusy")
        with pytest.raises(SessionLost, match=r"reached its maximum lifetime of 3 s"):
            await ask(runtime, 1, sleep=30)
        assert (await ask(runtime, 1))["deliveries"] == 1


@pytest.mark.parametrize("name", ["idle_timeout_s", "max_lifetime_s"])
def test_a_time_that_makes_no_sense(light, tmp_path, name):
    """Zero is no limit that anybody wants."""
    with pytest.raises(ConfigurationError, match=f"{name} must be above 0 seconds"):
        LocalRuntime(str(light), directory=tmp_path, **{name: 0})
