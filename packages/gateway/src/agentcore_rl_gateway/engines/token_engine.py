"""Engines that take token ids and give token ids: what they are asked, and what they say. No I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentcore_rl_gateway.chat import Ask
from agentcore_rl_gateway.refusals import CallRefused, unsupported

__all__ = ["Piece", "Terms", "TokenEngine", "read_terms"]

# Carried by clients, of no meaning to what is sampled.
_MEANINGLESS = {
    *("messages", "model", "tools", "tool_choice", "stream", "stream_options", "n", "logprobs"),
    *("top_logprobs", "return_token_ids", "user", "metadata", "store", "service_tier", "safety_identifier"),
    *("prompt_cache_key", "prompt_cache_retention", "parallel_tool_calls", "response_format"),
}
_NUMBERS = {
    "temperature": (0.0, 100.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "top_k": (-1, 2**31),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    "repetition_penalty": (0.0, 10.0),
    "seed": (-(2**63), 2**63),
    "max_tokens": (1, 2**31),
    "max_completion_tokens": (1, 2**31),
}
_WHOLE = {"top_k", "seed", "max_tokens", "max_completion_tokens"}


@dataclass(frozen=True, slots=True)
class Terms:
    """How one answer is sampled; the defaults are the model's own distribution.

    Attributes:
        max_tokens: ids at most; None for what the engine has room for.
        top_k: 0 for all.
        stop: texts that end the answer.
        stop_ids: ids that end it.
        schema: a JSON schema that the answer must follow; None for none, {} for any object.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0
    top_k: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    stop_ids: Sequence[int] = ()
    schema: Mapping[str, Any] | None = None

    @property
    def plain(self) -> bool:
        """The answer is sampled from the model's own distribution, untouched."""
        untouched = Terms(seed=self.seed, max_tokens=self.max_tokens, stop=self.stop, stop_ids=self.stop_ids)
        return self == untouched


@dataclass(slots=True)
class Piece:
    """A part of an answer, as it comes.

    Attributes:
        ids: sampled, in order.
        entries: (id, logprob) as the engine said them; an id is None where it names none.
        finish_reason: "stop" or "length" in the last piece, or the engine's own word where it gave the answer
            up; None before.
        stopped_by: the text that ended it, where the engine says so.
    """

    ids: list[int]
    entries: list[tuple[int | None, Any]] = field(default_factory=list)
    finish_reason: str | None = None
    stopped_by: str | None = None

    @property
    def given_up(self) -> bool:
        """The engine ended the answer without sampling it to its end; its ids are sampled all the same."""
        return self.finish_reason not in (None, "stop", "length")


class TokenEngine(Protocol):
    """What samples behind the gateway, ids in and ids out.

    Attributes:
        name: as `--engine` calls it.
        schemas: it can hold an answer to a JSON schema.
        raw_logprobs: its logprobs are those before temperature and truncation.
    """

    name: str
    schemas: bool
    raw_logprobs: bool

    async def start(self) -> None:
        """Reach it; raises `ConfigurationError` where it cannot serve, and leaves one that is down alone."""
        ...

    def sample(
        self, prompt: Sequence[int], terms: Terms, *, model: str, pieces: bool
    ) -> AsyncIterator[Piece]:
        """Sample one answer.

        Args:
            prompt: every id of it.
            terms: how.
            model: as the client names it.
            pieces: the client streams; several pieces are welcome.

        Raises:
            CallRefused: it cannot be reached, refuses, or breaks off.
        """
        ...

    async def models(self) -> Sequence[dict[str, Any]]:
        """OpenAI model cards of what it serves."""
        ...

    async def ready(self) -> bool:
        """Whether it answers now."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


def read_terms(ask: Ask, engine: TokenEngine, stop_ids: Sequence[int]) -> Terms:
    """How a request is to be sampled.

    Raises:
        CallRefused: it asks for what this engine cannot do, which is never ignored in silence.
    """
    fields = ask.fields
    for name in fields.keys() - _MEANINGLESS - _NUMBERS.keys() - {"stop"}:
        raise unsupported(name, f"the engine {engine.name} behind this gateway has no such parameter.")
    if ask.value("parallel_tool_calls") is False:
        raise unsupported("parallel_tool_calls", "false cannot be promised, since calls are sampled freely.")
    if ask.value("tool_choice") not in (None, "auto", "none"):
        raise unsupported("tool_choice", "a call that is forced is not sampled; use auto or none.")
    if ask.value("top_logprobs"):
        raise unsupported("top_logprobs", "only the logprob of the sampled token is known.")
    numbers = {name: _number(ask, name) for name in _NUMBERS if name in fields}
    most = numbers.pop("max_completion_tokens", None)
    also = numbers.pop("max_tokens", None)
    if numbers.get("top_k") == -1:
        numbers["top_k"] = 0
    return Terms(
        **numbers,
        max_tokens=most if most is not None else also,
        stop=_stop(ask),
        stop_ids=tuple(sorted(stop_ids)),
        schema=_schema(ask, engine),
    )


def _number(ask: Ask, name: str) -> Any:
    value = ask.value(name)
    low, high = _NUMBERS[name]
    kinds = int if name in _WHOLE else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        what = "an integer" if name in _WHOLE else "a number"
        raise CallRefused(f"`{name}` must be {what} from {low:g} to {high:g}.", param=name)
    return value


def _stop(ask: Ask) -> tuple[str, ...]:
    value = ask.value("stop")
    texts = [value] if isinstance(value, str) else value or []
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise CallRefused("`stop` must be a text or a list of texts.", param="stop")
    return tuple(texts)


def _schema(ask: Ask, engine: TokenEngine) -> Mapping[str, Any] | None:
    form = ask.value("response_format")
    if form is None or (isinstance(form, dict) and form.get("type") == "text"):
        return None
    if not engine.schemas:
        raise unsupported("response_format", f"the engine {engine.name} cannot hold an answer to a form.")
    if isinstance(form, dict) and form.get("type") == "json_object":
        return {}
    named = form.get("json_schema") if isinstance(form, dict) and form.get("type") == "json_schema" else None
    schema = named.get("schema") if isinstance(named, dict) else None
    if not isinstance(schema, dict):
        raise CallRefused(
            "`response_format` must be of type text, json_object, or json_schema with a schema.",
            param="response_format",
        )
    return schema
