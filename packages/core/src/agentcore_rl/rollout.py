"""What a rollout is: the request that starts it, and the record that it leaves.

The record's classes are its stored form (`codec` writes and reads them), frozen and slotted. Its
turns are in `turn`, their full histories in `turns`; all of it can be imported from here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.reward import Reward
from agentcore_rl.turn import (
    HTTPAttempt,
    PromptRef,
    Tokens,
    ToolExecution,
    Trajectory,
    Transcript,
    Turn,
    Usage,
)
from agentcore_rl.turns import ExpandedTurn, Turns

__all__ = [
    "Crosscheck",
    "Destination",
    "ExpandedTurn",
    "Failure",
    "FailureKind",
    "HTTPAttempt",
    "Limits",
    "PromptRef",
    "Rollout",
    "RolloutRequest",
    "Status",
    "StopReason",
    "Timings",
    "Tokens",
    "ToolExecution",
    "Trajectory",
    "Transcript",
    "Turn",
    "Turns",
    "Usage",
    "derive_session",
]


class Status(StrEnum):
    """Where a rollout stands; the last two are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class StopReason(StrEnum):
    """Why a rollout ended."""

    FINISHED = "finished"
    TURN_LIMIT = "turn limit"
    TOKEN_LIMIT = "token limit"
    TIME_LIMIT = "time limit"
    STOPPED = "stopped"


class FailureKind(StrEnum):
    """The boundary at which a rollout broke."""

    AGENT = "agent"
    REWARD = "reward"
    MODEL = "model"
    TOOL = "tool"
    ENVIRONMENT = "environment"
    CONTRACT = "contract"
    SINK = "sink"
    RUNTIME = "runtime"
    TIMEOUT = "timeout"

    @property
    def infrastructure(self) -> bool:
        """Nobody's policy or code is to blame for this kind as such: a new attempt is worth making.

        `model` counts only when the endpoint gave no answer after the transport's retries, which
        the recorder decides: `Failure.retryable` is the authority.
        """
        return self in (FailureKind.RUNTIME, FailureKind.SINK, FailureKind.ENVIRONMENT)


@dataclass(frozen=True, slots=True)
class Failure:
    """What broke.

    Attributes:
        kind: the boundary.
        message: one or more sentences: what went wrong, why, what to do.
        type: name of the exception's class; None where none was raised.
        traceback: the exception's traceback as text; None where none was raised.
        retryable: an infrastructure failure, so that a new attempt is worth making.
    """

    kind: FailureKind
    message: str
    type: str | None = None
    traceback: str | None = None
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a record goes, as the request asks; None is the deployment's own.

    Attributes:
        bucket: name of the bucket (with a directory store: of a folder in it).
        prefix: put before the record's key.
        queue: where the notice goes.
    """

    bucket: str | None = None
    prefix: str = ""
    queue: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a rollout may use; None is no limit.

    Attributes:
        deadline_s: seconds from acceptance to the handler's end.
        max_turns: model calls.
        max_tokens: tokens sampled over all turns.
    """

    deadline_s: float | None = None
    max_turns: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class RolloutRequest:
    """One attempt at one rollout, as asked for and checked.

    Attributes:
        run, task, sample, attempt, session: its ids (see the glossary).
        input_id: the id in the record's key: `{task}.{sample}`, or the caller's own.
        endpoint: the model endpoint to use; None when neither the request nor the deployment names one.
        destination: where the record goes.
        limits: what it may use.
        policy_version: version of the policy behind the endpoint at the start; None when unknown.
        stream: what the request says of streaming; None leaves it to the agent.
        payload: the payload without `_rollout` (and without secrets in `_training`).
    """

    run: str
    task: str
    sample: int
    session: str
    input_id: str
    endpoint: Endpoint | None
    attempt: int = 0
    destination: Destination = Destination()
    limits: Limits = Limits()
    policy_version: int | None = None
    stream: bool | None = None
    # A payload may hold keys that the handler needs.
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def key(self) -> str:
        """The record's key in its store."""
        return f"{self.destination.prefix}{self.run}/{self.input_id}/{self.session}.json"


def derive_session(run: str, task: str, sample: int, attempt: int) -> str:
    """The session id of an attempt: the same for the same ids, 33-100 characters of [A-Za-z0-9-_].

    It starts with readable parts and ends with a digest of the exact ids.
    """
    digest = hashlib.sha256("\0".join((run, task, str(sample), str(attempt))).encode()).hexdigest()[:24]

    def readable(text: str) -> str:
        return re.sub(r"[^A-Za-z0-9_-]", "-", text)[:24]

    return f"{readable(run)}-{readable(task)}-{sample}-{attempt}-{digest}".rjust(33, "s")


@dataclass(frozen=True, slots=True)
class Crosscheck:
    """How the two witnesses agree: turns on the wire against calls that callbacks saw.

    Attributes:
        matched: seen by both, same answer.
        wire_only: on the wire, unseen by callbacks (a hidden call).
        callback_only: seen by callbacks, not on the wire (it went around the transport).
        differing: seen by both, other answer.
        collected: whether a collector was attached at all; without one the other counts mean nothing.
    """

    matched: int = 0
    wire_only: int = 0
    callback_only: int = 0
    differing: int = 0
    collected: bool = False


@dataclass(frozen=True, slots=True)
class Timings:
    """When and how long.

    Attributes:
        accepted_at: wall clock, seconds since the epoch (UTC).
        handler_s: seconds in the agent's handler.
        reward_s: seconds in the reward function; None when it was not called.
        total_s: from acceptance until the record was made.
    """

    accepted_at: float
    handler_s: float
    reward_s: float | None
    total_s: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """The record of one attempt at a rollout.

    Attributes:
        run, task, sample, attempt, session: its ids.
        input_id: the id in the record's key.
        status: succeeded or failed.
        stop_reason: why it ended.
        failure: what broke; None when it succeeded.
        messages: table of every distinct message, as raw JSON (`message(i)` decodes one).
        tools: table of every distinct list of tools, as raw JSON.
        trajectories: one per agent.
        reward: the judgement; None when not judged.
        output: what the handler returned; None when it raised.
        suspect: reasons why the turns may not be the whole truth; trainers mask such rollouts.
        usage: sums over the turns that reported; None where none did.
        timings: when and how long.
        model: the model id of the endpoint.
        policy_versions: first and last that sampled; empty when unknown.
        software: versions of what made it, by package.
        crosscheck: wire against callbacks.
        counts: further numbers (`refused_calls`, ...).
        trace_id: of the current OpenTelemetry trace; None without one.
        payload: the payload that the handler got, secrets replaced by ***.
    """

    run: str
    task: str
    sample: int
    attempt: int
    session: str
    input_id: str
    status: Status
    stop_reason: StopReason
    failure: Failure | None
    messages: Sequence[msgspec.Raw]
    tools: Sequence[msgspec.Raw]
    trajectories: Sequence[Trajectory]
    reward: Reward | None
    output: Any
    suspect: Sequence[str]
    usage: Usage
    timings: Timings
    model: str | None
    policy_versions: Sequence[int]
    software: Mapping[str, str]
    crosscheck: Crosscheck
    counts: Mapping[str, int]
    trace_id: str | None
    payload: Any

    @property
    def turns(self) -> Turns:
        """All turns in the order in which their calls began, expanded on access."""
        return Turns(self)

    def _repr_html_(self) -> str:
        """What notebooks show."""
        from agentcore_rl.read.notebook import rollout_html

        return rollout_html(self)

    def _repr_markdown_(self) -> str:
        """What notebooks show where they do not show HTML."""
        from agentcore_rl.read.notebook import rollout_markdown

        return rollout_markdown(self)
