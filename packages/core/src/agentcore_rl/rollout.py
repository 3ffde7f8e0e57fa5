"""What a rollout is: the request that starts it, and the record that it leaves.

The classes here are the record's stored form (`codec` writes and reads them), frozen and slotted.
Long things are stored once: messages and tool lists stand in tables of the rollout and turns refer
to them by index; a turn's prompt and its token ids name the parent turn and what was added.
`Rollout.turns` expands them on access.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, overload

import msgspec

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.reward import Reward

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


@dataclass(frozen=True, slots=True)
class ExpandedTurn:
    """A turn with its full history. Every access expands anew; keep what you need.

    Attributes:
        stored: the turn as it is stored.
    """

    stored: Turn
    _turns: Turns = field(repr=False, compare=False)

    @property
    def prompt(self) -> list[dict[str, Any]]:
        """Every message of the prompt, as sent."""
        return [self._turns.message(index) for index in self._turns.prompt_indexes(self.stored)]

    @property
    def answer(self) -> dict[str, Any] | None:
        """The answer's message, as the server said it; None when the call has no whole answer."""
        index = self.stored.answer
        return None if index is None else self._turns.message(index)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The prompt, then the answer if there is one."""
        answer = self.answer
        return self.prompt if answer is None else [*self.prompt, answer]

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools that the request offered, as sent."""
        index = self.stored.tools
        return [] if index is None else self._turns.tool_list(index)

    @property
    def prompt_ids(self) -> list[int] | None:
        """All token ids of the prompt; None when the server gave none."""
        return self._turns.prompt_ids(self.stored)

    @property
    def answer_ids(self) -> list[int] | None:
        """The ids that were sampled; None when the server gave none."""
        return None if self.stored.tokens is None else list(self.stored.tokens.answer)

    def to_dict(self) -> dict[str, Any]:
        """This turn as the seed's `rollout_data` has it: full OpenAI-style history and answer."""
        request: dict[str, Any] = {"messages": self.messages}
        if self.stored.tools is not None:
            request["tools"] = self.tools
        return {"turn_id": self.stored.id, "agent": self.stored.agent, "formatted_request": request}


class Turns(Sequence[ExpandedTurn]):
    """The turns of a rollout (or of a transcript), expanded on access."""

    __slots__ = ("_by_id", "_order", "_source")

    def __init__(self, source: Rollout | Transcript) -> None:
        self._source = source
        self._order = sorted(
            (turn for path in source.trajectories for turn in path.turns), key=lambda t: t.id
        )
        self._by_id = {turn.id: turn for turn in self._order}

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> ExpandedTurn: ...
    @overload
    def __getitem__(self, index: slice) -> list[ExpandedTurn]: ...
    def __getitem__(self, index: int | slice) -> ExpandedTurn | list[ExpandedTurn]:
        if isinstance(index, slice):
            return [ExpandedTurn(turn, self) for turn in self._order[index]]
        return ExpandedTurn(self._order[index], self)

    def message(self, index: int) -> dict[str, Any]:
        """One message of the table, decoded."""
        decoded: dict[str, Any] = msgspec.json.decode(self._source.messages[index])
        return decoded

    def tool_list(self, index: int) -> list[dict[str, Any]]:
        """One list of tools of the table, decoded."""
        decoded: list[dict[str, Any]] = msgspec.json.decode(self._source.tools[index])
        return decoded

    def _lineage(self, turn: Turn) -> list[Turn]:
        """The turn and its ancestors, root first."""
        line = [turn]
        while turn.parent is not None:
            turn = self._by_id[turn.parent]
            line.append(turn)
        return line[::-1]

    def prompt_indexes(self, turn: Turn) -> list[int]:
        """Indexes into `Rollout.messages` of the whole prompt of `turn`."""
        indexes: list[int] = []
        for ancestor in self._lineage(turn):
            del indexes[ancestor.prompt.keep :]
            indexes.extend(ancestor.prompt.new)
        return indexes

    def prompt_ids(self, turn: Turn) -> list[int] | None:
        """All token ids of the prompt of `turn`; None when the server gave none."""
        if turn.tokens is None or turn.tokens.prompt_new is None:
            return None
        full: list[int] = []
        for ancestor in self._lineage(turn):
            tokens = ancestor.tokens
            if tokens is None or tokens.prompt_new is None:
                full = []
                continue
            del full[tokens.prompt_keep :]
            full.extend(tokens.prompt_new)
            if ancestor is not turn:
                full.extend(tokens.answer)
        return full
