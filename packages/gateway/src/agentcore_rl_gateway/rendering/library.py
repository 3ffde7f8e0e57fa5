"""The families that the `renderers` library knows, behind a fence.

Measured of version 0.1.12: its parsers raise on hostile answers; text of a client becomes control ids; a
bridge cuts ids behind a stop token off without notice; unknown models fall to a renderer that never bridges.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl_gateway.rendering.hermes import read_call, without_end
from agentcore_rl_gateway.rendering.messages import for_template
from agentcore_rl_gateway.rendering.renderer import Fork, Message, Parsed, ParsedCall, Unrenderable
from agentcore_rl_gateway.rendering.vocabulary import Vocabulary

__all__ = ["FromLibrary"]

_NO_FAMILIES = frozenset({"auto", "default", "custom"})
_STATUS = {"ok": "ok", "unknown_tool": "ok", "unclosed_block": "unclosed"}


class FromLibrary:
    """One family of the library. Thoughts stay in the conversation, as they were sampled.

    Args:
        family: the library's name for it, such as "qwen3"; never guessed from a model's name.
        vocabulary: of the model.
        options: the family's own, such as `enable_thinking=False`.

    Raises:
        ConfigurationError: the library is not installed, knows no such family, or the vocabulary is of
            another one.
    """

    def __init__(self, family: str, vocabulary: Vocabulary, **options: Any) -> None:
        try:
            import renderers
            from renderers.configs import config_from_name
        except ImportError as error:
            raise ConfigurationError(
                "The renderers of model families are not installed: "
                "pip install 'agentcore-rl-gateway[renderers]'."
            ) from error
        if family in _NO_FAMILIES:
            raise ConfigurationError(
                f"{family!r} is no family of models: name one, such as qwen3, or use the model's template."
            )
        self.vocabulary = vocabulary
        self.name = f"renderers/{family}"
        try:
            standard = config_from_name(family)
            config = type(standard)(**{"thinking_retention": "all", **options})
            self._inner = renderers.create_renderer(vocabulary, config)
        except Exception as error:
            raise ConfigurationError(
                f"The family {family!r} of renderers does not fit this model: "
                f"{str(error) or type(error).__name__}. Name the model's own family, or use its template."
            ) from error
        self._developer = family == "gpt-oss"
        self.stop_ids = frozenset(int(one) for one in self._inner.get_stop_token_ids())
        told = json.dumps([self.name, renderers.__version__, config.model_dump_json(), vocabulary.digest])
        self.digest = hashlib.sha256(told.encode()).hexdigest()

    def prompt(self, messages: Sequence[Message], tools: Sequence[Message] = ()) -> list[int]:
        """All ids of a prompt; raises `Unrenderable`."""
        plain = self._guarded(messages)
        try:
            made = self._inner.render_ids(
                plain, tools=self.vocabulary.guarded(tools) or None, add_generation_prompt=True
            )
        except Exception as error:
            raise Unrenderable(f"{self.name} cannot write these messages: {error}") from error
        return [int(one) for one in made]

    def delta(
        self,
        tail: Sequence[int],
        answer: Sequence[int],
        new: Sequence[Message],
        tools: Sequence[Message] = (),
    ) -> list[int] | Fork:
        """What is appended behind an answer; a fork where the family re-writes what was said."""
        before = [*tail, *answer]
        plain = self._guarded(new)
        try:
            made = self._inner.bridge_to_next_turn(
                list(tail), list(answer), plain, tools=self.vocabulary.guarded(tools) or None
            )
        except Exception as error:
            raise Unrenderable(f"{self.name} cannot write these messages: {error}") from error
        if made is None:
            return Fork("template")
        ids = [int(one) for one in made.token_ids]
        # Its bridge is not trusted with what was served.
        if ids[: len(before)] != before:
            return Fork("drift")
        return ids[len(before) :]

    def parse(self, ids: Sequence[int], tail: Sequence[int] = (), tools: Sequence[Message] = ()) -> Parsed:
        """What sampled ids say; text alone where the family's parser gives up."""
        said, behind = without_end(ids, self.stop_ids)
        notes = ("ids_behind_stop",) if behind else ()
        try:
            read = self._inner.parse_response(
                list(ids), tools=list(tools) or None, prompt_ids=list(tail) or None
            )
            calls = tuple(_call(one) for one in read.tool_calls or ())
        except Exception:  # noqa: BLE001 - RecursionError and ValueError were seen; none may escape
            return Parsed(self.text(said).strip(), notes=(*notes, "hostile"))
        trailing = ""
        if calls and calls[-1].span is not None:
            trailing = self.text(said[calls[-1].span[1] :]).strip()
        return Parsed(
            (read.content or "").strip(),
            read.reasoning_content or None,
            calls,
            read.reasoning_complete is not False,
            trailing,
            (*notes, "trailing_text") if trailing else notes,
        )

    def text(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        return b"".join(self.vocabulary.pieces(ids)).decode(errors="replace")

    def _guarded(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        plain = for_template(messages, developer=self._developer)
        return [self.vocabulary.guarded(message) for message in plain]


def _call(found: Any) -> ParsedCall:
    """A call as the client may have it: a name, and an object of arguments as it was sampled."""
    raw = str(found.raw)
    status = _STATUS.get(str(getattr(found.status, "value", found.status)), "invalid")
    name = found.name if isinstance(found.name, str) and found.name else None
    arguments: str | None = None
    if isinstance(found.arguments, dict):
        _, arguments = read_call(raw.strip().removeprefix("<tool_call>").removesuffix("</tool_call>"))
        if arguments is None:  # a family that writes no JSON: there is no sampled text of it
            try:
                arguments = json.dumps(found.arguments, ensure_ascii=False, allow_nan=False)
            except ValueError:
                arguments = None
    span = found.token_span
    if status == "ok" and (name is None or arguments is None):
        status = "invalid"
    return ParsedCall(
        "ok" if status == "ok" else "unclosed" if status == "unclosed" else "invalid",
        name,
        arguments,
        raw,
        None if span is None else (int(span[0]), int(span[1])),
    )
