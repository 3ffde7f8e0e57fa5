"""ChatML with tools in the Hermes form: SmolLM2 with tools, Qwen2.5 and their like."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from agentcore_rl_gateway.rendering.hermes import parse_hermes
from agentcore_rl_gateway.rendering.renderer import Fork, Message, Parsed, Unrenderable
from agentcore_rl_gateway.rendering.vocabulary import Vocabulary

__all__ = ["SMOLLM2_SYSTEM", "ChatMLHermes", "function_of", "text_of"]

SMOLLM2_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
"""What SmolLM2's template puts where a conversation has no system message."""

START, END = "<|im_start|>", "<|im_end|>"

_TOOLS_BEFORE = (
    "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_TOOLS_BEHIND = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": '
    "<args-json-object>}\n</tool_call>"
)


class ChatMLHermes:
    """ChatML whose tools are JSON in `<tools>`, calls in `<tool_call>`, results in `<tool_response>`.

    Args:
        vocabulary: must have `<|im_start|>` and `<|im_end|>` as tokens of their own.
        system: what stands where a conversation has no system message; None for nothing (unless there are
            tools, which stand in a system message).
        thinks: the model writes thoughts in `<think>`; None: where that is a token of its own.

    Raises:
        ValueError: the vocabulary lacks the two tokens.
    """

    def __init__(
        self, vocabulary: Vocabulary, *, system: str | None = SMOLLM2_SYSTEM, thinks: bool | None = None
    ) -> None:
        missing = [name for name in (START, END) if name not in vocabulary.control]
        if missing:
            raise ValueError(
                f"This tokenizer has no token {missing[0]}: it belongs to no ChatML model, so choose the "
                "renderer of its own family."
            )
        self.vocabulary = vocabulary
        self.name = "chatml-hermes"
        self._system = system
        self._thinks = "<think>" in vocabulary.control if thinks is None else thinks
        self._end = vocabulary.control[END]
        ends = [END, "<|endoftext|>"]
        self.stop_ids = frozenset(vocabulary.control[one] for one in ends if one in vocabulary.control)
        told = json.dumps([self.name, 1, vocabulary.digest, system, self._thinks])
        self.digest = hashlib.sha256(told.encode()).hexdigest()

    def prompt(self, messages: Sequence[Message], tools: Sequence[Message] = ()) -> list[int]:
        """All ids of a prompt; raises `Unrenderable`."""
        tools = self.vocabulary.guarded(tools)
        has_system = bool(messages) and messages[0].get("role") in ("system", "developer")
        system = self._text(messages[0]) if has_system else self._system
        text = ""
        if tools:
            listed = "".join("\n" + json.dumps(tool, ensure_ascii=False) for tool in tools)
            text = f"{START}system\n{system or ''}{_TOOLS_BEFORE}{listed}{_TOOLS_BEHIND}{END}\n"
        elif system is not None:
            text = f"{START}system\n{system}{END}\n"
        return self.vocabulary.encode(text + self._turns(messages[1:] if has_system else messages))

    def delta(
        self,
        tail: Sequence[int],
        answer: Sequence[int],
        new: Sequence[Message],
        tools: Sequence[Message] = (),
    ) -> list[int] | Fork:
        """The end of an answer that has none, then the new messages."""
        last = answer[-1] if answer else None
        ids = [] if last in self.stop_ids else [self._end]
        return ids + self.vocabulary.encode("\n" + self._turns(new))

    def parse(self, ids: Sequence[int], tail: Sequence[int] = (), tools: Sequence[Message] = ()) -> Parsed:
        """What sampled ids say; never raises."""
        return parse_hermes(self.vocabulary, ids, self.stop_ids, thinks=self._thinks)

    def text(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        return b"".join(self.vocabulary.pieces(ids)).decode(errors="replace")

    def _turns(self, messages: Sequence[Message]) -> str:
        """Messages behind the first system message, and the beginning of an answer."""
        parts: list[str] = []
        in_results = False
        for message in messages:
            role = message.get("role")
            if role == "tool":
                parts.append("" if in_results else f"{START}user")
                parts.append(f"\n<tool_response>\n{self._text(message)}\n</tool_response>")
                in_results = True
                continue
            if in_results:
                parts.append(f"{END}\n")
                in_results = False
            if role in ("system", "developer", "user"):
                name = "user" if role == "user" else "system"
                parts.append(f"{START}{name}\n{self._text(message)}{END}\n")
            elif role == "assistant":
                parts.append(f"{START}assistant{self._said(message)}{END}\n")
            else:
                raise Unrenderable(
                    f"A message has the role {role!r}, which ChatML has no form for: use system, user, "
                    "assistant or tool."
                )
        if in_results:
            parts.append(f"{END}\n")
        return "".join(parts) + f"{START}assistant\n"

    def _text(self, message: Message) -> str:
        """Its text, guarded once its parts are one: a literal may be spelled over several."""
        return str(self.vocabulary.guarded(text_of(message)))

    def _said(self, message: Message) -> str:
        parts: list[str] = []
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        if self._thinks and isinstance(reasoning, str) and reasoning.strip():
            parts.append(f"\n<think>\n{self.vocabulary.guarded(reasoning.strip())}\n</think>\n")
        content = self._text(message)
        if content:
            parts.append("\n" + content)
        for call in message.get("tool_calls") or ():
            name, arguments = _function_of(call, self.vocabulary.guarded)
            parts.append(f'\n<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>')
        return "".join(parts) or "\n"


def text_of(message: Message) -> str:
    """The text of a message's content.

    Raises:
        Unrenderable: it has parts that are no text, which must not be dropped in silence.
    """
    content = message.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in content if isinstance(content, list) else [content]:
        if not (isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise Unrenderable(
                f"A message of role {message.get('role')} has a content part of type {kind!r}, and this "
                "model reads text alone: send text."
            )
        texts.append(part["text"])
    return "".join(texts)


def function_of(call: Any) -> Mapping[str, Any]:
    """The function that a tool call of an assistant message names.

    Raises:
        Unrenderable: it names none.
    """
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise Unrenderable("A tool call of an assistant message has no function with a name: send one.")
    return function


def _function_of(call: Any, guarded: Callable[[Any], Any]) -> tuple[str, str]:
    """Name and arguments of a call, as the template writes them; guarded once no escape hides a literal."""
    function = function_of(call)
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            value = msgspec.json.decode(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            return guarded(function["name"]), guarded(arguments)
    else:
        value = {} if arguments is None else arguments
    return guarded(function["name"]), json.dumps(guarded(value), ensure_ascii=False)
