"""Where a branch is from: what rows and conversations say of their rollout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentcore_rl.export.terms import Verdict
from agentcore_rl.rollout import Rollout

__all__ = ["Origin"]


@dataclass(frozen=True, slots=True)
class Origin:
    """One branch of one agent's turns.

    Attributes:
        run, task, sample, attempt, session: ids of the rollout.
        input_id: the id in the record's key.
        branch: number of the branch in its rollout.
        agent: whose turns these are.
        reward: of the rollout; None when not judged.
        masked: why nothing of it trains; None where something may.
        status, stop_reason: of the rollout.
        model: the model id of the endpoint.
    """

    run: str
    task: str
    sample: int
    attempt: int
    session: str
    input_id: str
    branch: int
    agent: str
    reward: float | None
    masked: str | None
    status: str
    stop_reason: str
    model: str | None

    @property
    def id(self) -> str:
        """The record's key with the number of the branch behind it: unique in a store."""
        return f"{self.run}/{self.input_id}/{self.session}/{self.branch}"

    @property
    def group(self) -> str:
        """What rewards are compared within: rollouts of the same task."""
        return self.task

    @staticmethod
    def fields(rollout: Rollout, judged: Verdict, branch: int, agent: str) -> dict[str, Any]:
        """The fields of a branch."""
        return {
            **{name: getattr(rollout, name) for name in _IDS},
            "branch": branch,
            "agent": agent,
            "reward": judged.reward,
            "masked": judged.masked,
            "status": rollout.status.value,
            "stop_reason": rollout.stop_reason.value,
            "model": rollout.model,
        }


_IDS = ("run", "task", "sample", "attempt", "session", "input_id")
