"""The reward of the math demo, in the manner of GSM8K: the number after `####` decides."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from agentcore_rl.reward import RewardFunction

__all__ = ["GSM8KReward"]

# A number with optional sign, dollar sign, thousands commas and decimals: -$1,234.50
_NUMBER = re.compile(r"(?:(?<![\d)])-)?(?:\$\s?-?)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+|(?=\.\d))(?:\.\d+)?")


class GSM8KReward(RewardFunction):
    """1.0 when the answer's number equals the ground truth, else 0.0.

    The number is the first one after the last `####`, else the last number of the text. Thousands commas,
    `$`, `%`, a sentence's full stop and trailing zeros make no difference.

    The reward is called as `(payload, output, rollout)`, where `payload["answer"]` is the ground truth and
    `output` the agent's text, or by name: `GSM8KReward()(response_text="#### 7", ground_truth="7")`.
    """

    def reward(
        self,
        payload: Mapping[str, Any] | None = None,
        output: Any = None,
        rollout: Any = None,
        *,
        response_text: str | None = None,
        ground_truth: str | float | None = None,
    ) -> float:
        """Judges one answer.

        Args:
            payload: The task; its `answer` is the ground truth unless `ground_truth` is given.
            output: The agent's answer; anything but a string is judged by its text. `None` earns 0.0.
            rollout: Not used.
            response_text: The answer as text, in place of `output`.
            ground_truth: The right number; a text may be a whole GSM8K solution that ends with `#### N`.

        Returns:
            1.0 or 0.0.

        Raises:
            ValueError: No ground truth is given, or it holds no number.
        """
        truth = ground_truth if ground_truth is not None else (payload or {}).get("answer")
        expected = _final_number(str(truth)) if truth is not None else None
        if expected is None:
            raise ValueError(f"The ground truth holds no number: {truth!r}. Give the task an `answer`.")
        text = response_text if response_text is not None else output
        return 1.0 if text is not None and _final_number(str(text)) == expected else 0.0


def _final_number(text: str) -> Decimal | None:
    """The number after the last `####`, else the last number of the text, else None."""
    _, marker, tail = text.rpartition("####")
    found = _NUMBER.findall(tail)
    if marker and found:
        return _decimal(found[0])
    found = _NUMBER.findall(text)
    return _decimal(found[-1]) if found else None


def _decimal(number: str) -> Decimal | None:
    try:
        return Decimal(re.sub(r"[$,\s]", "", number).replace("--", "-"))
    except InvalidOperation:
        return None
