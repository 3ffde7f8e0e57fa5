"""What AgentCore Runtime's errors are for a launcher: one pure function."""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import ClientError, EndpointProviderError, InvalidRegionError, ParamValidationError

from agentcore_rl.aws.faults import Fault, FaultKind, fault_of
from agentcore_rl.exceptions import (
    LauncherError,
    LaunchRejected,
    OutcomeUnknown,
    RetryLater,
    ServiceBusy,
    SessionLost,
)

__all__ = ["is_throttling", "launcher_error"]

_FROM_APP = re.compile(r"Received error \((?P<status>\d{3})\) from runtime[.:]?\s*(?P<said>.*)", re.DOTALL)
_LATER = frozenset({408, 429, 503})
_LONGEST = 1000
_NEVER_SENT = (ParamValidationError, EndpointProviderError, InvalidRegionError)
_CONFLICTS = frozenset({"RetryableConflictException", "ConflictException"})


def launcher_error(error: Exception, *, arn: str, session: str) -> LauncherError:
    """The error of a launcher that says what botocore's means, and what to do.

    The same session id is used for every repetition, so "later" is right wherever the same call may succeed,
    also where the service may have carried it out.

    Args:
        error: what a call of the data plane raised.
        arn: the runtime that was called.
        session: the session.
    """
    if isinstance(error, _NEVER_SENT):
        return LaunchRejected(f"The call of {arn} cannot be sent: {error}")
    fault = fault_of(error)
    if fault.code == "RuntimeClientError" and isinstance(error, ClientError):
        return _of_app(error, fault, session)
    said = f"{arn}: {fault.reason}"
    match fault.kind:
        case FaultKind.THROTTLED:
            return ServiceBusy(f"{said}.", after_s=fault.after_s)
        case FaultKind.CREDENTIALS | FaultKind.UNREACHABLE:
            return RetryLater(f"{said}.", after_s=fault.after_s)
        case FaultKind.BROKEN if fault.status is not None:
            return RetryLater(f"{said}.", after_s=fault.after_s)
        case FaultKind.UNANSWERED | FaultKind.BROKEN:
            return OutcomeUnknown(f"{said}; the session {session} may have started.")
        case _ if fault.code in _CONFLICTS:
            return ServiceBusy(f"{said}; another call of this session is under way.", after_s=fault.after_s)
        case FaultKind.DENIED:
            action = f"bedrock-agentcore:{fault.operation}"
            return LaunchRejected(
                f"{said}. It must allow {action} on {arn} and on its endpoint {arn}/runtime-endpoint/*."
            )
        case FaultKind.MISSING:
            return LaunchRejected(f"{said}. Is the runtime READY, and does its endpoint (qualifier) exist?")
        case _ if fault.status == 401:
            return LaunchRejected(
                f"{said}. This launcher signs with AWS credentials: a runtime with an OAuth authorizer "
                "refuses them, so deploy it without."
            )
        case _:
            return LaunchRejected(f"{said}.")


def is_throttling(error: Exception) -> bool:
    """Whether a call came too fast; what is full (402) is no matter of speed."""
    fault = fault_of(error)
    return fault.kind is FaultKind.THROTTLED and fault.status in (429, 503)


def _of_app(error: ClientError, fault: Fault, session: str) -> LauncherError:
    """424: the container answered with an error, or never came up."""
    about: dict[str, Any] = dict(error.response.get("Error", {}))
    message = str(about.get("Message", "")).strip()
    found = _FROM_APP.search(message)
    if found is None:
        return SessionLost(
            f"The session {session} failed: {message[:_LONGEST] or 'no reason given'}. "
            "The app's own words are in CloudWatch, in a log group under /aws/bedrock-agentcore/runtimes/."
        )
    status = int(found["status"])
    sentence = f"The app answered {status}: {found['said'].strip()[:_LONGEST] or 'no reason given'}"
    if status in _LATER:
        return RetryLater(sentence, after_s=fault.after_s)
    return SessionLost(sentence) if status >= 500 else LaunchRejected(sentence)
