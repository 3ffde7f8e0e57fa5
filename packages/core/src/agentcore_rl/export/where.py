"""`--where`: a strict little filter of rollouts, such as `reward>0` or `status=succeeded`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.rollout import Rollout

__all__ = ["Condition", "conditions"]

_FORM = re.compile(r"\s*([A-Za-z_]+)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*")
_NONE = "none"
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}

_NUMBERS: dict[str, Callable[[Rollout], float | None]] = {
    "reward": lambda r: None if r.reward is None else r.reward.value,
    "sample": lambda r: r.sample,
    "attempt": lambda r: r.attempt,
    "turns": lambda r: sum(len(path.turns) for path in r.trajectories),
    "agents": lambda r: len(r.trajectories),
    "tokens": lambda r: r.usage.completion_tokens,
    "policy_version": lambda r: r.policy_versions[-1] if r.policy_versions else None,
}
_WORDS: dict[str, Callable[[Rollout], frozenset[str]]] = {
    "status": lambda r: frozenset([r.status.value]),
    "stop_reason": lambda r: frozenset([r.stop_reason.value]),
    "failure": lambda r: frozenset() if r.failure is None else frozenset([r.failure.kind.value]),
    "task": lambda r: frozenset([r.task]),
    "model": lambda r: frozenset() if r.model is None else frozenset([r.model]),
    "suspect": lambda r: frozenset(r.suspect),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition.

    Attributes:
        field: of the rollout.
        sign: how it is compared.
        value: with what; None is "none".
    """

    field: str
    sign: str
    value: float | str | None

    @classmethod
    def parse(cls, text: str) -> Condition:
        """The condition that a text such as `reward>0` means.

        Raises:
            ConfigurationError: it means none; the message says what would.
        """
        form = _FORM.fullmatch(text)
        if form is None:
            raise ConfigurationError(
                f"{text!r} is no condition: write FIELD SIGN VALUE, such as reward>0, status=succeeded or "
                "suspect=none."
            )
        field, sign, value = form.groups()
        if field in _NUMBERS:
            return cls(field, sign, _number(text, field, sign, value))
        if field not in _WORDS:
            fields = [*_NUMBERS, *_WORDS]
            near = get_close_matches(field, fields, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(fields)}."
            raise ConfigurationError(f"There is no field {field!r} to filter by; {hint}")
        if sign not in ("=", "!="):
            raise ConfigurationError(f"{text!r} compares words: {field} takes = and !=, not {sign}.")
        if not value:
            raise ConfigurationError(f"{text!r} has no value; {field}={_NONE} asks for rollouts without one.")
        return cls(field, sign, None if value == _NONE else value)

    def holds(self, rollout: Rollout) -> bool:
        """Whether it holds for a rollout. What is not there is smaller and greater than nothing.

        A field of several words (`suspect`) equals each of them.
        """
        if self.field in _NUMBERS:
            number = _NUMBERS[self.field](rollout)
            if number is None or self.value is None:
                return self.sign in ("=", "!=") and _COMPARE[self.sign](number, self.value)
            return _COMPARE[self.sign](number, self.value)
        words = _WORDS[self.field](rollout)
        equal = not words if self.value is None else self.value in words
        return equal is (self.sign == "=")

    def __str__(self) -> str:
        return f"{self.field}{self.sign}{_NONE if self.value is None else self.value}"


def conditions(texts: Iterable[str]) -> tuple[Condition, ...]:
    """The conditions, all of which must hold.

    Raises:
        ConfigurationError: a text means none.
    """
    return tuple(Condition.parse(text) for text in texts)


def _number(text: str, field: str, sign: str, value: str) -> float | None:
    if value == _NONE:
        if sign not in ("=", "!="):
            raise ConfigurationError(f"{text!r}: nothing is greater or smaller than {_NONE}; take = or !=.")
        return None
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if number != number or number in (float("inf"), float("-inf")):
        raise ConfigurationError(f"{text!r} compares {field}, a number, with {value!r}, which is none.")
    return number
