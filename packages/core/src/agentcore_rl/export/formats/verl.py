"""verl 0.9 (`AgentLoopOutput` of `verl/experimental/agent_loop`; `rl_dataset.py`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from agentcore_rl.export.conversations import decoded, message_texts
from agentcore_rl.export.formats.unfit import Unfit
from agentcore_rl.export.row import Row
from agentcore_rl.rollout import Rollout

__all__ = ["Prompts", "agent_loop_output"]

_TRUTHS = ("ground_truth", "answer", "solution", "target")


def agent_loop_output(row: Row) -> Iterator[dict[str, Any]]:
    """One `AgentLoopOutput(**line)`.

    `response_ids` has sampled ids and what tools and templates added behind the first prompt. Where
    `response_mask` is 0 verl's own loops put 0.0 in `response_logprobs`, and so does this; where nothing of
    a row has a logprob it is null.
    """
    cut = row.first_sampled
    known = any(row.mask)
    versions = row.policy_versions
    yield {
        "prompt_ids": row.ids[:cut].tolist(),
        "response_ids": row.ids[cut:].tolist(),
        "response_mask": row.mask[cut:].tolist(),
        "response_logprobs": row.filled_logprobs[cut:] if known else None,
        "reward_score": row.reward,
        "num_turns": len(row.turns) + sum(not span.sampled for span in row.spans),
        "metrics": {},
        "extra_fields": {
            "uid": row.group,
            "rollout": row.id,
            "agent": row.agent,
            "stop_reason": row.stop_reason,
            "masked": row.masked,
            "reward_extra_info": dict(row.scores),
            "min_policy_version": versions[0] if versions else None,
            "max_policy_version": versions[1] if versions else None,
        },
    }


class Prompts:
    """The tasks of a run as `RLHFDataset` reads them: one row for each task, whatever came of it.

    `prompt` is the first prompt of the first agent. `reward_model.ground_truth` is what the payload has under
    ground_truth, answer, solution or target, as text.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, rollout: Rollout) -> Iterator[dict[str, Any]]:
        """The task of a rollout; nothing where it is written already."""
        if rollout.task in self._seen:
            return
        first = next((turn for turn in rollout.turns if turn.stored.parent is None), None)
        if first is None:
            raise Unfit("no_turn")
        indexes = rollout.turns.prompt_indexes(first.stored)
        messages = [decoded(rollout.messages[index]) for index in indexes]
        index = len(self._seen)
        self._seen.add(rollout.task)
        payload = rollout.payload if isinstance(rollout.payload, dict) else {}
        truth = next((payload[name] for name in _TRUTHS if payload.get(name) is not None), None)
        yield {
            "data_source": rollout.run,
            "prompt": [
                {"role": str(one.get("role")), "content": message_texts(one)}
                for one in messages
                if isinstance(one, dict)
            ],
            "ability": "agent",
            "reward_model": {
                "style": "rule",
                "ground_truth": truth if isinstance(truth, str) or truth is None else json.dumps(truth),
            },
            "extra_info": {
                "split": "train",
                "index": index,
                "task": rollout.task,
                "payload": json.dumps(payload),
            },
        }
