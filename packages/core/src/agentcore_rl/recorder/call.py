"""What the recorder holds of one model call: as the wire sees it, and as callbacks tell of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentcore_rl.conversation import Placement
from agentcore_rl.recorder.calls import Answer, Ask
from agentcore_rl.turn import HTTPAttempt, Tokens, ToolExecution

__all__ = ["CONVERSE_FINISH_REASONS", "CallInProgress", "HeardCall", "Native"]

CONVERSE_FINISH_REASONS = {
    "content_filtered": "content_filter",
    "end_turn": "stop",
    "guardrail_intervened": "content_filter",
    "max_tokens": "length",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
}
"""Bedrock's stop reasons -> OpenAI's finish reasons, for calls that only callbacks see."""


@dataclass(frozen=True, slots=True)
class Native:
    """A model call as a framework has it, in OpenAI's terms.

    Attributes:
        messages: the prompt.
        tools: what it offers, as in a chat completion's `tools`.
        model: the model id.
        sampling: further parameters.
    """

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] = ()
    model: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class CallInProgress:
    """One logical model call, from its first request to the end of its answer."""

    placement: Placement
    agent: str
    tools: int | None
    ask: Ask
    labels: Mapping[str, Any]
    callback: str | None
    inferred: bool
    started: float
    suspect: list[str]
    source: str = "wire"
    http: list[HTTPAttempt] = field(default_factory=list)
    answer: Answer | None = None
    answer_index: int | None = None
    tokens: Tokens | None = None
    ended: float | None = None
    executions: list[ToolExecution] = field(default_factory=list)


@dataclass(slots=True)
class HeardCall:
    """One model call as the framework's callbacks tell of it, from its beginning on."""

    key: str
    agent: str
    parent: str | None
    labels: dict[str, Any]
    outer: str | None
    prompt: Callable[[], Native] | None = None
    started: float = field(default_factory=time.monotonic)
    form: int | None = None
    silent: bool = False
    refused: bool = False
    ended: bool = False
