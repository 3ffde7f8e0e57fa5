"""An app that somebody else has started."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from agentcore_rl.exceptions import (
    ConfigurationError,
    LaunchRejected,
    OutcomeUnknown,
    RetryLater,
    SessionLost,
)
from agentcore_rl.launchers import SessionStatus
from agentcore_rl.launchers.url import URLLauncher
from agentcore_rl.limits import Limiter, Quotas

SESSION = "a-session-of-an-app-that-runs-somewhere"


async def _answer(request):
    asked = await request.json()
    await asyncio.sleep(asked.get("sleep", 0))
    session = request.headers["x-amzn-bedrock-agentcore-runtime-session-id"]
    headers = {"retry-after": "4", "location": "http://127.0.0.1:1/"}
    return JSONResponse({"session": session, "error": "said so"}, asked.get("status", 200), headers)


class _App:
    """A running app whose /ping says what it is told to."""

    def __init__(self) -> None:
        self.ping: object = {"status": "Healthy"}
        routes = [Route("/invocations", _answer, methods=["POST"]), Route("/ping", self._ping)]
        self._server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_config=None, ws="none"))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=lambda: self._server.run(sockets=[self._listener]))
        self._thread.start()

    async def _ping(self, request):
        return JSONResponse(self.ping)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def app() -> Iterator[_App]:
    """An app on a port of its own."""
    app = _App()
    yield app
    app.stop()


async def test_a_start_is_a_post_with_the_session(app):
    """The app's answer comes back; stopping a session leaves the app alone."""
    launcher = URLLauncher(f"{app.url}/", limiter=Limiter(Quotas(active_sessions=5)))
    assert launcher.limiter.quotas.active_sessions == 5
    assert (await launcher.start(SESSION, {"prompt": "2 + 2"}))["session"] == SESSION
    await launcher.stop(SESSION)
    assert (await launcher.start(SESSION, {}))["session"] == SESSION
    await launcher.aclose()


async def test_refusals_have_their_class(app):
    """Statuses of the app, with its sentence; a redirect is not followed."""
    launcher = URLLauncher(app.url)
    for status, kind in ((400, LaunchRejected), (307, LaunchRejected), (500, SessionLost)):
        with pytest.raises(kind, match=f"answered {status}: said so"):
            await launcher.start(SESSION, {"status": status})
    with pytest.raises(RetryLater) as raised:
        await launcher.start(SESSION, {"status": 503})
    assert raised.value.after_s == 4.0
    with pytest.raises(LaunchRejected, match="cannot be sent as JSON"):
        await launcher.start(SESSION, {"x": float("nan")})
    await launcher.aclose()


async def test_no_answer_in_time(app):
    """The start may have happened: the outcome is unknown."""
    launcher = URLLauncher(app.url, timeout_s=0.2)
    with pytest.raises(OutcomeUnknown, match="gave no answer"):
        await launcher.start(SESSION, {"sleep": 1})
    await launcher.aclose()


async def test_status_is_what_the_app_says(app):
    """Busy and idle by /ping; an answer that is no ping leaves it open."""
    launcher = URLLauncher(app.url)
    assert await launcher.status(SESSION) is SessionStatus.IDLE
    app.ping = {"status": "HealthyBusy"}
    assert await launcher.status(SESSION) is SessionStatus.BUSY
    for odd in ({"status": "Tired"}, [], {"status": []}):
        app.ping = odd
        assert await launcher.status(SESSION) is SessionStatus.UNKNOWN
    await launcher.aclose()


async def test_an_app_that_is_not_there():
    """A start says what to type; sessions count as gone after three pings without an answer."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    launcher = URLLauncher(url)
    with pytest.raises(
        SessionLost, match=rf"No app answers at {url} .*: start it, as with python rl_app\.py"
    ):
        await launcher.start(SESSION, {})
    seen = [await launcher.status(SESSION) for _ in range(3)]
    assert seen == [SessionStatus.UNKNOWN, SessionStatus.UNKNOWN, SessionStatus.GONE]
    await launcher.aclose()
    with pytest.raises(ConfigurationError, match="not 'localhost:8080'"):
        URLLauncher("localhost:8080")
