"""The figures of runs, as a table that sets them side by side. Every number comes from the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentcore_rl.cli.terminal import number, table, visible
from agentcore_rl.outcome import RolloutOutcome
from agentcore_rl.read import CallFigures, Reliability, Run, Share, Summary, summarize
from agentcore_rl.stores.places import open_store

if TYPE_CHECKING:
    from agentcore_rl.cli.collection import Collection

__all__ = ["Row", "call_figures", "failures", "figures"]

_COLUMNS = (
    "rollouts",
    "reward [95 %]",
    "well-formed calls",
    "turns",
    "tokens",
    "cross-check",
    "suspect",
    "failed",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        summary: the run's figures.
        model: the model's id; None when the app chose it.
        framework: the agent's framework; None when it is not known.
        unrecorded: rollouts that failed without a record.
        folder: where the records are.
    """

    summary: Summary
    model: str | None
    framework: str | None = None
    unrecorded: int = 0
    folder: str | None = None

    @classmethod
    def of(
        cls, collection: Collection, outcomes: Iterable[RolloutOutcome], *, framework: str | None = None
    ) -> Row:
        """The figures of a run that has ended."""
        run = Run(open_store(collection.store), collection.run)
        unrecorded = sum(outcome.location is None for outcome in outcomes)
        return cls(
            summarize(run.rollouts), collection.model_id, framework, unrecorded, str(collection.folder)
        )

    @property
    def failed(self) -> int:
        """Rollouts that failed, with or without a record."""
        return sum(self.summary.failed.values()) + self.unrecorded

    def cells(self) -> list[str]:
        """Its texts, in the order of the columns."""
        summary = self.summary
        interval = summary.reward_interval
        reward = number(summary.mean_reward)
        if interval is not None:
            reward += f" [{interval.low:.2f}, {interval.high:.2f}]"
        known = [count for count in (summary.prompt_tokens, summary.completion_tokens) if count is not None]
        return [
            self.framework or "-",
            self.model or "-",
            str(summary.rollouts + self.unrecorded),
            reward,
            f"{summary.well_formed_calls} of {summary.tool_calls}",
            str(summary.turns),
            f"{sum(known):,}" if known else "-",
            _crosscheck(summary),
            str(summary.suspect),
            str(self.failed),
        ]

    def to_dict(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "framework": self.framework,
            "model": self.model,
            **self.summary.to_dict(),
            "unrecorded": self.unrecorded,
            "records": self.folder,
        }


def figures(rows: Sequence[Row]) -> list[str]:
    """The table's lines. A column of names that tells nothing apart is left out."""
    cells = [row.cells() for row in rows]
    headings = ["framework", "model", *_COLUMNS]
    first = 0 if len({row.framework for row in rows}) > 1 else 1
    if first and not any(row.model for row in rows):
        first = 2
    right = [headings.index(name) - first for name in headings[2:] if name != "reward [95 %]"]
    return table(headings[first:], [row[first:] for row in cells], right=right)


def _crosscheck(summary: Summary) -> str:
    """Calls that wire and callbacks saw alike, of all that either saw."""
    counts = summary.crosscheck
    if not counts.collected:
        return "-"
    seen = counts.matched + counts.wire_only + counts.callback_only + counts.differing
    return f"{counts.matched} of {seen}"


_TOOLS_SHOWN = 20
_NAME = 60


def call_figures(reliability: Reliability) -> list[str]:
    """The table of tool calls, a line per tool, and what else is to be said; empty where none was offered."""
    if not reliability.all.calls and not reliability.none_called.of:
        return []
    lines = _tools_table(reliability) if reliability.all.calls else []
    unknown = reliability.unknown_tools
    if unknown:
        some = ", ".join(
            f"{name[:_NAME] or '(no name)'} {count}" for name, count in list(unknown.items())[:5]
        )
        lines.append(f"not offered: {some}{', ...' if len(unknown) > 5 else ''}")
    none = reliability.none_called
    if none.hits:
        lines.append(f"tools offered and none called: {none.hits} of {none.of} rollouts")
    if reliability.spelled.hits:
        lines.append(
            f"calls spelled in the text, which no parser took: in {reliability.spelled_answers} answers "
            f"of {reliability.spelled.hits} rollouts"
        )
    if reliability.all.constrained:
        lines.append(
            f"sampled under a grammar: {reliability.all.constrained} of {reliability.all.calls} calls"
        )
    return [visible(line).replace("\n", " ") for line in lines]


def _tools_table(reliability: Reliability) -> list[str]:
    busiest = sorted(reliability.by_tool.items(), key=lambda item: -item[1].calls)
    rows = [_calls_row(name, each) for name, each in busiest[:_TOOLS_SHOWN]]
    if len(busiest) > _TOOLS_SHOWN:
        rows.append([f"... {len(busiest) - _TOOLS_SHOWN} more tools", *[""] * 6])
    headings = ["tool", "calls", "format [95 %]", "execution [95 %]", "recovered", "repeated", "errors"]
    return table(headings, [*rows, _calls_row("all calls", reliability.all)], right=(1,))


def _calls_row(name: str, each: CallFigures) -> list[str]:
    errors = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in each.errors.items())
    return [
        name[:_NAME],
        str(each.calls),
        _share(each.format),
        _share(each.execution),
        f"{each.recovery.hits} of {each.recovery.of}" if each.recovery.of else "-",
        str(each.waste.hits),
        errors or "-",
    ]


def _share(share: Share) -> str:
    interval = share.interval
    return number(share.rate) + ("" if interval is None else f" [{interval.low:.2f}, {interval.high:.2f}]")


def failures(outcomes: Iterable[RolloutOutcome]) -> list[str]:
    """One line per way in which rollouts failed, the most frequent first; at most five."""
    ways: Counter[tuple[str, str]] = Counter()
    example: dict[tuple[str, str], str] = {}
    for outcome in outcomes:
        if outcome.failure is not None:
            way = (outcome.failure.kind.value, " ".join(outcome.failure.message.split())[:300])
            ways[way] += 1
            example.setdefault(way, outcome.request.rollout_id)
    lines = [
        f"{count} failed, {kind}: {message} ({example[kind, message]})"
        for (kind, message), count in ways.most_common(5)
    ]
    return [*lines, f"... and {len(ways) - 5} other ways"] if len(ways) > 5 else lines
