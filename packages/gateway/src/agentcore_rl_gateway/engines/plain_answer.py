"""An answer that has vLLM's fields alone, and ids, is read in one go. No I/O.

At short prompts nothing that the gateway does for a call takes longer than reading its answer, so that it is
looked at once. What has other fields, or lacks some, is left to `capture_answer`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import UNSET, Raw, UnsetType

from agentcore_rl_gateway.call import GIVEN_UP, Finished
from agentcore_rl_gateway.engines.alignment import ROUNDING
from agentcore_rl_gateway.lineage import IdText, packed

__all__ = ["CUT", "Claim", "read_plain"]

CUT = b"-1"
"""What stands in an answer where the ids of its prompt were; no engine gives it there."""
Claim = Callable[[str], str]
"""Gives the id that an answer may have in its session, from the one that its engine gave it."""


class _Entry(msgspec.Struct, gc=False):  # it holds no cycle, and there is one for each sampled id
    logprob: Annotated[float, msgspec.Meta(le=ROUNDING)]
    id: None = None


class _Logprobs(msgspec.Struct):
    content: list[_Entry]


class _Choice(msgspec.Struct, forbid_unknown_fields=True):
    message: Raw
    token_ids: list[int] | UnsetType
    logprobs: _Logprobs | None
    finish_reason: str
    index: Raw | UnsetType = UNSET
    stop_reason: Raw | UnsetType = UNSET
    routed_experts: Raw | UnsetType = UNSET


class _Completion(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    choices: tuple[_Choice]
    prompt_token_ids: Raw | UnsetType
    usage: Raw
    object: Raw | UnsetType = UNSET
    created: Raw | UnsetType = UNSET
    model: Raw | UnsetType = UNSET
    service_tier: Raw | UnsetType = UNSET
    system_fingerprint: Raw | UnsetType = UNSET
    prompt_logprobs: Raw | UnsetType = UNSET
    prompt_text: Raw | UnsetType = UNSET
    kv_transfer_params: Raw | UnsetType = UNSET
    ec_transfer_params: Raw | UnsetType = UNSET
    metrics: Raw | UnsetType = UNSET


class _Usage(msgspec.Struct):
    completion_tokens: int


_USAGE = msgspec.json.Decoder(_Usage)
_COMPLETION = msgspec.json.Decoder(_Completion)
_CUT = Raw(CUT)
_ENCODER = msgspec.json.Encoder()


def read_plain(content: bytes, prompt: IdText, claim: Claim) -> Finished | None:
    """The answer in these bytes, without its ids and logprobs; None where it is not that plain.

    Args:
        content: one chat completion, JSON, with `CUT` in place of the prompt's ids.
        prompt: these.
        claim: gives the answer's id.
    """
    try:
        if not content.isascii():
            content.decode()  # raw values are not looked into, and must be UTF-8 all the same
        top = _COMPLETION.decode(content)
        (choice,) = top.choices
        ids, said, listed = choice.token_ids, choice.logprobs, top.prompt_token_ids
        if said is None or isinstance(ids, UnsetType) or isinstance(listed, UnsetType):
            return None
        logprobs = [entry.logprob for entry in said.content]
        answer = packed(ids)
        sampled = _USAGE.decode(top.usage).completion_tokens
    except (ValueError, RecursionError, OverflowError):
        return None
    if (
        listed != _CUT  # the ids that were cut are another object's
        or not prompt.text
        or not len(ids) == len(logprobs) == sampled
        or not choice.finish_reason
        or choice.finish_reason in GIVEN_UP
        or not bytes(choice.message).startswith(b"{")
    ):
        return None
    top.id = claim(top.id)
    choice.token_ids, choice.logprobs, top.prompt_token_ids = UNSET, None, UNSET
    return Finished(
        top.id,
        _ENCODER.encode(top),
        prompt=prompt,
        answer=answer,
        logprobs=array("d", logprobs).tobytes(),
    )
