"""prime-rl 0.8 (`TrainingSample`): a sequence without a cut between prompt and answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentcore_rl.export.row import Row

__all__ = ["training_sample"]

_DEFAULT_TEMPERATURE = 1.0
"""The chat API's own, where a request says none."""


def training_sample(row: Row) -> Iterator[dict[str, Any]]:
    """`sample`, whose keys are those of `TrainingSample`, and beside it where it is from.

    Where `mask` is false nothing trains, and logprobs are 0.0, since the type has no null.
    """
    sample: dict[str, Any] = {
        "token_ids": row.ids.tolist(),
        "mask": [on == 1 for on in row.mask],
        "logprobs": row.filled_logprobs,
        "temperatures": [_DEFAULT_TEMPERATURE if value is None else value for value in row.temperatures],
        "env_name": row.run,
    }
    if row.advantage is not None:
        sample["advantages"] = [row.advantage if on else 0.0 for on in row.mask]
    yield {
        "sample": sample,
        **row.about,
    }
