"""Answered calls put together again from a log that stores what each adds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agentcore_rl_gateway.answers import doubles
from agentcore_rl_gateway.call import PastTurn
from agentcore_rl_gateway.lineage import unpacked
from agentcore_rl_gateway.log import CallAnswered, CallLog
from agentcore_rl_gateway.sessions import Session

__all__ = ["past_turns", "whole_turns"]


def past_turns(log: CallLog, session: Session) -> Iterator[PastTurn]:
    """A session's answered calls that have ids of prompt and answer, as they stand in the log.

    That is the order in which they were answered: what a call adds to is always before it.
    """
    entries = (log.read(place) for place in list(session.numbers.values()))
    return whole_turns(entry for entry in entries if isinstance(entry, CallAnswered))


def whole_turns(entries: Iterable[CallAnswered]) -> Iterator[PastTurn]:
    """The calls of one session, each with its whole messages and ids.

    Args:
        entries: all of the session's, oldest first; those without ids are passed over.
    """
    messages: dict[int, bytes] = {}
    ids: dict[int, bytes] = {}
    for entry in entries:
        before = messages.get(entry.basis, b"") if entry.basis is not None else b""
        messages[entry.number] = before[: entry.messages_keep] + entry.messages_new
        if entry.prompt_new is None or entry.answer is None:
            continue
        whole = ids.get(entry.basis, b"") if entry.basis is not None else b""
        prompt = whole[: entry.prompt_keep * 4] + entry.prompt_new
        ids[entry.number] = prompt + entry.answer
        yield PastTurn(
            messages=messages[entry.number],
            request=entry.request,
            body=entry.body,
            response_id=entry.response_id,
            policy_version=entry.policy_version,
            prompt=prompt,
            answer=unpacked(entry.answer),
            logprobs=None if entry.logprobs is None else doubles(entry.logprobs),
            masked=entry.masked,
            parent=entry.parent,
        )
