"""Tinker 0.38 (`tinker.types.Datum`), with the fields of tinker-cookbook's `trajectory_to_data`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentcore_rl.export.formats.unfit import Unfit
from agentcore_rl.export.row import Row

__all__ = ["datum"]


def datum(row: Row) -> Iterator[dict[str, Any]]:
    """`datum`, and beside it where it is from.

    The input is the row without its last id, every field of the loss is shifted by one: position i says what
    comes behind input i. As in the cookbook `mask` says what was sampled and trains (take it out before
    importance_sampling or ppo, which know no such field), and logprobs and advantages are 0 where it is 0.
    """
    if len(row.ids) < 2 or row.mask[0]:
        raise Unfit("sampled_without_a_prompt")
    mask = [float(one) for one in row.mask[1:]]
    fields: dict[str, dict[str, Any]] = {
        "target_tokens": _tensor(row.ids[1:].tolist(), "int64"),
        "logprobs": _tensor(row.filled_logprobs[1:], "float32"),
        "mask": _tensor(mask, "float32"),
    }
    if row.advantage is not None:
        fields["advantages"] = _tensor([row.advantage if on else 0.0 for on in mask], "float32")
    yield {
        "datum": {
            "model_input": {"chunks": [{"type": "encoded_text", "tokens": row.ids[:-1].tolist()}]},
            "loss_fn_inputs": fields,
        },
        **row.about,
    }


def _tensor(values: list[Any], dtype: str) -> dict[str, Any]:
    return {"data": values, "dtype": dtype, "shape": [len(values)]}
