"""The texts of token ids, from a tokenizer.json or a GGUF file: for the eye, nothing is tokenized with them.

Records hold ids, not texts. Two ways of writing a piece in such files are read: GPT-2's, a character for
each byte, and SentencePiece's, with `▁` for a space and `<0x0A>` for a byte; any other piece is shown as it
stands.
https://huggingface.co/docs/tokenizers/components
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from agentcore_rl.exceptions import ConfigurationError

__all__ = ["Vocabulary"]

_WRITTEN_OUT = (3, 4)  # control and user-defined pieces of a GGUF file stand there as they are
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Vocabulary:
    """What each id stands for, as far as one id can be read alone."""

    def __init__(self, texts: Mapping[int, str]) -> None:
        self._texts = texts

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Vocabulary:
        """The vocabulary of a tokenizer.json, of the folder that holds one, or of a GGUF file.

        Raises:
            ConfigurationError: there is none, or it holds no vocabulary.
        """
        file = Path(path)
        if file.is_dir():
            file /= "tokenizer.json"
        if file.suffix == ".gguf":
            return cls(_of_gguf(file))
        try:
            told = json.loads(file.read_bytes())
            pieces = dict(_pieces(told["model"]["vocab"]))
            byte_level = "ByteLevel" in set(_types(told.get("decoder"))) | set(
                _types(told.get("pre_tokenizer"))
            )
            texts = {
                number: _of_bytes(piece) if byte_level else _plain(piece) for number, piece in pieces.items()
            }
            texts |= {int(added["id"]): str(added["content"]) for added in told.get("added_tokens") or ()}
        except OSError as error:
            raise ConfigurationError(f"The tokenizer {file} cannot be read: {error.strerror}.") from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{file} is no tokenizer.json: it must have model.vocab and added_tokens, as Hugging Face's "
                f"tokenizers write them ({type(error).__name__}: {error})."
            ) from None
        return cls(texts)

    def texts(self, ids: Iterable[int]) -> dict[str, str]:
        """The texts of these ids, by the id; without those that the vocabulary does not have."""
        return {str(number): self._texts[number] for number in sorted(set(ids)) if number in self._texts}


def _of_gguf(file: Path) -> dict[int, str]:
    from agentcore_rl.local_model.gguf import read_metadata  # only here: its package knows of servers

    metadata = read_metadata(file)
    pieces = metadata.get("tokenizer.ggml.tokens") or []
    kinds = metadata.get("tokenizer.ggml.token_type") or []
    text_of = _of_bytes if metadata.get("tokenizer.ggml.model") == "gpt2" else _plain
    if not pieces:
        raise ConfigurationError(f"{file} holds no vocabulary: give the model's tokenizer.json.")
    written = {at for at, kind in enumerate(kinds) if kind in _WRITTEN_OUT}
    return {at: piece if at in written else text_of(piece) for at, piece in enumerate(pieces)}


def _pieces(vocabulary: Any) -> Iterator[tuple[int, str]]:
    """Of BPE and WordPiece (piece -> id), or of Unigram (pairs of a piece and its score)."""
    if isinstance(vocabulary, dict):
        yield from ((int(number), piece) for piece, number in vocabulary.items())
    else:
        yield from ((number, str(pair[0])) for number, pair in enumerate(vocabulary))


def _types(part: Any) -> Iterator[str]:
    """The types of a component and of those that it is made of."""
    if isinstance(part, dict):
        yield str(part.get("type"))
        for key in ("decoders", "pretokenizers"):
            for each in part.get(key) or ():
                yield from _types(each)


@cache
def _byte_of() -> dict[str, int]:
    """GPT-2's characters for bytes: itself where it can be seen, else the next from 256 on."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + at): byte for at, byte in enumerate(unseen)}


def _of_bytes(piece: str) -> str:
    """A byte-level piece; a part of a character is shown as its bytes."""
    table = _byte_of()
    if not all(char in table for char in piece):
        return piece
    return bytes(table[char] for char in piece).decode("utf-8", "backslashreplace")


def _plain(piece: str) -> str:
    found = _BYTE.fullmatch(piece)
    if found:
        return bytes([int(found[1], 16)]).decode("utf-8", "backslashreplace")
    return piece.replace("▁", " ")
