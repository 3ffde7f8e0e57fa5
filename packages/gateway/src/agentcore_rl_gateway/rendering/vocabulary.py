"""A tokenizer as renderers need it, and the guard that keeps a client's text from becoming control ids."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

__all__ = ["Vocabulary"]

# Around the number of a literal that stands in a client's text. A noncharacter: no text means it, no
# vocabulary has it, and JSON writers leave it as it is.
_MARK = "\ufdd0"
_MARKED = re.compile(f"{_MARK}([0-9]+){_MARK}")


def _bytes_of_letters() -> dict[str, int]:
    """The letters by which byte-level vocabularies write bytes (the table of GPT-2)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {chr(one): one for one in shown}
    hidden = [one for one in range(256) if one not in shown]
    return letters | {chr(256 + at): one for at, one in enumerate(hidden)}


_LETTERS = _bytes_of_letters()


class Vocabulary:
    """Text to ids and back.

    Also what the `renderers` library takes for a tokenizer: it asks for the methods and names below it.

    Args:
        tokenizer: of the model.
        eos: the token that ends an answer, where the tokenizer's file does not say.
    """

    def __init__(self, tokenizer: Tokenizer, *, eos: str | None = None) -> None:
        self.tokenizer = tokenizer
        form = json.loads(tokenizer.to_str())
        added = {one["content"]: int(one["id"]) for one in form.get("added_tokens") or ()}
        self.control: Mapping[str, int] = added
        self._names: dict[int, str] = {number: name for name, number in added.items()}
        self._byte_level = _is_byte_level(form.get("decoder"))
        form["added_tokens"] = []
        form["post_processor"] = None
        self._plain = Tokenizer.from_str(json.dumps(form))
        self.digest = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
        literals = sorted(added, key=len, reverse=True)
        self._literals = [*literals, _MARK]
        pattern = "|".join(re.escape(one) for one in self._literals)
        self._risky = re.compile(pattern)
        self._markup = re.compile("|".join(re.escape(one) for one in literals)) if literals else None
        self._numbers = {one: at for at, one in enumerate(self._literals)}
        self.eos_token = eos
        self.eos_token_id = added.get(eos) if eos else None
        self.unk_token_id = None
        self.name_or_path = ""

    @classmethod
    def from_file(cls, path: str | Path, *, eos: str | None = None) -> Vocabulary:
        """Of a `tokenizer.json`."""
        return cls(Tokenizer.from_file(str(path)), eos=eos)

    # ---- to ids

    def guarded(self, value: Any) -> Any:
        """A client's value with the literals of control tokens marked as text, in every string of it."""
        if isinstance(value, str):
            return self._risky.sub(lambda hit: f"{_MARK}{self._numbers[hit[0]]}{_MARK}", value)
        if isinstance(value, Mapping):
            return {self.guarded(key): self.guarded(item) for key, item in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
            return [self.guarded(item) for item in value]
        return value

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """Ids of text that a template made; literals in it are control tokens, marked ones are text."""
        if _MARK not in text or self._markup is None:
            return list(self.tokenizer.encode(self.unguarded(text), add_special_tokens=False).ids)
        ids: list[int] = []
        start = 0
        for hit in self._markup.finditer(text):
            ids += self.encode_plain(self.unguarded(text[start : hit.start()]))
            ids.append(self.control[hit[0]])
            start = hit.end()
        return ids + self.encode_plain(self.unguarded(text[start:]))

    def encode_plain(self, text: str) -> list[int]:
        """Ids of text in which nothing is a control token."""
        return list(self._plain.encode(text, add_special_tokens=False).ids) if text else []

    def unguarded(self, text: str) -> str:
        """Text as the client wrote it."""
        if _MARK not in text:
            return text
        return _MARKED.sub(
            lambda hit: self._literals[int(hit[1])] if int(hit[1]) < len(self._literals) else hit[0], text
        )

    def convert_tokens_to_ids(self, tokens: str | list[str]) -> Any:
        """The id of a token, or of each; None for what is none."""
        if isinstance(tokens, str):
            return self.tokenizer.token_to_id(tokens)
        return [self.tokenizer.token_to_id(one) for one in tokens]

    # ---- to text

    def decode(self, ids: Iterable[int] | int, skip_special_tokens: bool = False, **_: Any) -> str:
        """Text of ids; those that the vocabulary does not have are left out."""
        wanted = [ids] if isinstance(ids, int) else list(ids)
        return str(
            self.tokenizer.decode(
                [one for one in wanted if 0 <= one < 1 << 32], skip_special_tokens=skip_special_tokens
            )
        )

    def pieces(self, ids: Sequence[int]) -> list[bytes]:
        """The bytes of each id: joined, they are the text."""
        return [self._piece(one) for one in ids]

    def is_control(self, one: int) -> bool:
        """Whether the id is that of an added token."""
        return one in self._names

    def _piece(self, one: int) -> bytes:
        name = self._names.get(one)
        if name is not None:
            return name.encode()
        token: str | None = self.tokenizer.id_to_token(one) if 0 <= one < 1 << 32 else None
        if token is None:
            return b""
        if self._byte_level:
            try:
                return bytes(_LETTERS[letter] for letter in token)
            except KeyError:
                return token.encode()
        return str(self.tokenizer.decode([one], skip_special_tokens=False)).encode()


def _is_byte_level(decoder: Any) -> bool:
    if not isinstance(decoder, dict):
        return False
    if decoder.get("type") == "Sequence":
        return any(_is_byte_level(one) for one in decoder.get("decoders") or ())
    return decoder.get("type") == "ByteLevel"
