"""The tokenizer and the chat template that a GGUF file carries; its weights are not read."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.local_model.gguf import read_metadata
from agentcore_rl_gateway.rendering.vocabulary import Vocabulary

__all__ = ["gguf_vocabulary"]

_CONTROL, _USER_DEFINED = 3, 4


def gguf_vocabulary(path: str | Path) -> tuple[Vocabulary, str | None]:
    """The vocabulary and the chat template of a GGUF file.

    Raises:
        ConfigurationError: its kind of tokenizer is not one that was compared with llama.cpp's.
    """
    data = read_metadata(path)
    model, cut = data.get("tokenizer.ggml.model"), data.get("tokenizer.ggml.pre")
    if model != "gpt2" or cut != "smollm":
        raise ConfigurationError(
            f"The tokenizer in {path} is {model}/{cut}, which is not rebuilt from a GGUF file: give the "
            "model's tokenizer.json."
        )
    tokens: list[str] = data["tokenizer.ggml.tokens"]
    merges = [tuple(one.split(" ", 1)) for one in data["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE({one: at for at, one in enumerate(tokens)}, merges, ignore_merges=False))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    kinds = data.get("tokenizer.ggml.token_type") or []
    for at, kind in enumerate(kinds):
        if kind in (_CONTROL, _USER_DEFINED):
            token = AddedToken(tokens[at], special=kind == _CONTROL, normalized=False)
            (made.add_special_tokens if kind == _CONTROL else made.add_tokens)([token])
    eos = data.get("tokenizer.ggml.eos_token_id")
    template = data.get("tokenizer.chat_template")
    return Vocabulary(made, eos=None if eos is None else tokens[eos]), template
