"""Training rows of rollouts, from records alone."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from agentcore_rl.export.branches import Branch, Node, branches, is_partial, nodes_of
from agentcore_rl.export.origin import Origin
from agentcore_rl.export.row import Account, Row, Span, runs
from agentcore_rl.export.terms import Terms, Verdict, verdict
from agentcore_rl.read.run import Run
from agentcore_rl.rollout import Rollout

__all__ = ["account_of", "rows", "rows_of"]


def rows(
    source: Rollout | Run | Iterable[Rollout], terms: Terms | None = None, *, needs_reward: bool = True
) -> Iterator[Row]:
    """Training rows, one for each branch of each rollout, made as they are asked for.

    Args:
        source: a run (of each rollout the attempt that counts), rollouts, or one.
        terms: which rollouts train. Those of infrastructure failures have no rows; masked ones have rows
            whose mask is 0 throughout.
        needs_reward: whether a rollout without a reward is masked.
    """
    if isinstance(source, Rollout):
        source = (source,)
    elif isinstance(source, Run):
        source = source.rollouts
    for rollout in source:
        yield from rows_of(rollout, terms, needs_reward=needs_reward)


def rows_of(rollout: Rollout, terms: Terms | None = None, *, needs_reward: bool = True) -> list[Row]:
    """The rows of one rollout: agents in the record's order, for each the branch of most turns first.

    A token that was sampled once trains once: an answer that several branches share trains in the first of
    them, and is context in the others.
    """
    judged = verdict(rollout, terms or Terms(), needs_reward=needs_reward)
    if judged.left_out is not None:
        return []
    nodes = nodes_of(rollout)
    per_turn = _turn_rewards(rollout)
    trained: set[int] = set()
    return [
        _row(rollout, judged, number, branch, trained, per_turn)
        for number, branch in enumerate(branches(rollout, nodes))
    ]


def account_of(rollout: Rollout, terms: Terms | None = None, *, needs_reward: bool = True) -> Account:
    """Where every sampled token of a rollout goes, counted over its turns (not over its rows).

    Of a rollout that is left out or masked as a whole, all that could train counts under that reason.
    """
    judged = verdict(rollout, terms or Terms(), needs_reward=needs_reward)
    whole = judged.left_out or judged.masked
    nodes = nodes_of(rollout)
    sampled = trained = partial = without = 0
    masked: Counter[str] = Counter()
    for turn in (turn for path in rollout.trajectories for turn in path.turns):
        answer = () if turn.tokens is None else turn.tokens.answer
        if not answer:
            without += turn.answer is not None
            continue
        sampled += len(answer)
        if is_partial(turn):
            partial += len(answer)
        elif turn.id not in nodes:
            masked["no_prompt_ids"] += len(answer)
        else:
            for start, end, reason in runs(_reasons(nodes[turn.id])):
                if reason or whole:
                    masked[reason or whole or ""] += end - start
                else:
                    trained += end - start
    return Account(sampled, trained, dict(masked), partial, without)


def _reasons(node: Node) -> list[str | None]:
    """For each sampled id why it must not train, whatever its rollout; None where it may."""
    count = len(node.answer)
    if node.partial:
        return ["partial"] * count
    tokens = node.turn.tokens
    values = None if tokens is None else tokens.logprobs
    if values is None or len(values) != count:
        return ["no_logprob"] * count
    return [None if _finite(value) else "no_logprob" for value in values]


def _finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def _row(
    rollout: Rollout,
    judged: Verdict,
    number: int,
    branch: Branch,
    trained: set[int],
    per_turn: Mapping[int, float],
) -> Row:
    ids: array[int] = array("I")
    mask: array[int] = array("b")
    logprobs: list[float | None] = []
    spans: list[Span] = []
    for node in branch.line:
        about = _about(node, branch.agent, per_turn)
        if node.added:
            spans.append(Span(start=len(ids), end=len(ids) + len(node.added), sampled=False, **about))
        ids.extend(node.added)
        mask.extend(bytes(len(node.added)))
        logprobs.extend([None] * len(node.added))
        shared = "trained_in_another_branch" if node.turn.id in trained else None
        trained.add(node.turn.id)
        reasons = [reason or shared or judged.masked for reason in _reasons(node)]
        for start, end, reason in runs(reasons):
            first = len(ids)
            spans.append(Span(start=first + start, end=first + end, sampled=True, masked=reason, **about))
        ids.extend(node.answer)
        mask.extend([reason is None for reason in reasons])
        logprobs.extend(_values(node))
    return Row(
        **Origin.fields(rollout, judged, number, branch.agent),
        ids=ids,
        mask=mask,
        logprobs=logprobs,
        spans=tuple(spans),
        scores={} if rollout.reward is None else rollout.reward.scores,
        metrics={} if rollout.reward is None else rollout.reward.metrics,
    )


def _values(node: Node) -> list[float | None]:
    """The logprobs of an answer; None for what is missing."""
    tokens = node.turn.tokens
    values = None if tokens is None else tokens.logprobs
    if values is None or len(values) != len(node.answer):
        return [None] * len(node.answer)
    return [value if _finite(value) else None for value in values]


def _about(node: Node, agent: str, per_turn: Mapping[int, float]) -> dict[str, Any]:
    turn = node.turn
    said = turn.sampling.get("temperature")
    temperature = float(said) if isinstance(said, int | float) and not isinstance(said, bool) else None
    return {
        "turn": turn.id,
        "agent": agent,
        "policy_version": turn.policy_version,
        "temperature": temperature,
        "constrained": "constrained" in turn.suspect or _constrained(turn.sampling),
        "reward": per_turn.get(turn.id),
    }


def _constrained(sampling: Mapping[str, Any]) -> bool:
    form = sampling.get("response_format")
    if isinstance(form, Mapping) and form.get("type") not in (None, "text"):
        return True
    return any(sampling.get(name) is not None for name in ("guided_json", "structured_outputs", "grammar"))


def _turn_rewards(rollout: Rollout) -> dict[int, float]:
    """Turn -> its own reward, where the reward function gave one for each."""
    given = None if rollout.reward is None else rollout.reward.turn_rewards
    ids = sorted(turn.id for path in rollout.trajectories for turn in path.turns)
    if given is None or len(given) != len(ids):
        return {}
    return dict(zip(ids, given, strict=True))
