"""AgentCore Runtime's errors, by the names and statuses of botocore's model."""

from __future__ import annotations

from enum import Enum

from agentcore_rl.exceptions import LauncherError, LaunchRejected, OutcomeUnknown, ServiceBusy, SessionLost

__all__ = ["AnswerLost", "Refused", "ServiceError"]


class ServiceError(Enum):
    """One error of the service: its name, its HTTP status, and what it is for a launcher."""

    VALIDATION = ("ValidationException", 400, LaunchRejected)
    QUOTA = ("ServiceQuotaExceededException", 402, ServiceBusy)
    DENIED = ("AccessDeniedException", 403, LaunchRejected)
    MISSING = ("ResourceNotFoundException", 404, LaunchRejected)
    CONFLICT = ("RetryableConflictException", 409, ServiceBusy)
    RUNTIME_CLIENT = ("RuntimeClientError", 424, SessionLost)
    THROTTLED = ("ThrottlingException", 429, ServiceBusy)
    INTERNAL = ("InternalServerException", 500, OutcomeUnknown)

    def __init__(self, code: str, status: int, launcher_error: type[LauncherError]) -> None:
        self.code, self.status, self.launcher_error = code, status, launcher_error


class Refused(Exception):
    """The service says no to a call.

    Args:
        error: which no.
        message: what the caller reads.
    """

    def __init__(self, error: ServiceError, message: str) -> None:
        super().__init__(message)
        self.error = error

    def as_launcher_error(self) -> LauncherError:
        """The same for who calls past HTTP."""
        return self.error.launcher_error(str(self))


class AnswerLost(Exception):
    """The app has answered, and its answer is lost on the way; a fault that was asked for."""
