"""What a turn is: the stored form of one model call.

Long things are stored once: messages and tool lists stand in tables of the rollout and turns refer
to them by index; a turn's prompt and its token ids name what they add to the parent turn's.
`turns.Turns` expands them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

__all__ = [
    "HTTPAttempt",
    "PromptRef",
    "Tokens",
    "ToolExecution",
    "Trajectory",
    "Transcript",
    "Turn",
    "Usage",
]


@dataclass(frozen=True, slots=True)
class HTTPAttempt:
    """One request of a turn's model call.

    Attributes:
        started_s: seconds since the rollout was accepted.
        seconds: from sending to the last byte, or to the failure.
        status: HTTP status; None when no answer came.
        error: what ended it early; None when it is whole.
        complete: the answer is whole (for a stream: `[DONE]` or a finish reason was seen).
    """

    started_s: float
    seconds: float
    status: int | None = None
    error: str | None = None
    complete: bool = False


@dataclass(frozen=True, slots=True)
class ToolExecution:
    """One tool call that the framework ran (or refused).

    Attributes:
        call_id: id of the tool call in the answer.
        name: the tool.
        arguments: what the tool was called with, after the framework's parsing; None when unknown.
        outcome: "succeeded", "failed" (the tool raised) or "unknown_tool".
        error: the exception's text; None when it succeeded.
        seconds: how long it ran; None when unknown.
        verdict: what the environment says of it (allowed, right effect); None without one.
    """

    call_id: str
    name: str
    arguments: Any = None
    outcome: str = "succeeded"
    error: str | None = None
    seconds: float | None = None
    verdict: Any = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the server reported them; None where it did not."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class PromptRef:
    """A prompt, as what it adds to its parent's.

    Attributes:
        keep: how many leading messages are those of the parent turn's prompt (0 without a parent).
        new: indexes into `Rollout.messages` of the messages behind them.
    """

    keep: int = 0
    new: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Tokens:
    """The ids of a turn, as the server gave them.

    Attributes:
        prompt_keep: how many leading ids are those of the parent turn (its prompt, then its answer).
        prompt_new: the prompt's ids behind them; None when the server gave no prompt ids.
        answer: the ids that were sampled.
        logprobs: of the sampled ids, one each, natural logarithm; None when not given or when their
            number differs from the ids'.
    """

    prompt_keep: int = 0
    prompt_new: Sequence[int] | None = None
    answer: Sequence[int] = ()
    logprobs: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One model call and the tool results that it led to, in stored form.

    Attributes:
        id: number of the turn in the rollout, in the order in which the calls began.
        parent: id of the turn whose prompt and answer this prompt extends; None for a root.
        agent: label of the agent that made the call.
        prompt: the prompt, relative to the parent's.
        answer: index of the answer's message; None when the call has no whole answer.
        tools: index into `Rollout.tools`; None when the request had none.
        model: the model id on the wire.
        sampling: every other parameter on the wire (temperature, stream, tool_choice, ...).
        asked: what the agent had asked for, where the wire differs.
        finish_reason: as the server said it.
        usage: as the server said it.
        response_id: the answer's id.
        tokens: ids and logprobs; None when the server gave none.
        policy_version: of the policy that sampled; None when unknown.
        executions: what the framework did with the answer's tool calls.
        http: the requests that it took.
        scope: "rollout", or "inferred" when the call came from outside the rollout's own threads.
        source: "wire", or "callbacks" where the transport could not carry it.
        labels: what callbacks and headers said of it.
        suspect: reasons why this turn may not be the whole truth.
        started_s: seconds since the rollout was accepted.
        seconds: from the first request to the end of the answer.
    """

    id: int
    parent: int | None
    agent: str
    prompt: PromptRef
    answer: int | None
    tools: int | None
    model: str | None
    sampling: Mapping[str, Any]
    asked: Mapping[str, Any]
    finish_reason: str | None
    usage: Usage | None
    response_id: str | None
    tokens: Tokens | None
    policy_version: int | None
    executions: Sequence[ToolExecution]
    http: Sequence[HTTPAttempt]
    scope: str
    source: str
    labels: Mapping[str, Any]
    suspect: Sequence[str]
    started_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Trajectory:
    """What one agent experienced, in order.

    Attributes:
        agent: its label.
        parent: label of the agent that called it; None for the first.
        turns: its turns.
    """

    agent: str
    parent: str | None
    turns: Sequence[Turn]


@dataclass(frozen=True, slots=True)
class Transcript:
    """Turns with the tables that they refer to.

    Attributes:
        messages: every distinct message, as raw JSON.
        tools: every distinct list of tools, as raw JSON.
        trajectories: one per agent.
    """

    messages: Sequence[msgspec.Raw]
    tools: Sequence[msgspec.Raw]
    trajectories: Sequence[Trajectory]
