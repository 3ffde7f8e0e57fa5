"""Sessions as processes of this machine."""

import asyncio
import os
import time

import pytest

from agentcore_rl.exceptions import AppNotFound, LaunchRejected, OutcomeUnknown, RetryLater, SessionLost
from agentcore_rl.launchers import SessionStatus
from agentcore_rl.launchers.local import LocalLauncher
from agentcore_rl.limits import Limiter, Quotas

APP = """
import asyncio, os
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

class Light(Starlette):
    handlers = {"main": None}
    def get_current_ping_status(self): ...

async def answer(request):
    asked = await request.json()
    await asyncio.sleep(asked.get("sleep", 0))
    if "exit" in asked:
        os._exit(asked["exit"])
    return JSONResponse({"pid": os.getpid(), "error": "said so"}, asked.get("status", 200))

async def ping(request):
    return JSONResponse({"status": "HealthyBusy"})

app = Light(routes=[Route("/invocations", answer, methods=["POST"]), Route("/ping", ping)])
"""
SESSION = "a-session-that-a-launcher-has-started-{}"


@pytest.fixture
def app(tmp_path):
    """An app file that imports nothing heavy."""
    (tmp_path / "light_app.py").write_text(APP)
    return str(tmp_path / "light_app.py")


async def test_the_life_of_a_session(app, tmp_path):
    """Started by its first payload, found by its id, gone after stop; closing ends what is left."""
    launcher = LocalLauncher(app, directory=tmp_path / "runtime", limiter=Limiter(Quotas(active_sessions=3)))
    assert launcher.limiter.quotas.active_sessions == 3
    one, two = SESSION.format(1), SESSION.format(2)
    assert await launcher.status(one) is SessionStatus.GONE
    await launcher.stop(one)
    first, second = await asyncio.gather(launcher.start(one, {}), launcher.start(two, {}))
    assert first["pid"] != second["pid"]
    assert await launcher.start(one, {}) == first
    assert await launcher.status(one) is SessionStatus.BUSY
    await launcher.stop(one)
    # Busy for as long as its spool is looked through.
    end = time.monotonic() + 10
    while await launcher.status(one) is SessionStatus.BUSY and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert await launcher.status(one) is SessionStatus.GONE
    await launcher.aclose()
    assert await launcher.status(two) is SessionStatus.GONE
    with pytest.raises(ProcessLookupError):
        os.kill(second["pid"], 0)


async def test_what_goes_wrong_has_its_class(app, tmp_path):
    """A refusal, a busy app, a crash, a slow answer and a bad id are told apart."""
    launcher = LocalLauncher(app, directory=tmp_path / "runtime", timeout_s=20)
    try:
        with pytest.raises(LaunchRejected, match="answered 409: said so"):
            await launcher.start(SESSION.format(1), {"status": 409})
        with pytest.raises(RetryLater, match="answered 503: said so"):
            await launcher.start(SESSION.format(1), {"status": 503})
        with pytest.raises(SessionLost, match="ended with exit status 7"):
            await launcher.start(SESSION.format(1), {"exit": 7})
        with pytest.raises(LaunchRejected, match="33 to 256 characters"):
            await launcher.start("short", {})
        with pytest.raises(LaunchRejected, match="cannot be sent as JSON"):
            await launcher.start(SESSION.format(1), {"x": float("inf")})
    finally:
        await launcher.aclose()


async def test_a_slow_answer_leaves_the_outcome_open(app, tmp_path):
    """Nobody knows whether it started; the message says where to look."""
    launcher = LocalLauncher(app, directory=tmp_path / "runtime", timeout_s=0.2)
    try:
        with pytest.raises(OutcomeUnknown, match=r"no answer within 0\.2 s; .*logs"):
            await launcher.start(SESSION.format(1), {"sleep": 30})
    finally:
        await launcher.aclose()


async def test_an_app_that_is_not_there(tmp_path):
    """A missing file is said when the launcher is made, a broken one when a session needs it."""
    with pytest.raises(AppNotFound, match="There is no app file"):
        LocalLauncher(str(tmp_path / "nowhere.py"))
    (tmp_path / "broken.py").write_text("import nowhere_at_all\n")
    launcher = LocalLauncher(str(tmp_path / "broken.py"), directory=tmp_path / "runtime")
    try:
        with pytest.raises(LaunchRejected, match="No module named 'nowhere_at_all'"):
            await launcher.start(SESSION.format(1), {})
    finally:
        await launcher.aclose()


async def test_its_quotas_and_faults(app, tmp_path):
    """What the machine refuses is to be tried later, and slows the launcher down where it was the rate."""
    limiter = Limiter(Quotas(new_sessions_per_s=50.0))
    launcher = LocalLauncher(
        app, directory=tmp_path / "runtime", mode="fork", limiter=limiter, quotas=Quotas(active_sessions=1)
    )
    try:
        await launcher.start(SESSION.format(1), {})
        with pytest.raises(RetryLater, match="maxVms limit exceeded"):
            await launcher.start(SESSION.format(2), {})
        assert limiter.new_sessions.rate == 50.0
        launcher.faults.add("throttle", count=1)
        with pytest.raises(RetryLater, match="ThrottlingException"):
            await launcher.start(SESSION.format(1), {})
        assert limiter.new_sessions.rate < 50.0
    finally:
        await launcher.aclose()
