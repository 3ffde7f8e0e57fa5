"""Compares two runs of the same tasks: rewards pair by pair, tool calls, which tasks were won and lost.

RUN is a run's folder, its id or the beginning of one, `last`, or s3://bucket/prefix/RUN. Rollouts are paired
by task and sample; differences are the second run's figures minus the first's, with 95 % intervals.

  agentcore-rl compare before after
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from agentcore_rl.read import Comparison, Interval
    from agentcore_rl.read.comparison import PairedTest, RateDifference, TaskDifference

__all__ = ["add_arguments", "main"]

_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `compare` takes."""
    parser.add_argument("first", metavar="RUN", help="the run to compare with, as above")
    parser.add_argument("second", metavar="RUN", help="the run that is compared")
    parser.add_argument(
        "--out", metavar="DIR", default="rollouts", help="directory of run folders (default: rollouts)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")


def main(args: argparse.Namespace) -> int:
    """Print the comparison."""
    import json
    from pathlib import Path

    from agentcore_rl.cli.run_folder import find_run
    from agentcore_rl.exceptions import ConfigurationError
    from agentcore_rl.read import compare, read_run

    first, second = (read_run(find_run(wanted, Path(args.out))) for wanted in (args.first, args.second))
    compared = compare(first, second)
    if not compared.pairs and not compared.unjudged:
        raise ConfigurationError(
            f"The runs {first.id} and {second.id} have no rollout in common, so there is nothing to compare: "
            "rollouts are paired by task and sample. Run both over the same task file."
        )
    if args.json:
        print(json.dumps({"first": first.id, "second": second.id, **compared.to_dict()}))
        return 0
    for line in _lines(first.id, second.id, compared):
        print(line)
    return 0


def _lines(first: str, second: str, compared: Comparison) -> Iterator[str]:
    from agentcore_rl.cli.terminal import table, visible

    yield visible(
        f"{second} against {first}, over {_count(compared.pairs, 'pair')} in {_count(compared.tasks, 'task')}"
    )
    yield ""
    reward = [
        "reward",
        _number(compared.first_mean),
        _number(compared.second_mean),
        _change(compared.difference, compared.interval),
    ]
    rows = [reward, *_rates("all calls", {"format": compared.format, "execution": compared.execution})]
    for name, levels in compared.tools.items():
        rows += _rates(name[:60], levels)
    yield from table(["", visible(first), visible(second), "difference [95 %]"], rows, right=(1, 2))
    yield ""
    yield _tested(compared.test)
    for what, tasks in (("won", compared.won), ("lost", compared.lost)):
        if tasks:
            yield visible(f"{what}: {_some(tasks)}").replace("\n", " ")
    for name, ids in ((first, compared.only_first), (second, compared.only_second)):
        if ids:
            more = ", ..." if len(ids) > _SHOWN else ""
            yield visible(f"only in {name}: {_count(len(ids), 'rollout')}: {', '.join(ids[:_SHOWN])}{more}")
    if compared.unjudged:
        yield f"not compared: {_count(compared.unjudged, 'rollout')} that in one run or both has no reward"


def _rates(name: str, levels: Mapping[str, RateDifference]) -> Iterator[list[str]]:
    for level, rate in levels.items():
        if any(rate.calls):
            change = _change(rate.difference, rate.interval)
            yield [f"{name}, {level}", _number(rate.first), _number(rate.second), change]


def _tested(test: PairedTest) -> str:
    text = f"won {test.won}, lost {test.lost}, equal {test.tied} tasks"
    if test.p_value is None:
        return text
    named = "McNemar's exact test" if test.name == "mcnemar" else "sign test"
    value = "p < 0.0001" if test.p_value < 0.0001 else f"p = {test.p_value:.4f}"
    return f"{text}; {named}: {value}"


def _some(tasks: Sequence[TaskDifference]) -> str:
    shown = [f"{each.task} ({each.first:g} to {each.second:g})" for each in tasks[:_SHOWN]]
    return ", ".join([*shown, "..."] if len(tasks) > _SHOWN else shown)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _change(difference: float | None, interval: Interval | None) -> str:
    if difference is None:
        return "-"
    return f"{difference:+.3f}" + (
        "" if interval is None else f" [{interval.low:+.3f}, {interval.high:+.3f}]"
    )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
