"""The last look at a record before it is encoded: that it can be read again, and holds no secret."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from agentcore_rl.exceptions import ContractError
from agentcore_rl.redaction import Redactor
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Failure, Rollout, ToolExecution, Trajectory, Turn
from agentcore_rl.strict_json import MAX_DEPTH, Walk, nesting

__all__ = ["redacted", "storable"]


def storable(rollout: Rollout, redactor: Redactor) -> Rollout:
    """The same record with everything but its output such that it can be read again.

    Parts of turns that are no JSON are salvaged, token ids and logprobs that cannot be stored left
    out, and `suspect` of the rollout and of these turns says `unserialisable`.

    Args:
        rollout: the record.
        redactor: takes secrets out of what is cut short; the rest is for `redacted`.

    Raises:
        ContractError: a number of the reward is not finite.
    """
    _check_reward(rollout.reward)
    walk = Walk("turns", hide=redactor.text)
    paths = [
        replace(path, turns=[_storable_turn(turn, walk) for turn in path.turns])
        for path in rollout.trajectories
    ]
    messages, bad_messages = _storable_table(rollout.messages, redactor)
    tools, bad_tools = _storable_table(rollout.tools, redactor)
    suspect = rollout.suspect
    if walk.problems or bad_messages or bad_tools:
        paths = _marked(paths, "unserialisable", rollout, bad_messages, bad_tools)
        suspect = _with(suspect, "unserialisable")
    return replace(
        rollout,
        messages=messages,
        tools=tools,
        trajectories=paths,
        suspect=suspect,
        payload=Walk("payload", hide=redactor.text).plain(rollout.payload),
        counts=dict(rollout.counts),
        software=dict(rollout.software),
    )


def _check_reward(reward: Reward | None) -> None:
    if reward is None:
        return
    numbers = [reward.value, *reward.scores.values(), *reward.weights.values(), *reward.metrics.values()]
    if not all(map(math.isfinite, [*numbers, *(reward.turn_rewards or ())])):
        raise ContractError("A number of the reward is not finite.")


def _storable_turn(turn: Turn, walk: Walk) -> Turn:
    before = len(walk.problems)
    tokens = turn.tokens
    if tokens is not None and not (_are_ids(tokens.answer) and _are_ids(tokens.prompt_new or ())):
        walk.problems.append("token ids that do not fit 32 bits")
        tokens = None
    if tokens is not None and not math.isfinite(sum(tokens.logprobs or ())):
        walk.problems.append("logprobs that are not finite")
        tokens = replace(tokens, logprobs=None)
    new = replace(
        turn,
        sampling=walk.plain(dict(turn.sampling)),
        asked=walk.plain(dict(turn.asked)),
        labels=walk.plain(dict(turn.labels)),
        executions=[_storable_execution(execution, walk) for execution in turn.executions],
        tokens=tokens,
    )
    return (
        new if len(walk.problems) == before else replace(new, suspect=_with(turn.suspect, "unserialisable"))
    )


def _are_ids(ids: Sequence[int]) -> bool:
    if isinstance(ids, array) and ids.typecode == "I":
        return True
    return not ids or (min(ids) >= 0 and max(ids) < 2**32)


def _storable_execution(execution: ToolExecution, walk: Walk) -> ToolExecution:
    return replace(
        execution, arguments=walk.plain(execution.arguments), verdict=walk.plain(execution.verdict)
    )


def _storable_table(table: Sequence[msgspec.Raw], redactor: Redactor) -> tuple[list[msgspec.Raw], set[int]]:
    """The table, and the indexes of entries that no reader could decode; these are replaced."""
    sound, bad = [], set()
    for index, raw in enumerate(table):
        try:
            msgspec.json.decode(raw)
            readable = nesting(bytes(raw)) <= MAX_DEPTH
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            readable = False
        if not readable:
            bad.add(index)
        salvaged = None if readable else Walk(hide=redactor.text).plain(bytes(raw))
        sound.append(raw if readable else msgspec.Raw(msgspec.json.encode(salvaged)))
    return sound, bad


def _with(suspect: Sequence[str], reason: str) -> list[str]:
    return [*suspect] if reason in suspect else [*suspect, reason]


def _marked(
    paths: Sequence[Trajectory], reason: str, rollout: Rollout, messages: set[int], tools: set[int]
) -> list[Trajectory]:
    """The trajectories with `reason` at every turn that refers to one of these messages or tools."""
    if not messages and not tools:
        return list(paths)
    turns = rollout.turns

    def concerned(turn: Turn) -> bool:
        return (
            turn.answer in messages
            or turn.tools in tools
            or not messages.isdisjoint(turns.prompt_indexes(turn))
        )

    return [
        replace(
            path,
            turns=[replace(t, suspect=_with(t.suspect, reason)) if concerned(t) else t for t in path.turns],
        )
        for path in paths
    ]


def redacted(rollout: Rollout, redactor: Redactor) -> Rollout:
    """The record without secrets, marked; itself when they stand only in ids and words of ours.

    `suspect` of the rollout and of every turn whose messages, tools or own texts changed says
    `redacted`.
    """
    messages = [redactor.raw(raw) for raw in rollout.messages]
    tools = [redactor.raw(raw) for raw in rollout.tools]
    changed_messages = {i for i, raw in enumerate(messages) if raw is not rollout.messages[i]}
    changed_tools = {i for i, raw in enumerate(tools) if raw is not rollout.tools[i]}
    paths = [
        Trajectory(
            redactor.text(path.agent),
            None if path.parent is None else redactor.text(path.parent),
            [_redacted_turn(turn, redactor) for turn in path.turns],
        )
        for path in rollout.trajectories
    ]
    new = replace(
        rollout,
        messages=messages,
        tools=tools,
        trajectories=_marked(paths, "redacted", rollout, changed_messages, changed_tools),
        failure=_redacted_failure(rollout.failure, redactor),
        reward=_redacted_reward(rollout.reward, redactor),
        output=redactor.value(rollout.output),
        payload=redactor.value(rollout.payload),
        model=_redacted_text(rollout.model, redactor),
    )
    return rollout if new == rollout else replace(new, suspect=_with(rollout.suspect, "redacted"))


def _redacted_text(text: str | None, redactor: Redactor) -> str | None:
    return None if text is None else redactor.text(text)


def _redacted_failure(failure: Failure | None, redactor: Redactor) -> Failure | None:
    if failure is None:
        return None
    return replace(
        failure,
        message=redactor.text(failure.message),
        type=_redacted_text(failure.type, redactor),
        traceback=_redacted_text(failure.traceback, redactor),
    )


def _redacted_reward(reward: Reward | None, redactor: Redactor) -> Reward | None:
    if reward is None:
        return None
    return replace(
        reward,
        scores=redactor.value(dict(reward.scores)),
        weights=redactor.value(dict(reward.weights)),
        metrics=redactor.value(dict(reward.metrics)),
    )


def _redacted_turn(turn: Turn, redactor: Redactor) -> Turn:
    new = replace(
        turn,
        agent=redactor.text(turn.agent),
        model=_redacted_text(turn.model, redactor),
        sampling=redactor.value(turn.sampling),
        asked=redactor.value(turn.asked),
        finish_reason=turn.finish_reason and redactor.value(turn.finish_reason, message=True),
        response_id=_redacted_text(turn.response_id, redactor),
        executions=[
            replace(
                execution,
                call_id=redactor.text(execution.call_id),
                name=redactor.text(execution.name),
                arguments=redactor.value(execution.arguments),
                error=_redacted_text(execution.error, redactor),
                verdict=redactor.value(execution.verdict),
            )
            for execution in turn.executions
        ],
        http=[replace(attempt, error=_redacted_text(attempt.error, redactor)) for attempt in turn.http],
        labels=redactor.value(turn.labels),
    )
    return turn if new == turn else replace(new, suspect=_with(turn.suspect, "redacted"))
