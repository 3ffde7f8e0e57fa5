"""The control route of a model gateway, as a batch uses it: a key per attempt, and what it has seen."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from agentcore_rl.batch.flight import Attempt, Pace
from agentcore_rl.batch.terms import Terms
from agentcore_rl.batch.threads import Threads
from agentcore_rl.endpoint import Secret
from agentcore_rl.exceptions import LauncherError, LaunchRejected, RetryLater
from agentcore_rl.logs import logger_of
from agentcore_rl.rollout import Rollout
from agentcore_rl.witness import rollout_digest

__all__ = ["GatewayControl", "Keys"]

_log = logger_of(__name__)
_SLACK_S = 600.0
_LONGEST_S = 28_800.0


class GatewayControl:
    """Issues a key for each attempt, and ends it when the attempt has ended.

    A key can be used by its attempt alone, until the attempt ends or its time is over, for the one model and
    with the sampling that the batch was given. Use it with `async with`, or close it.

    Args:
        base_url: of the gateway, with its version path, such as http://127.0.0.1:8000/v1.
        admin_key: of its control route.
        timeout_s: of one request.
    """

    def __init__(self, base_url: str, admin_key: Secret, *, timeout_s: float = 30.0) -> None:
        self.base_url = base_url.rstrip("/")
        self._root = self.base_url.removesuffix("/v1") + "/control"
        self._headers = {"authorization": f"Bearer {admin_key.reveal()}"}
        self._timeout_s = timeout_s
        self._client: Any = None  # only wire.py may import its class

    async def __aenter__(self) -> GatewayControl:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; keys stay as they are."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def issue(
        self, session: str, *, deadline_s: float | None, model: str, sampling: Mapping[str, Any]
    ) -> Secret:
        """A key for an attempt; one that the session had before ends.

        Args:
            session: the attempt's.
            deadline_s: of its rollout; None: it may take eight hours.
            model: the only one that it may use; empty for any.
            sampling: parameters that win over the agent's.

        Raises:
            RetryLater: the gateway cannot be reached, or is not well.
            LaunchRejected: it refuses.
        """
        body = {
            "session": session,
            "ttl_s": (deadline_s or _LONGEST_S) + _SLACK_S,
            "model": model or None,
            "sampling": dict(sampling),
        }
        status, answer = await self._ask("POST", "/sessions", body)
        if status == 409:
            await self._ask("DELETE", f"/sessions/{session}")
            status, answer = await self._ask("POST", "/sessions", body)
        if status != 201 or not isinstance(answer.get("key"), str):
            raise LaunchRejected(f"The gateway at {self.base_url} issues no key ({status}): {_said(answer)}")
        return Secret(answer["key"])

    async def check(self) -> None:
        """See that it is there and takes the key.

        Raises:
            RetryLater: it cannot be reached, or is not well.
            LaunchRejected: it refuses the key, or is no gateway.
        """
        status, answer = await self._ask("GET", "/policy")
        if status == 404:
            raise LaunchRejected(f"There is no gateway at {self.base_url}.")
        if status != 200:
            raise LaunchRejected(f"The gateway at {self.base_url} refuses ({status}): {_said(answer)}")

    async def end(self, session: str) -> Mapping[str, Any] | None:
        """End an attempt's key; what the gateway has seen of it. None when it knows of no such key.

        Raises:
            RetryLater: the gateway cannot be reached, or is not well.
        """
        status, answer = await self._ask("DELETE", f"/sessions/{session}")
        return answer if status == 200 else None

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        if self._client is None:
            from agentcore_rl.recorder.wire import plain_client

            self._client = plain_client(timeout_s=self._timeout_s)
        content = None if body is None else json.dumps(body).encode()
        url = f"{self._root}{path}"
        try:
            answer = await self._client.request(method, url, content=content, headers=self._headers)
        except Exception as error:  # only wire.py may import the client's own errors
            said = str(error) or type(error).__name__
            raise RetryLater(f"The gateway at {self.base_url} cannot be reached ({said}).") from error
        try:
            found = json.loads(answer.content) if answer.content else {}
        except ValueError:
            found = {}
        found = found if isinstance(found, dict) else {}
        if answer.status_code in (429, 503) or answer.status_code >= 500:
            raise RetryLater(
                f"The gateway at {self.base_url} is not well ({answer.status_code}): {_said(found)}"
            )
        return answer.status_code, found


class Keys:
    """The keys of a batch's attempts; without a gateway there are none, and nothing is done.

    Args:
        gateway: what issues them.
        terms: of the run.
        pace: for how long a gateway that is away is asked again.
        threads: where a record's digest is computed.
    """

    def __init__(self, gateway: GatewayControl | None, terms: Terms, pace: Pace, threads: Threads) -> None:
        self._gateway, self._terms, self._pace, self._threads = gateway, terms, pace, threads

    async def issue(self, attempt: Attempt) -> Secret | None:
        """The key with which this attempt may call the model; None: the endpoint's own.

        Raises:
            LauncherError: as `GatewayControl.issue`.
        """
        endpoint = self._terms.endpoint
        if self._gateway is None or endpoint is None:
            return None
        attempt.keyed = True
        until, wait_s = time.monotonic() + self._pace.start_s, 0.25
        while True:
            try:
                return await self._gateway.issue(
                    attempt.session,
                    deadline_s=self._terms.limits.deadline_s,
                    model=endpoint.model,
                    sampling=endpoint.sampling,
                )
            except RetryLater:
                wait_s = min(wait_s * 2, 15.0)
                if time.monotonic() + wait_s > until:
                    raise
            await asyncio.sleep(wait_s)

    async def end(self, attempt: Attempt, rollout: Rollout | None) -> bool | None:
        """End an attempt's key; whether the gateway has seen what its record holds (None: not told)."""
        if self._gateway is None or not attempt.keyed:
            return None
        attempt.keyed = False
        try:
            seen = await self._gateway.end(attempt.session)
        except LauncherError as error:
            _log.warning("The key of %s could not be ended: %s", attempt.ids.rollout_id, error)
            return None
        if seen is None or rollout is None:
            return None
        same = seen.get("digest") == await self._threads.call(lambda: rollout_digest(rollout))
        if not same:
            _log.warning("%s: the gateway has seen other answers than the record.", attempt.ids.key)
        return same


def _said(answer: Mapping[str, Any]) -> str:
    error = answer.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) else "it gives no reason."
