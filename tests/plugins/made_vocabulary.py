"""A small byte-level tokenizer with the control tokens of Qwen3, and answers sampled from it."""

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from agentcore_rl_gateway.rendering.vocabulary import Vocabulary

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
]
ADDED = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
MERGES = [("i", "n"), ("t", "h"), ("th", "e"), ("Ġ", "the"), ("a", "r"), ("o", "n"), ("e", "r"), ("Ġ", "a")]


def made_vocabulary(*, markers: bool = True) -> Vocabulary:
    """Every byte, eight merges and Qwen3's control tokens; without `markers` none for tools and thoughts."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = letters + [one + other for one, other in MERGES]
    tokenizer = Tokenizer(models.BPE({word: at for at, word in enumerate(words)}, MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in SPECIAL])
    if markers:
        tokenizer.add_tokens([AddedToken(one, special=False, normalized=False) for one in ADDED])
    return Vocabulary(tokenizer, eos="<|im_end|>")


def sampled(
    vocabulary: Vocabulary,
    content: str = "",
    calls: Sequence[tuple[str, str]] = (),
    reasoning: str | None = None,
    *,
    draw: random.Random | None = None,
    end: str | None = "<|im_end|>",
) -> list[int]:
    """The ids of an answer in the Hermes form; with `draw` split otherwise than the tokenizer would."""
    thought = "" if reasoning is None else f"<think>\n{reasoning}\n</think>\n\n"
    spelled = "\n".join(
        f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {arguments}}}\n</tool_call>'
        for name, arguments in calls
    )
    text = thought + content + ("\n" if content and spelled else "") + spelled
    ids = vocabulary.encode(text)
    if draw is not None:
        ids = [part for one in ids for part in drifted(vocabulary, one, draw)]
    return [*ids, vocabulary.control[end]] if end else ids


def drifted(vocabulary: Vocabulary, one: int, draw: random.Random) -> list[int]:
    """A token, or the bytes that spell it."""
    (piece,) = vocabulary.pieces([one])
    if vocabulary.is_control(one) or len(piece) == 1 or draw.random() < 0.5:
        return [one]
    return [part for byte in piece for part in vocabulary.encode_plain(bytes([byte]).decode())]


def message_of(
    content: str,
    calls: Sequence[tuple[str, str]] = (),
    reasoning: str | None = None,
    ids: Sequence[str] = (),
) -> dict[str, Any]:
    """An answer's message as a gateway serves it."""
    message: dict[str, Any] = {"role": "assistant", "content": content or None}
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = [
            {"id": minted, "type": "function", "function": {"name": name, "arguments": arguments}}
            for minted, (name, arguments) in zip(ids, calls, strict=True)
        ]
    return message


def _sorted_arguments(message: Mapping[str, Any], **dumps: Any) -> list[dict[str, Any]]:
    return [
        {
            **call,
            "function": {
                **call["function"],
                "arguments": json.dumps(json.loads(call["function"]["arguments"]), **dumps),
            },
        }
        for call in message["tool_calls"]
    ]


def as_sdk(message: dict[str, Any]) -> dict[str, Any]:
    """As the raw SDK sends an answer back: as it came."""
    return message


def as_strands(message: dict[str, Any]) -> dict[str, Any]:
    """Without thoughts, text as parts, arguments dumped anew in their order."""
    sent: dict[str, Any] = {"role": "assistant"}
    if message["content"]:
        sent["content"] = [{"type": "text", "text": message["content"]}]
    if "tool_calls" in message:
        sent["tool_calls"] = _sorted_arguments(message)
    return sent


def as_langgraph(message: dict[str, Any]) -> dict[str, Any]:
    """Without thoughts, content "" and arguments dumped anew with sorted keys."""
    sent: dict[str, Any] = {"role": "assistant", "content": message["content"] or ""}
    if "tool_calls" in message:
        sent["tool_calls"] = _sorted_arguments(message, sort_keys=True)
    return sent


def as_autogen(message: dict[str, Any]) -> dict[str, Any]:
    """Without thoughts, with a name, content trimmed, arguments as they came."""
    sent = {key: value for key, value in message.items() if key != "reasoning_content"}
    if sent["content"]:
        sent["content"] = sent["content"].strip()
    return {**sent, "name": "assistant"}


def as_crewai(message: dict[str, Any]) -> dict[str, Any]:
    """Without thoughts and without the text beside calls; arguments without blanks."""
    sent: dict[str, Any] = {"role": "assistant", "content": message["content"]}
    if "tool_calls" in message:
        sent["content"] = None
        sent["tool_calls"] = _sorted_arguments(message, separators=(",", ":"))
    return sent


FRAMEWORKS = {
    "sdk": as_sdk,
    "strands": as_strands,
    "langgraph": as_langgraph,
    "autogen": as_autogen,
    "crewai": as_crewai,
}
