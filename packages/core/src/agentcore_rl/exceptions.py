"""Every error that agentcore-rl raises, as one tree.

    AgentCoreRLError
    ├── ConfigurationError          a setting, an argument or a file of yours is wrong
    │   ├── MissingDependencyError  an optional package is not installed; the text has the command
    │   ├── AppNotFound             the app file, or a rollout entrypoint in it, does not exist
    │   └── TaskFileError           a line of a task file is malformed; the text has its number
    ├── RequestRefused              the app does not take this payload (has an HTTP status)
    │   ├── InvalidRequest          400: not an object, unknown or missing fields, wrong types, bad ids
    │   ├── NotAllowed              400: a destination or an endpoint outside the deployment's fences
    │   ├── ConflictingRequest      409: the same ids came with another payload
    │   └── NotAcceptingRollouts    503: the spool cannot be written, or the app is shutting down
    ├── ModelCallRefused            a model call was refused before it was sent
    │   ├── LimitReached            max_turns or max_tokens of the rollout is used up
    │   ├── RolloutClosed           the rollout is over (deadline, or its handler has returned)
    │   └── AmbiguousRollout        no rollout in scope, and several are running
    ├── ContractError               a return value or a reward that cannot be stored as it is
    ├── StoreError
    │   ├── StoreUnavailable        the store cannot be reached or written now; retrying may help
    │   ├── RecordNotFound          there is no object at this key
    │   └── RecordUnreadable        the object is not a record of ours, or damaged
    │       └── UnknownSchema       the record was written by a newer release
    └── LauncherError               what a launcher can say, in four classes
        ├── RetryLater              not now: the same call again, later
        │   └── ServiceBusy         the service throttles, or is over a quota
        ├── SessionLost             the session is gone: start the rollout in a new session
        ├── LaunchRejected          permanent: no retry helps
        └── OutcomeUnknown          no answer in time; the start may have happened

A bad rollout is data (`Failure` in a record), a broken contract is an exception.
"""

from __future__ import annotations


class AgentCoreRLError(Exception):
    """The root of every error that agentcore-rl raises on purpose."""


class ConfigurationError(AgentCoreRLError):
    """A setting, an argument or a file of yours is wrong."""


class MissingDependencyError(ConfigurationError):
    """An optional package is not installed; the message has the command that installs it."""


class AppNotFound(ConfigurationError):
    """The app file does not exist, does not import, or holds no app with a rollout entrypoint."""


class TaskFileError(ConfigurationError):
    """A task file cannot be used; the message names the file and the line."""


class RequestRefused(AgentCoreRLError):
    """The app does not take this payload.

    Attributes:
        status: the HTTP status that /invocations answers with.
    """

    status: int = 400


class InvalidRequest(RequestRefused):
    """The payload is not an object, or its rollout fields are unknown, missing or malformed."""


class NotAllowed(RequestRefused):
    """The payload names a destination or an endpoint outside the deployment's fences."""


class ConflictingRequest(RequestRefused):
    """A rollout with the same run, task, sample and session was delivered with another payload."""

    status = 409


class NotAcceptingRollouts(RequestRefused):
    """No rollout can be accepted now: the spool cannot be written, or the app is shutting down."""

    status = 503


class ModelCallRefused(AgentCoreRLError):
    """A model call was refused before it was sent.

    Attributes:
        code: a short stable name, sent in the OpenAI-shaped error that the framework sees.
    """

    code: str = "refused"


class LimitReached(ModelCallRefused):
    """The rollout's `max_turns` or `max_tokens` is used up."""

    code = "limit_reached"


class RolloutClosed(ModelCallRefused):
    """The rollout is over: its deadline has passed, or its handler has returned."""

    code = "rollout_closed"


class AmbiguousRollout(ModelCallRefused):
    """No rollout is in scope and several are running, so the call cannot be assigned to one."""

    code = "ambiguous_rollout"


class ContractError(AgentCoreRLError):
    """A return value, or a reward, that cannot be stored as it is."""


class StoreError(AgentCoreRLError):
    """A record store or a notices channel failed."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or written now; the same call may succeed later."""


class RecordNotFound(StoreError):
    """There is no object at this key."""


class RecordUnreadable(StoreError):
    """The object is not a record of agentcore-rl, or it is damaged."""


class UnknownSchema(RecordUnreadable):
    """The record has a schema version that this release does not know."""


class LauncherError(AgentCoreRLError):
    """A launcher could not start, stop or look at a session."""


class RetryLater(LauncherError):
    """Nothing was started: the same call may succeed later.

    Attributes:
        after_s: seconds to wait if the service said so, else None.
    """

    def __init__(self, message: str, *, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class ServiceBusy(RetryLater):
    """The service itself says so, before any app hears of the call: too many calls, or sessions."""


class SessionLost(LauncherError):
    """The session died or never came up: a new attempt needs a new session."""


class LaunchRejected(LauncherError):
    """Permanent: the service or the app refused the call, and no retry helps."""


class OutcomeUnknown(LauncherError):
    """No answer came in time. The start may have happened; the same session id makes a retry safe."""
