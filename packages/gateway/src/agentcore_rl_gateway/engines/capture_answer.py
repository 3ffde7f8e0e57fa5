"""What an OpenAI-compatible server's answer says, and the same answer without the ids in it. No I/O.

Prompt ids are cut out of the bytes before these are read: at 32,000 ids that takes 40 microseconds where
reading them takes a millisecond. Messages are carried as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agentcore_rl.recorder.deltas import Deltas
from agentcore_rl_gateway.answers import completion, packed_doubles
from agentcore_rl_gateway.call import GIVEN_UP, Finished
from agentcore_rl_gateway.chat import Ask
from agentcore_rl_gateway.engines.alignment import align
from agentcore_rl_gateway.engines.plain_answer import CUT, Claim, read_plain
from agentcore_rl_gateway.engines.upstream import broke_off, malformed
from agentcore_rl_gateway.lineage import IdText, packed
from agentcore_rl_gateway.refusals import CallRefused

__all__ = ["StreamedAnswer", "cut_prompt_ids", "read_completion"]

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MAYBE_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_CHOICES = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_NULL = msgspec.Raw(b"null")
# A key's closing quote cannot stand unescaped inside a string, so that no message's text looks like this.
_NAMES = ((b'"prompt_token_ids"', re.compile(rb"\s*:\s*\[")), (b'"input_ids"', re.compile(rb"\s*:\s*\[")))


class _Entry(msgspec.Struct, gc=False):  # it holds no cycle, and there is one for each sampled id
    logprob: Any = None
    id: Any = None


class _Logprobs(msgspec.Struct):
    content: list[_Entry] | None = None


_LOGPROBS = msgspec.json.Decoder(_Logprobs | None)
_CONSTRAINING = frozenset(
    {
        "tool_choice",
        "response_format",
        "guided_json",
        "guided_regex",
        "guided_grammar",
        "guided_choice",
        "structured_outputs",
        "regex",
    }
)
_ID_LIST = msgspec.json.Decoder(list[int] | None)


@dataclass(slots=True)
class _Tokens:
    """What an answer says of its ids, while it is read."""

    ids: list[int] | None = None
    entries: list[_Entry] = field(default_factory=list)


def cut_prompt_ids(body: bytes) -> tuple[bytes, IdText | None]:
    """The body with `CUT` in place of the prompt's ids, and their text; None where it has none.

    They may be those of another object, such as a message's field of that name: whoever reads the body must
    look whether `CUT` stands where the engine gives its ids.
    """
    for name, opening in _NAMES:
        at = body.rfind(name)  # they are near the end, and a search from there leaps over digits
        found = opening.match(body, at + len(name)) if at >= 0 else None
        if found is not None:
            begin, end = found.end(), body.find(b"]", found.end())
            if end < 0:
                return body, None
            return body[: begin - 1] + CUT + body[end + 1 :], IdText(body[begin:end])
    return body, None


def read_completion(content: bytes, ask: Ask, claim: Claim) -> Finished:
    """The answer of a call that was not streamed.

    Args:
        content: as the server sent it.
        ask: what was asked for.
        claim: gives the id that the answer may have, from the one that it has.

    Raises:
        CallRefused: 502 when it is no chat completion with one choice, or was not sampled to its end.
    """
    body, prompt = cut_prompt_ids(content)
    finished = None if prompt is None or ask.logprobs else read_plain(body, prompt, claim)
    if finished is None:
        try:
            finished = _read_any(content, body, prompt, ask, claim)
        except (ValueError, KeyError, RecursionError):
            raise malformed(content) from None
    _mark(finished, ask)
    return finished


def _opened(body: bytes) -> tuple[dict[str, msgspec.Raw], list[dict[str, msgspec.Raw]]]:
    """A chat completion's top level, and its choices' with one choice."""
    body.decode()  # raw values are not looked into, and must be UTF-8 all the same
    top = _OBJECT.decode(body)
    choices = _CHOICES.decode(top["choices"])
    (choice,) = choices
    if not bytes(choice["message"]).startswith(b"{"):
        raise KeyError("message")
    return top, choices


def _read_any(content: bytes, body: bytes, prompt: IdText | None, ask: Ask, claim: Claim) -> Finished:
    """An answer of any shape; `body` and `prompt` are what `cut_prompt_ids` made of it."""
    tokens = _Tokens()
    try:
        top, choices = _opened(body)
        belongs = _listed(top, choices[0]) == CUT
    except (ValueError, KeyError):
        belongs = False
    if not belongs:
        top, choices = _opened(content)
        prompt = _ids_of(_listed(top, choices[0]))
    (choice,) = choices
    if not _ended(_string(choice.get("finish_reason"))):
        raise KeyError("finish_reason")
    _take(top, choice, tokens, keep_logprobs=ask.logprobs)
    usage = msgspec.json.decode(top["usage"]) if "usage" in top else None
    response_id = claim(_string(top.get("id")))
    top["id"] = msgspec.Raw(msgspec.json.encode(response_id))
    top["choices"] = msgspec.Raw(msgspec.json.encode(choices))
    finished = Finished(response_id, msgspec.json.encode(top), prompt=prompt)
    _join(finished, tokens, usage)
    return finished


def _ended(reason: str) -> bool:
    """Whether an answer with this finish reason was sampled to its end.

    Raises:
        CallRefused: 502 when the engine says that it gave it up.
    """
    if reason in GIVEN_UP:
        raise broke_off(f"The engine ended the answer with {reason!r}: it was not sampled to its end.")
    return bool(reason)


def _ids_of(listed: bytes) -> IdText | None:
    """The inside of a list of ids, as it stands in the JSON; None where there is none, or it is empty."""
    inside = listed[1:-1] if listed.startswith(b"[") else b""
    return IdText(inside) if inside.strip() else None


def _listed(top: dict[str, msgspec.Raw], choice: dict[str, msgspec.Raw]) -> bytes:
    """The prompt's ids where an engine gives them; empty where it does not."""
    for place in (top, choice):
        if "prompt_token_ids" in place:
            return bytes(place["prompt_token_ids"])
    return bytes(_sglext(top).get("input_ids", b""))


def _sglext(top: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """What SGLang adds to an answer."""
    return _MAYBE_OBJECT.decode(top["sglext"]) or {} if "sglext" in top else {}


class StreamedAnswer:
    """A streamed answer, as its chunks pass.

    `pass_on` gives what goes to the client now; from the chunk with the finish reason on everything is held
    back until the call is in the log.
    """

    def __init__(self, ask: Ask, claim: Claim) -> None:
        self._ask = ask
        self._claim = claim
        self._tokens = _Tokens()
        self._prompt: IdText | None = None
        self._deltas = Deltas()
        self._entries: list[Any] = []
        self._id = self._theirs = ""
        self._model = ask.model
        self._reason: str | None = None
        self._usage: Any = None
        self._held: list[bytes] = []
        self._last = 0
        self.sampled = 0

    @property
    def complete(self) -> bool:
        """The chunk with the finish reason was seen."""
        return self._reason is not None

    def pass_on(self, payload: bytes) -> bytes | None:
        """Take one chunk; what of it is to be sent now.

        Raises:
            CallRefused: 502 when it is no chunk, or says that the engine failed.
        """
        body, prompt = cut_prompt_ids(payload) if self._prompt is None else (payload, None)
        try:
            top, choices = _chunk(body)
            if prompt is not None and _listed(top, choices[0] if choices else {}) != CUT:
                body, prompt = payload, None  # they were another object's
                top, choices = _chunk(body)
            if prompt is not None and prompt.text.strip():
                self._prompt = prompt
            if "error" in top and bytes(top["error"]) != b"null":
                raise CallRefused(
                    f"The engine failed in the middle of its answer: {bytes(top['error'])[:300].decode()}",
                    status=502,
                    code="engine_broke_off",
                )
            changed = self._read(top, choices)
            if self._id != self._theirs:
                top["id"] = msgspec.Raw(msgspec.json.encode(self._id))
                changed = True
        except (ValueError, KeyError, RecursionError):
            raise malformed(payload) from None
        if not choices and bytes(top.get("usage", b"null")) == b"null":
            return None  # it had ids alone
        if changed or prompt is not None:
            top["choices"] = msgspec.Raw(msgspec.json.encode(choices))
            body = msgspec.json.encode(top)
        if not self.complete:
            return body
        if choices and msgspec.json.decode(choices[0].get("finish_reason", b"null")) is not None:
            self._last = len(self._held)
        self._held.append(body)
        return None

    def _read(self, top: dict[str, msgspec.Raw], choices: list[dict[str, msgspec.Raw]]) -> bool:
        if not self._id:
            self._theirs = _string(top.get("id"))
            self._id = self._claim(self._theirs)
            self._model = _string(top.get("model")) or self._model
        if bytes(top.get("usage", b"null")) != b"null":
            self._usage = msgspec.json.decode(top["usage"])
        if not choices:
            return _take(top, {}, self._tokens, keep_logprobs=True)
        (choice,) = choices
        if self._ask.logprobs and bytes(choice.get("logprobs", b"null")) != b"null":
            self._entries += (msgspec.json.decode(choice["logprobs"]) or {}).get("content") or ()
        changed = _take(top, choice, self._tokens, keep_logprobs=self._ask.logprobs)
        delta = msgspec.json.decode(choice.get("delta", b"null"))
        if isinstance(delta, dict):
            self._deltas.add(delta)
        reason = msgspec.json.decode(choice.get("finish_reason", b"null"))
        if isinstance(reason, str) and _ended(reason):
            self._reason = reason
        self.sampled = len(self._tokens.ids or self._tokens.entries)
        return changed

    def finish(self) -> Finished:
        """The whole answer, once no more chunks come.

        Raises:
            CallRefused: 502 when its end is missing.
        """
        if self._reason is None:
            raise CallRefused(
                "The engine's stream ended before its answer did: see its log.",
                status=502,
                code="engine_broke_off",
            )
        message = self._deltas.message() or b'{"role":"assistant","content":null}'
        answer = completion(
            self._id,
            self._model,
            msgspec.Raw(message),  # type: ignore[arg-type]
            self._reason,
            prompt_tokens=0,
            completion_tokens=0,
            logprobs={"content": self._entries} if self._entries else None,
        )
        answer["usage"] = self._usage
        finished = Finished(self._id, msgspec.json.encode(answer), self._held, self._last, self._prompt)
        _join(finished, self._tokens, self._usage)
        _mark(finished, self._ask)
        return finished


def _chunk(body: bytes) -> tuple[dict[str, msgspec.Raw], list[dict[str, msgspec.Raw]]]:
    """A chunk's top level, and its choices."""
    if not body.isascii():
        body.decode()
    top = _OBJECT.decode(body)
    return top, _CHOICES.decode(top.get("choices", b"[]"))


def _take(
    top: dict[str, msgspec.Raw], choice: dict[str, msgspec.Raw], tokens: _Tokens, *, keep_logprobs: bool
) -> bool:
    """Take ids and logprobs out of an answer or a chunk; whether anything was."""
    taken = False
    ids = choice.pop("token_ids", None)
    ids = _sglext(top).get("output_ids", ids)
    for place, name in ((top, "prompt_token_ids"), (top, "sglext"), (choice, "prompt_token_ids")):
        taken = place.pop(name, None) is not None or taken
    if ids is not None:
        taken = True
        more = _ID_LIST.decode(ids)
        if more is not None:
            if tokens.ids is None:
                tokens.ids = []
            tokens.ids += more
    raw = choice.get("logprobs")
    if raw is not None and bytes(raw) != b"null":
        said = _LOGPROBS.decode(raw)
        tokens.entries += (said.content if said is not None else None) or ()
        if not keep_logprobs:
            choice["logprobs"] = _NULL
            taken = True
    return taken


def _join(finished: Finished, tokens: _Tokens, usage: Any) -> None:
    """Put ids, logprobs, and why any are missing, into the answer."""
    ids = tokens.ids
    counted = usage.get("completion_tokens") if isinstance(usage, dict) else None
    counted = counted if isinstance(counted, int) else None
    if ids is None and tokens.entries and all(isinstance(entry.id, int) for entry in tokens.entries):
        # llama.cpp leaves out ids inside a character that spans several: take none then.
        if counted is not None and counted - len(tokens.entries) in (0, 1):
            ids = [int(entry.id) for entry in tokens.entries]
        else:
            finished.remarks.append("token_ids_incomplete")
    if ids is not None and counted is not None and len(ids) < counted - 1:
        ids = None
        finished.remarks.append("token_ids_incomplete")
    if ids is None:
        finished.remarks.append("no_token_ids")
        return
    try:
        finished.answer = packed(ids)
    except OverflowError:
        finished.remarks.append("token_ids_unreadable")
        return
    if finished.prompt is None:
        finished.remarks.append("no_prompt_ids")
    entries = [(entry.id if isinstance(entry.id, int) else None, entry.logprob) for entry in tokens.entries]
    aligned = align(ids, entries)
    finished.masked = aligned.masked
    if aligned.logprobs is not None:
        finished.logprobs = packed_doubles(aligned.logprobs)


def _mark(finished: Finished, ask: Ask) -> None:
    """Note what makes the sampled distribution another one than the policy's."""
    if _CONSTRAINING.isdisjoint(ask.fields):
        return
    constraining = _CONSTRAINING & ask.fields.keys()
    choice, form = ask.value("tool_choice"), ask.value("response_format")
    free = choice in (None, "auto", "none") and not (
        isinstance(form, dict) and form.get("type") not in (None, "text")
    )
    if not free or constraining - {"tool_choice", "response_format"}:
        finished.remarks.append("constrained")


def _string(raw: msgspec.Raw | None) -> str:
    value = msgspec.json.decode(raw) if raw is not None else None
    return value if isinstance(value, str) else ""
