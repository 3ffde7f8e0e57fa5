"""What every launcher says to an app, and how it takes the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agentcore_rl.exceptions import LaunchRejected, RetryLater, SessionLost
from agentcore_rl.launchers import SessionStatus

__all__ = ["error_sentence", "immediate_answer", "payload_bytes", "ping_status"]

_LONGEST = 1000
_STATUS = {"HealthyBusy": SessionStatus.BUSY, "Healthy": SessionStatus.IDLE}


def payload_bytes(payload: Mapping[str, Any]) -> bytes:
    """The payload as JSON.

    Raises:
        LaunchRejected: it has something that JSON has not, such as NaN.
    """
    try:
        return json.dumps(payload, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise LaunchRejected(f"The payload cannot be sent as JSON: {error}.") from error


def error_sentence(content: bytes) -> str:
    """What an error's body says: its `error`, `message` or `detail`, else its text."""
    text = content.decode("utf-8", "replace").strip()
    try:
        said: Any = json.loads(text)
    except ValueError:
        said = text
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    return (said if isinstance(said, str) else text)[:_LONGEST] or "no reason given"


def immediate_answer(status: int, headers: Mapping[str, str], content: bytes) -> Mapping[str, Any]:
    """The JSON object with which the app accepts a rollout.

    Args:
        status: HTTP status of the answer.
        headers: its header fields, names in lower case.
        content: its body.

    Raises:
        RetryLater: 408, 429 and 503, with the seconds of Retry-After.
        SessionLost: any other 5xx.
        LaunchRejected: any other status, and an answer that is no JSON object.
    """
    if status >= 300:
        said = f"The app answered {status}: {error_sentence(content)}"
        if status in {408, 429, 503}:
            after = headers.get("retry-after", "")
            raise RetryLater(said, after_s=float(after) if after.isdigit() else None)
        raise SessionLost(said) if status >= 500 else LaunchRejected(said)
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise LaunchRejected(
            "The app answered a rollout with something else than a JSON object; "
            "its entrypoint must be registered with @app.rollout_entrypoint."
        )
    return answer


def ping_status(content: bytes) -> SessionStatus:
    """What the body of an answer to /ping says; unknown when it says nothing of the kind."""
    try:
        return _STATUS[json.loads(content)["status"]]
    except (ValueError, LookupError, TypeError):
        return SessionStatus.UNKNOWN
