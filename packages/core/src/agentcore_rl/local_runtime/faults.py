"""Faults that the runtime makes on purpose: for tests, and for drills of your own."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.local_runtime.refusals import ServiceError

__all__ = ["FAULTS", "REFUSALS", "FaultRule", "Faults"]

REFUSALS = {
    "throttle": ServiceError.THROTTLED,
    "quota": ServiceError.QUOTA,
    "conflict": ServiceError.CONFLICT,
    "deny": ServiceError.DENIED,
    "internal": ServiceError.INTERNAL,
    "fail-start": ServiceError.RUNTIME_CLIENT,
}
"""Faults that are an error of the service; the app never hears of the call."""
FAULTS = {
    "throttle": "429 ThrottlingException",
    "quota": "402 ServiceQuotaExceededException",
    "conflict": "409 RetryableConflictException",
    "deny": "403 AccessDeniedException",
    "internal": "500 InternalServerException",
    "fail-start": "424 RuntimeClientError instead of a new session",
    "slow-start": "a new session starts seconds later",
    "kill-before": "the session is killed before it gets the payload",
    "kill-after": "the session is killed once it has answered",
    "kill": "the session is killed at a random moment, at most seconds after it got the payload",
    "lose-answer": "the app answers, and the connection is dropped",
    "duplicate": "the app gets the payload twice; the second answer counts",
}
"""Every fault by name."""
_NEW_ALONE = {"fail-start", "slow-start"}


@dataclass(slots=True)
class FaultRule:
    """When to make which fault.

    Attributes:
        fault: a name of `FAULTS`.
        operation: invoke or stop; stop can be refused only.
        count: how many more times; None: any number.
        probability: of each call that the rule fits.
        sessions: shell-style pattern of session ids.
        seconds: how long a slow start takes, and within what time a session is killed.
        seed: of the probability's draws; None: another series each time.
        hits: how many times it has been made.

    Raises:
        ConfigurationError: an attribute makes no sense.
    """

    fault: str
    operation: str = "invoke"
    count: int | None = None
    probability: float = 1.0
    sessions: str = "*"
    seconds: float = 5.0
    seed: int | None = None
    hits: int = 0
    _draws: random.Random = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ConfigurationError(f"There is no fault {self.fault!r}; there are: {', '.join(FAULTS)}.")
        if self.operation not in ("invoke", "stop"):
            raise ConfigurationError(f"A fault's operation is invoke or stop, not {self.operation!r}.")
        if self.operation == "stop" and (self.fault not in REFUSALS or self.fault in _NEW_ALONE):
            raise ConfigurationError(f"The fault {self.fault} happens to an invoke alone, not to a stop.")
        if not _is_number(self.probability) or not 0 <= self.probability <= 1:
            raise ConfigurationError(f"A probability is a number from 0 to 1, not {self.probability!r}.")
        if not _is_number(self.seconds) or not (self.seconds >= 0 and math.isfinite(self.seconds)):
            raise ConfigurationError(f"A fault's seconds are a number of at least 0, not {self.seconds!r}.")
        for name, value in (("count", self.count), ("seed", self.seed)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise ConfigurationError(f"A fault's {name} is a whole number of at least 0, not {value!r}.")
        if not isinstance(self.sessions, str):
            raise ConfigurationError(f"A fault's sessions are a pattern of ids, not {self.sessions!r}.")
        self._draws = random.Random(self.seed)

    def fits(self, operation: str, session: str, *, new: bool) -> bool:
        """Whether the fault is to be made now; counts and draws."""
        if self.operation != operation or not fnmatchcase(session, self.sessions):
            return False
        if (self.fault in _NEW_ALONE and not new) or self.count == 0:
            return False
        if self._draws.random() >= self.probability:
            return False
        self.count = None if self.count is None else self.count - 1
        self.hits += 1
        return True

    def moment(self) -> float:
        """Seconds until a session is killed."""
        return self._draws.uniform(0, self.seconds)

    def as_json(self) -> dict[str, Any]:
        """The rule as the control route shows it."""
        return {name: getattr(self, name) for name in (*_FIELDS, "hits")}


_FIELDS = ("fault", "operation", "count", "probability", "sessions", "seconds", "seed")


class Faults:
    """The rules of one runtime, in order; of those that fit a call the first counts. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[FaultRule] = []

    @property
    def rules(self) -> list[FaultRule]:
        """The rules, used up ones too."""
        with self._lock:
            return list(self._rules)

    def add(self, fault: str, **options: Any) -> FaultRule:
        """Add a rule: a fault, with attributes of `FaultRule` by name.

        Raises:
            ConfigurationError: there is no such fault, or an attribute makes no sense.
        """
        return self.add_json({"fault": fault, **options})

    def add_json(self, rule: Mapping[str, Any]) -> FaultRule:
        """Add a rule that is written as an object.

        Raises:
            ConfigurationError: see `add`.
        """
        unknown = [name for name in rule if name not in _FIELDS]
        if unknown or "fault" not in rule:
            raise ConfigurationError(
                f"A fault has a name (fault), and may have {', '.join(_FIELDS[1:])}; "
                + (f"not {', '.join(unknown)}." if unknown else "the name is missing.")
            )
        made = FaultRule(**rule)
        with self._lock:
            self._rules.append(made)
        return made

    def add_text(self, text: str) -> FaultRule:
        """Add a rule in the form NAME[:PROBABILITY][:ATTRIBUTE=VALUE]..., as `kill:0.1:seconds=3`.

        Raises:
            ConfigurationError: see `add`.
        """
        fault, *parts = text.split(":")
        options: dict[str, Any] = {}
        for part in parts:
            name, is_named, value = part.partition("=")
            name, value = (name, value) if is_named else ("probability", part)
            kind = {"count": int, "seed": int, "probability": float, "seconds": float}.get(name, str)
            try:
                options[name] = kind(value)
            except ValueError:
                raise ConfigurationError(f"{part!r} of the fault {text!r} is no number.") from None
        return self.add(fault, **options)

    def clear(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules.clear()

    def pick(self, operation: str, session: str, *, new: bool = False) -> FaultRule | None:
        """The rule that this call falls under; None for none."""
        with self._lock:
            return next((rule for rule in self._rules if rule.fits(operation, session, new=new)), None)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
