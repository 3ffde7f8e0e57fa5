"""Why sampled tokens do not train, in words: by the rule that exports follow unless told otherwise."""

from __future__ import annotations

from agentcore_rl.export.branches import is_partial
from agentcore_rl.export.terms import Terms, verdict
from agentcore_rl.rollout import Rollout, Turn

__all__ = ["rollout_mask", "turn_mask"]


def rollout_mask(rollout: Rollout) -> str | None:
    """Why nothing of a rollout trains; None where something may."""
    judged = verdict(rollout, Terms())
    if judged.left_out is not None:
        return "infrastructure failed, which says nothing of the policy"
    if judged.masked == "suspect":
        return f"the rollout is suspect: {', '.join(rollout.suspect)}"
    if judged.masked == "no_reward":
        return "the rollout has no reward"
    return None if judged.masked is None else f"the rollout failed: {judged.masked.removesuffix('_failure')}"


def turn_mask(turn: Turn) -> str | None:
    """Why what was sampled in a turn does not train, whatever its rollout; None where it may."""
    if turn.tokens is None:
        return "the server gave no token ids"
    if is_partial(turn):
        return "the answer is not whole"
    if turn.tokens.prompt_new is None:
        return "the server gave no ids of the prompt"
    return "the server gave no logprobs" if turn.tokens.logprobs is None else None
