"""Rollouts in an app that runs already, such as `python rl_app.py` on port 8080."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agentcore_rl.exceptions import ConfigurationError, LaunchRejected, OutcomeUnknown, SessionLost
from agentcore_rl.launchers import SessionStatus
from agentcore_rl.launchers.answers import immediate_answer, payload_bytes, ping_status
from agentcore_rl.limits import Limiter

__all__ = ["URLLauncher"]

_SESSION_HEADER = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
_PING_S = 10.0
_PINGS_UNTIL_GONE = 3


class URLLauncher:
    """Hands every session to one app that somebody else has started.

    The app is one process for all sessions: none is stopped alone, and what /ping says is said of all.

    Args:
        base_url: where the app serves /invocations and /ping, such as http://127.0.0.1:8080.
        limiter: its budget; share one among launchers that call the same place. None is unlimited.
        timeout_s: seconds until the app must have answered a start.

    Raises:
        ConfigurationError: `base_url` is no http(s) URL.
    """

    def __init__(self, base_url: str, *, limiter: Limiter | None = None, timeout_s: float = 60.0) -> None:
        if not re.match(r"https?://[^/]", base_url):
            raise ConfigurationError(f"An app's URL is like http://127.0.0.1:8080, not {base_url!r}.")
        self._url = base_url.rstrip("/")
        self._limiter = limiter or Limiter()
        self._timeout_s = timeout_s
        self._client: Any = None  # only wire.py may import its class
        self._unanswered = 0

    @property
    def limiter(self) -> Limiter:
        """The budget of the app; unlimited unless given."""
        return self._limiter

    def _opened(self) -> Any:
        if self._client is None:
            from agentcore_rl.recorder.wire import plain_client

            self._client = plain_client(timeout_s=self._timeout_s)
        return self._client

    async def start(self, session: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Deliver `payload` to the app as this session's; the app's immediate answer."""
        headers = {"content-type": "application/json", _SESSION_HEADER: session}
        url = f"{self._url}/invocations"
        try:
            answer = await self._opened().post(url, content=payload_bytes(payload), headers=headers)
        except LaunchRejected:
            raise
        except Exception as error:  # only wire.py may import the client's own errors
            said = str(error) or type(error).__name__
            if type(error).__name__ in {"ConnectError", "ConnectTimeout"}:
                raise SessionLost(
                    f"No app answers at {self._url} ({said}): start it, as with python rl_app.py."
                ) from error
            raise OutcomeUnknown(f"The app at {self._url} gave no answer: {said}.") from error
        return immediate_answer(answer.status_code, answer.headers, answer.content)

    async def status(self, session: str) -> SessionStatus:
        """What the app is doing; all its sessions are gone once three pings in a row go unanswered."""
        try:
            answer = await self._opened().get(f"{self._url}/ping", timeout=_PING_S)
        except Exception:  # noqa: BLE001 - only wire.py may import the client's own errors
            self._unanswered += 1
            return SessionStatus.GONE if self._unanswered >= _PINGS_UNTIL_GONE else SessionStatus.UNKNOWN
        self._unanswered = 0
        return ping_status(answer.content)

    async def stop(self, session: str) -> None:
        """Nothing: the app is not ours to stop, and a rollout in it ends by its own limits."""

    async def aclose(self) -> None:
        """Close the connections; the app goes on."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None
