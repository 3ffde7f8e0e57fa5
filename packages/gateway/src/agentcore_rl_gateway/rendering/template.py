"""Any chat template in Jinja: what it adds behind an answer is the difference of two renderings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl_gateway.rendering.hermes import parse_hermes
from agentcore_rl_gateway.rendering.messages import for_template
from agentcore_rl_gateway.rendering.renderer import Fork, Message, Parsed, Unrenderable
from agentcore_rl_gateway.rendering.vocabulary import Vocabulary

__all__ = ["FromTemplate"]

_ASKED = {"role": "user", "content": "?"}


class FromTemplate:
    """A model's own template, in a sandbox.

    Answers are read in the Hermes form. The date that a template writes is that of the renderer's making,
    so that no conversation changes at midnight.

    Args:
        template: the chat template's text.
        vocabulary: of the model.
        stop: texts of the tokens that end an answer; None for the vocabulary's own.
        today: what the template takes for the present; None for now.
        variables: further ones of the template, such as `bos_token`.

    Raises:
        ConfigurationError: Jinja is not installed, the template is none, or nothing ends an answer.
    """

    def __init__(
        self,
        template: str,
        vocabulary: Vocabulary,
        *,
        stop: Sequence[str] | None = None,
        today: datetime | None = None,
        **variables: Any,
    ) -> None:
        stops = list(stop) if stop is not None else [vocabulary.eos_token] if vocabulary.eos_token else []
        unknown = [one for one in stops if one not in vocabulary.control]
        if not stops or unknown:
            raise ConfigurationError(
                f"No token that ends this model's answers is known ({', '.join(unknown) or 'none named'}): "
                "name one of its control tokens as `stop`."
            )
        self.vocabulary, self.name = vocabulary, "template"
        self._stops = stops
        self.stop_ids = frozenset(vocabulary.control[one] for one in stops)
        self._today = today or datetime.now(UTC)
        self._variables = {"eos_token": stops[0], "bos_token": "", **variables}
        self._template = _compiled(template, self._today)
        self._thinks = "<think>" in template or "<think>" in vocabulary.control
        dated = self._today.date().isoformat() if "strftime_now" in template else None
        told = json.dumps(
            [self.name, 1, template, vocabulary.digest, stops, dated, variables], sort_keys=True, default=str
        )
        self.digest = hashlib.sha256(told.encode()).hexdigest()

    def prompt(self, messages: Sequence[Message], tools: Sequence[Message] = ()) -> list[int]:
        """All ids of a prompt; raises `Unrenderable`."""
        return self.vocabulary.encode(self._written(self._guarded(messages), tools, True))

    def delta(
        self,
        tail: Sequence[int],
        answer: Sequence[int],
        new: Sequence[Message],
        tools: Sequence[Message] = (),
    ) -> list[int] | Fork:
        """The difference of a made-up conversation with and without the new messages.

        A fork where the template writes the old differently because of the new.
        """
        plain = self._guarded(new)
        said = self._made_up(plain)
        before = self._written([_ASKED, said], (), False)
        after = self._written([_ASKED, said, *plain], (), True)
        closes = [(before.rfind(one), one) for one in self._stops]
        close, stop = max(closes)
        if close < 0 or not after.startswith(before):
            return Fork("template")
        rest = before[close:] + after[len(before) :]
        ended = bool(answer) and answer[-1] in self.stop_ids
        return self.vocabulary.encode(rest[len(stop) :] if ended else rest)

    def parse(self, ids: Sequence[int], tail: Sequence[int] = (), tools: Sequence[Message] = ()) -> Parsed:
        """What sampled ids say; never raises."""
        thinking = False
        if self._thinks and tail:
            opened = self.text(tail)
            thinking = opened.rfind("<think>") > opened.rfind("</think>")
        return parse_hermes(self.vocabulary, ids, self.stop_ids, thinks=self._thinks, thinking=thinking)

    def text(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        return b"".join(self.vocabulary.pieces(ids)).decode(errors="replace")

    def _guarded(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        return [self.vocabulary.guarded(message) for message in for_template(messages)]

    @staticmethod
    def _made_up(new: Sequence[Message]) -> dict[str, Any]:
        """An answer to which the new messages fit: with as many calls as they begin with results."""
        calls = []
        for message in new:
            if message.get("role") != "tool":
                break
            function = {"name": str(message.get("name") or "f"), "arguments": {}}
            calls.append({"id": message.get("tool_call_id"), "type": "function", "function": function})
        return {"role": "assistant", "content": "" if calls else "!"} | (
            {"tool_calls": calls} if calls else {}
        )

    def _written(self, messages: Sequence[Message], tools: Sequence[Message], opens: bool) -> str:
        try:
            return str(
                self._template.render(
                    messages=messages,
                    tools=self.vocabulary.guarded(tools) or None,
                    add_generation_prompt=opens,
                    **self._variables,
                )
            )
        except Exception as error:
            raise Unrenderable(f"The model's template refuses these messages: {error}") from error


def _compiled(template: str, today: datetime) -> Any:
    try:
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        raise ConfigurationError(
            "Chat templates need Jinja: pip install 'agentcore-rl-gateway[renderers]'."
        ) from error

    def raise_exception(message: str) -> NoReturn:
        raise TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = today.strftime
    try:
        return made.from_string(template)
    except TemplateError as error:
        raise ConfigurationError(f"The chat template cannot be read: {error}") from error
