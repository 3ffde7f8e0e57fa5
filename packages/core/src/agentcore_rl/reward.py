"""Reward functions and what they may return.

A reward is a finite number, or named weighted scores with metrics, optionally with rewards per
turn. bool and str are no numbers; None means not judged.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from agentcore_rl.exceptions import ContractError

__all__ = ["Reward", "RewardFunction", "raised_by_reward", "to_reward"]


@dataclass(frozen=True, slots=True)
class Reward:
    """The judgement of a rollout.

    Attributes:
        value: the number that trains: the weighted sum of the scores, or the number given.
        scores: named judgements before weighting.
        weights: of the scores; a score without one has weight 1.
        metrics: numbers that are watched and never trained on.
        turn_rewards: one number per turn, in the order of `Rollout.turns`; None when not given.
    """

    value: float
    scores: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    turn_rewards: Sequence[float] | None = None

    @classmethod
    def from_scores(
        cls,
        scores: Mapping[str, float],
        *,
        weights: Mapping[str, float] | None = None,
        metrics: Mapping[str, float] | None = None,
        turn_rewards: Sequence[float] | None = None,
    ) -> Reward:
        """The reward whose value is the weighted sum of named scores.

        Args:
            scores: each a finite number.
            weights: of these scores; missing ones are 1. A weight without a score is an error.
            metrics: numbers to watch, never trained on.
            turn_rewards: one number per turn.

        Raises:
            ContractError: something is not a finite number, or a weight has no score.
        """
        checked = _numbers(scores, "scores")
        weighing = _numbers(weights or {}, "weights")
        unknown = sorted(set(weighing) - set(checked))
        if unknown:
            raise ContractError(f"The reward has weights without a score: {', '.join(unknown)}.")
        try:
            value = math.fsum(score * weighing.get(name, 1.0) for name, score in checked.items())
        except (OverflowError, ValueError):  # too large a sum, or infinities of both signs
            value = math.inf
        _number(value, "The weighted sum of the scores")
        return cls(value, checked, weighing, _numbers(metrics or {}, "metrics"), turn_rewards)


class RewardFunction(ABC):
    """Judges a rollout: subclass it and write `reward`.

    `reward` may be sync or async and takes what the caller passes: the app calls
    `(payload, output, rollout)`; called by hand it takes what you define
    (`GSM8KReward()(response_text=..., ground_truth=...)`). Wherever one is accepted, any callable
    with the same arguments is too.
    """

    @abstractmethod
    def reward(self, *args: Any, **kwargs: Any) -> Any:
        """A finite number, a `Reward`, a mapping with `scores`, or None when it cannot be judged."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Passes its arguments to `reward`; what that returns (awaitable when `reward` is async)."""
        try:
            value = self.reward(*args, **kwargs)
        except Exception as error:
            _mark(error)
            raise
        return _marking(value) if inspect.isawaitable(value) else value


_MARK = "_agentcore_rl_reward"


def _mark(error: BaseException) -> None:
    """Remember on the exception itself that a reward function raised it; its type stays what it is."""
    try:
        setattr(error, _MARK, True)
    except (AttributeError, TypeError):  # an exception class with slots: it counts as the agent's
        return


def raised_by_reward(error: BaseException) -> bool:
    """Whether the exception left a `RewardFunction`."""
    return bool(getattr(error, _MARK, False))


async def _marking(value: Any) -> Any:
    try:
        return await value
    except Exception as error:
        _mark(error)
        raise


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ContractError(f"{where} must be a finite number, not {type(value).__name__}.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ContractError(f"{where} must be a finite number, not {number}.")
    return number


def _numbers(values: Mapping[str, Any], where: str) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise ContractError(f"The reward's {where} must be a mapping of names to numbers.")
    return {str(name): _number(value, f"The reward's {where}[{name!r}]") for name, value in values.items()}


def to_reward(value: Any, *, turns: int | None = None) -> Reward | None:
    """The reward that a reward function's return value means.

    Args:
        value: a finite number; a `Reward`; a mapping with `scores` (and `weights`, `metrics`,
            `turn_rewards`) or with `value`; None when not judged.
        turns: number of turns of the rollout; per-turn rewards must have that many.

    Raises:
        ContractError: anything else, or a number that is not finite.
    """
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = _from_mapping(value)
    if not isinstance(value, Reward):
        return Reward(_number(value, "A reward"))
    per_turn = value.turn_rewards
    if per_turn is not None:
        if isinstance(per_turn, str | bytes | Mapping) or not isinstance(per_turn, Sequence):
            raise ContractError("The reward's turn_rewards must be a sequence of numbers.")
        per_turn = [_number(item, f"The reward's turn_rewards[{n}]") for n, item in enumerate(per_turn)]
        if turns is not None and len(per_turn) != turns:
            raise ContractError(
                f"The reward has {len(per_turn)} turn_rewards, the rollout has {turns} turns."
            )
    return Reward(
        _number(value.value, "A reward"),
        _numbers(value.scores, "scores"),
        _numbers(value.weights, "weights"),
        _numbers(value.metrics, "metrics"),
        per_turn,
    )


def _from_mapping(value: Mapping[str, Any]) -> Reward:
    known = {"value", "scores", "weights", "metrics", "turn_rewards"}
    unknown = sorted(set(map(str, value)) - known)
    if unknown or not ({"value", "scores"} & set(value)):
        raise ContractError(
            "A reward given as a mapping has `scores` (with optional `weights`) or `value`, and optional "
            f"`metrics` and `turn_rewards`{'; unknown: ' + ', '.join(unknown) if unknown else ''}."
        )
    if "value" in value:
        if value.get("weights"):
            raise ContractError("A reward has either `value`, or `scores` with `weights`.")
        return Reward(
            value["value"],
            value.get("scores") or {},
            {},
            value.get("metrics") or {},
            value.get("turn_rewards"),
        )
    return Reward.from_scores(
        value["scores"],
        weights=value.get("weights"),
        metrics=value.get("metrics"),
        turn_rewards=value.get("turn_rewards"),
    )
