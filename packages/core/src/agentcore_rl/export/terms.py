"""Which rollouts train: one stated rule for failures, suspicion and missing rewards.

- Infrastructure failed it: left out, since it says nothing of the policy.
- It failed otherwise: masked. With `failed_reward`, what the agent or its time limit failed trains with that.
- It has no reward: masked, where the format needs one.
- It is suspect: masked, unless `include_suspect`.
- A limit of turns or tokens ended it: it trains; `stop_reason` says so.

Masked means for rows of ids that they are written with a mask of zeros, so that the reward still counts in
its group. Formats without a mask, and rows without a reward that they need, are left out and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentcore_rl.read.attempts import is_infrastructure_failure
from agentcore_rl.rollout import FailureKind, Rollout, Status

__all__ = ["Terms", "Verdict", "verdict"]

_POLICYS = frozenset({FailureKind.AGENT, FailureKind.MODEL, FailureKind.TOOL, FailureKind.TIMEOUT})
"""Failures that a reward can be given for; that of the reward function or a return value is none of them."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the rule leaves to the caller.

    Attributes:
        include_suspect: rollouts train although their turns may not be the whole truth.
        failed_reward: the reward of rollouts that the agent failed or that ran out of time; None masks them.
    """

    include_suspect: bool = False
    failed_reward: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rule says of one rollout.

    Attributes:
        reward: what it trains with; None without one.
        left_out: why it is in no file; None where it may be.
        masked: why nothing of it trains; None where something may.
    """

    reward: float | None
    left_out: str | None = None
    masked: str | None = None


def verdict(rollout: Rollout, terms: Terms, *, needs_reward: bool = True) -> Verdict:
    """What the rule says.

    Args:
        rollout: one.
        terms: what is left to the caller.
        needs_reward: whether a rollout without a reward is of no use.
    """
    failure = rollout.failure
    reward = None if rollout.reward is None else rollout.reward.value
    if is_infrastructure_failure(failure):
        return Verdict(None, left_out="infrastructure_failure")
    masked = None
    if rollout.status is not Status.SUCCEEDED:
        kind = "unknown" if failure is None else failure.kind.value
        if reward is None and failure is not None and failure.kind in _POLICYS:
            reward = terms.failed_reward
        if reward is None or terms.failed_reward is None:
            masked = f"{kind}_failure"
    elif reward is None and needs_reward:
        masked = "no_reward"
    if masked is None and rollout.suspect and not terms.include_suspect:
        masked = "suspect"
    return Verdict(reward, masked=masked)
