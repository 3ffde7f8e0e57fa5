"""TRL 1.16 (`trl/trainer/sft_trainer.py`, `grpo_trainer.py`): data sets for SFT, and GRPO's rollout_func.

Each line becomes one example of `datasets.load_dataset("json", data_files=FILE)`. `tools` is a JSON text,
which SFTTrainer decodes; arguments of tool calls are objects, as chat templates want them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from agentcore_rl.export.conversations import Conversation, parsed_arguments
from agentcore_rl.export.formats.unfit import refuse_untrained
from agentcore_rl.export.row import Row

__all__ = ["language_modeling", "prompt_completion", "rollout_func"]


def language_modeling(conversation: Conversation) -> Iterator[dict[str, Any]]:
    """`messages` and `tools`: a whole conversation, of which TRL trains every assistant message.

    TRL has no mask for single messages, so a branch that shares an answer with an earlier one does not fit:
    that answer would train twice. Neither does one whose prompt brought answers of its own.
    """
    refuse_untrained(conversation)
    yield {
        "messages": parsed_arguments(conversation).messages,
        "tools": json.dumps(conversation.tools),
        **_about(conversation),
    }


def prompt_completion(conversation: Conversation) -> Iterator[dict[str, Any]]:
    """`prompt`, `completion` and `tools`: an example for each answer, which so trains exactly once."""
    messages = parsed_arguments(conversation).messages
    for at in sorted(conversation.trained):
        yield {
            "prompt": messages[:at],
            "completion": [messages[at]],
            "tools": json.dumps(conversation.tools),
            "turn": conversation.answers[at],
            **_about(conversation),
        }


def rollout_func(row: Row) -> Iterator[dict[str, Any]]:
    """`prompt_ids`, `completion_ids`, `logprobs`, `env_mask`: columns, as a `rollout_func` returns them.

    TRL takes null for a logprob that is not there, and leaves that id out of its correction. Every other
    column reaches reward functions by its name, so `env_reward` can be handed on.
    """
    cut = row.first_sampled
    yield {
        "prompt_ids": row.ids[:cut].tolist(),
        "completion_ids": row.ids[cut:].tolist(),
        "logprobs": row.logprobs[cut:],
        "env_mask": row.mask[cut:].tolist(),
        "env_reward": row.reward,
        "id": row.id,
        "group": row.group,
        "agent": row.agent,
        "masked": row.masked,
        "policy_version": row.policy_versions[0] if row.policy_versions else None,
    }


def _about(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "group": conversation.task,
        "agent": conversation.agent,
        "reward": conversation.reward,
    }
