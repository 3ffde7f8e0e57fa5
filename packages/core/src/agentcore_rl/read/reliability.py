"""How reliably tools are called: the figures of tool calls over many rollouts.

Two rates that are easily mixed up stand apart: that of the format (parsed, known, valid by the schema), which
is the model's doing alone, and that of the execution (run without an error). Each has an interval that is
clustered by rollout, since calls of one rollout are not independent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentcore_rl.read.interval import Share, ShareCount
from agentcore_rl.read.spelled import spelled_calls
from agentcore_rl.read.tool_calls import ToolCall, tool_calls
from agentcore_rl.rollout import Rollout

__all__ = ["CallFigures", "Reliability", "ReliabilityCount", "framework_of", "reliability"]

_NONE = Share()
_MAX_NAMES = 500
OTHER = "(other)"
"""Under this name stand tools, agents and versions beyond the first 500 of their kind."""
UNKNOWN = "unknown"
"""Under this name stands what the record does not tell: a framework, a policy version."""


@dataclass(frozen=True, slots=True)
class CallFigures:
    """The figures of some tool calls. A share without anything to count has the rate None.

    Attributes:
        calls: how many.
        rollouts: in how many rollouts.
        format: right by format, of those whose format can be judged.
        execution: run without an error, of those that somebody watched.
        recovery: got over, of those with an error.
        waste: repeated for nothing, of all.
        errors: calls by the class of their error.
        undeclared: calls with arguments that their schema does not name and lets pass.
        constrained: calls that were sampled under a grammar.
    """

    calls: int = 0
    rollouts: int = 0
    format: Share = _NONE
    execution: Share = _NONE
    recovery: Share = _NONE
    waste: Share = _NONE
    errors: Mapping[str, int] = field(default_factory=dict)
    undeclared: int = 0
    constrained: int = 0

    def to_dict(self) -> dict[str, Any]:
        """These figures as a JSON object."""
        return {
            "calls": self.calls,
            "rollouts": self.rollouts,
            **{name: getattr(self, name).to_dict() for name in _SHARES},
            "errors": dict(self.errors),
            "undeclared": self.undeclared,
            "constrained": self.constrained,
        }


@dataclass(frozen=True, slots=True)
class Reliability:
    """How reliably tools were called.

    Attributes:
        rollouts: how many were read.
        all: the figures of all calls.
        by_tool: of the tools that were offered, by name.
        by_error: of the calls with an error, by its class.
        by_framework: by the framework of the rollout (`framework_of`).
        by_agent: by the label of the trajectory's agent.
        by_policy_version: by the version that sampled.
        unknown_tools: calls of tools that were not offered, by the name that the model wrote.
        none_called: rollouts without any call, of those in which tools were offered.
        spelled: rollouts in which an answer spells a call that no parser took (`spelled_calls`), of those in
            which tools were offered.
        spelled_answers: how many answers do.
    """

    rollouts: int = 0
    all: CallFigures = field(default_factory=CallFigures)
    by_tool: Mapping[str, CallFigures] = field(default_factory=dict)
    by_error: Mapping[str, CallFigures] = field(default_factory=dict)
    by_framework: Mapping[str, CallFigures] = field(default_factory=dict)
    by_agent: Mapping[str, CallFigures] = field(default_factory=dict)
    by_policy_version: Mapping[str, CallFigures] = field(default_factory=dict)
    unknown_tools: Mapping[str, int] = field(default_factory=dict)
    none_called: Share = _NONE
    spelled: Share = _NONE
    spelled_answers: int = 0

    def to_dict(self) -> dict[str, Any]:
        """These figures as a JSON object."""
        return {
            "rollouts": self.rollouts,
            "all": self.all.to_dict(),
            **{
                name: {key: figures.to_dict() for key, figures in getattr(self, name).items()}
                for name in _DIMENSIONS
            },
            "unknown_tools": dict(self.unknown_tools),
            "none_called": self.none_called.to_dict(),
            "spelled": self.spelled.to_dict(),
            "spelled_answers": self.spelled_answers,
        }


_SHARES = ("format", "execution", "recovery", "waste")
_DIMENSIONS = ("by_tool", "by_error", "by_framework", "by_agent", "by_policy_version")


def framework_of(rollout: Rollout) -> str | None:
    """The framework that made a rollout, as the record's software tells it; None when it does not.

    The name of the adapter that was loaded; of several, all, joined by `+`.
    """
    adapters = {
        name.removeprefix("agentcore-rl-") for name in rollout.software if name.startswith("agentcore-rl-")
    }
    return "+".join(sorted(adapters - {"gateway", "gym"})) or None


def reliability(rollouts: Iterable[Rollout]) -> Reliability:
    """The figures of the tool calls of rollouts, read one by one (the chosen attempts: `Run.rollouts`)."""
    count = ReliabilityCount()
    for rollout in rollouts:
        count.add(rollout)
    return count.figures()


class ReliabilityCount:
    """Counts rollout by rollout; its memory grows with the number of names, which is bounded."""

    def __init__(self) -> None:
        self._rollouts = 0
        self._all = _Count()
        self._by: dict[str, dict[str, _Count]] = {name: {} for name in _DIMENSIONS}
        self._unknown: Counter[str] = Counter()
        self._none_called, self._spelled = ShareCount(), ShareCount()
        self._spelled_answers = 0

    def add(self, rollout: Rollout) -> list[ToolCall]:
        """Count one rollout; its tool calls, so that nobody need judge them again."""
        calls = list(tool_calls(rollout))
        self._rollouts += 1
        if calls:
            self._all.add(calls)
            for name, key in self._parts(rollout, calls):
                groups: dict[str, list[ToolCall]] = {}
                for call, of in zip(calls, key, strict=True):
                    if of is not None:
                        groups.setdefault(of, []).append(call)
                for of, those in groups.items():
                    _counted(self._by[name], of).add(those)
        if any(turn.tools is not None for path in rollout.trajectories for turn in path.turns):
            spelled = sum(1 for _ in spelled_calls(rollout))
            self._none_called.add(not calls, 1)
            self._spelled.add(spelled > 0, 1)
            self._spelled_answers += spelled
        return calls

    def _parts(self, rollout: Rollout, calls: list[ToolCall]) -> Iterable[tuple[str, list[str | None]]]:
        """For each dimension, under which name each call stands; None: under none."""
        framework = framework_of(rollout) or UNKNOWN
        for call in calls:
            if not call.known:
                self._unknown[
                    call.name if call.name in self._unknown or len(self._unknown) < _MAX_NAMES else OTHER
                ] += 1
        yield "by_tool", [call.name if call.known else None for call in calls]
        yield "by_error", [None if call.error is None else call.error.value for call in calls]
        yield "by_framework", [framework for _ in calls]
        yield "by_agent", [call.agent or UNKNOWN for call in calls]
        yield (
            "by_policy_version",
            [UNKNOWN if call.policy_version is None else str(call.policy_version) for call in calls],
        )

    def figures(self) -> Reliability:
        """What was counted so far."""
        parts = {
            name: {key: counts[key].figures() for key in sorted(counts, key=_in_order)}
            for name, counts in self._by.items()
        }
        return Reliability(
            rollouts=self._rollouts,
            all=self._all.figures(),
            by_tool=parts["by_tool"],
            by_error=parts["by_error"],
            by_framework=parts["by_framework"],
            by_agent=parts["by_agent"],
            by_policy_version=parts["by_policy_version"],
            unknown_tools=dict(self._unknown.most_common()),
            none_called=self._none_called.share(),
            spelled=self._spelled.share(),
            spelled_answers=self._spelled_answers,
        )


class _Count:
    """The calls under one name."""

    __slots__ = ("_constrained", "_errors", "_shares", "_undeclared")

    def __init__(self) -> None:
        self._shares = {name: ShareCount() for name in _SHARES}
        self._errors: Counter[str] = Counter()
        self._undeclared = self._constrained = 0

    def add(self, calls: list[ToolCall]) -> None:
        """Count those of one rollout."""
        form, form_of, run, run_of, over, over_of, again = 0, 0, 0, 0, 0, 0, 0
        for call in calls:
            if (good := call.format_ok) is not None:
                form, form_of = form + good, form_of + 1
            if (good := call.execution_ok) is not None:
                run, run_of = run + good, run_of + 1
            if call.error is not None:
                over, over_of = over + bool(call.recovered), over_of + 1
                self._errors[call.error.value] += 1
            again += call.repeated
            self._undeclared += bool(call.undeclared)
            self._constrained += call.constrained
        shares = self._shares
        shares["format"].add(form, form_of)
        shares["execution"].add(run, run_of)
        shares["recovery"].add(over, over_of)
        shares["waste"].add(again, len(calls))

    def figures(self) -> CallFigures:
        every = self._shares["waste"]
        return CallFigures(
            calls=every.of,
            rollouts=every.clusters,
            **{name: count.share() for name, count in self._shares.items()},
            errors=dict(self._errors.most_common()),
            undeclared=self._undeclared,
            constrained=self._constrained,
        )


def _counted(counts: dict[str, _Count], name: str) -> _Count:
    """The count under this name, or under OTHER when there are too many names already."""
    if name not in counts and len(counts) >= _MAX_NAMES:
        name = OTHER
    if name not in counts:
        counts[name] = _Count()
    return counts[name]


def _in_order(name: str) -> tuple[int, int, str]:
    """Versions by their number, everything else by its letters, what is not a name of its own last."""
    if name in (OTHER, UNKNOWN):
        return (2, 0, name)
    short = name.isascii() and name.isdigit() and len(name) < 20
    return (0, int(name), "") if short else (1, 0, name)
