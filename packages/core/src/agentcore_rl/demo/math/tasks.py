"""The problems and the instructions of the math demo."""

import json
from importlib.resources import files
from typing import Any, Literal

__all__ = ["SYSTEM_PROMPT", "load_tasks"]

SYSTEM_PROMPT = (
    "You solve math word problems. Use the calculator tool for every calculation. "
    "Then end your answer with #### followed by the final number alone."
)
"""The math agent's instructions; `smollm2-tools` was trained with these words."""


def load_tasks(
    split: Literal["train", "heldout"] = "heldout", level: int | None = None
) -> list[dict[str, Any]]:
    """Reads the word problems that come with the package.

    Args:
        split: `train`, which the adapter of `smollm2-tools` has seen, or `heldout`, which shares neither
            template text nor numbers with it.
        level: Number of arithmetic steps, 1 or more. `None` gives every level, the easiest first.

    Returns:
        Payloads in file order, each with `id`, `prompt`, `answer` (a number as text) and `level`.

    Raises:
        ValueError: There is no such split.
    """
    if split not in ("train", "heldout"):
        raise ValueError(f"There is no split {split!r} of the math tasks: choose 'train' or 'heldout'.")
    lines = files(__package__).joinpath(f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    tasks: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [task for task in tasks if level is None or task["level"] == level]
