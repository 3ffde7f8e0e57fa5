"""Lists the adapters that are installed and the releases that they stand on.

Of those that are named it says how the framework's messages deviate from what the model's server said. With
--compare one script is played in each of them, and every recorded message is compared with the script's:
equal in canonical form, but for what the adapter declares. The exit code is 1 when anything else differs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from typing import Any

    from agentcore_rl.cli.installed import Installed
    from agentcore_rl.testing.adapter_conformance_comparison import Difference

__all__ = ["LOGS", "add_arguments", "main"]

LOGS = False
"""It shows no log: importing `logging` would cost a list more than all else."""

_EQUAL, _DIFFERS = "=", "DIFFERS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `frameworks` takes."""
    parser.add_argument(
        "name", nargs="*", metavar="NAME", help="only these (default: all that are installed)"
    )
    parser.add_argument(
        "--deviations", action="store_true", help="also of all how their messages deviate, as for a NAME"
    )
    parser.add_argument(
        "--compare", action="store_true", help="play one script in each, compare the messages"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")


def main(args: argparse.Namespace) -> int:
    """Print what was found; 1 when messages differ that should not."""
    from agentcore_rl.cli.installed import adapter_points
    from agentcore_rl.exceptions import MissingDependencyError

    points = adapter_points()
    if not points:
        raise MissingDependencyError(
            'There is no adapter here. Install one of them with: pip install "agentcore-rl-strands" '
            "(or -langgraph, -autogen, -crewai)"
        )
    names = list(dict.fromkeys(args.name or points))
    if args.compare or any(name not in points for name in names):
        from agentcore_rl.adapter import ADAPTERS

        adapters = {adapter.name: adapter for adapter in map(ADAPTERS.require, names)}
        if args.compare:
            return _compare(adapters, args.json)
        names = list(adapters)  # `langchain` is `langgraph`
    return _list(
        {name: points[name] for name in names}, args.json, declared=bool(args.deviations or args.name)
    )


def _list(points: Mapping[str, Installed], as_json: bool, *, declared: bool) -> int:
    from agentcore_rl.cli.installed import releases, versions_of

    known = releases()
    found = [
        (name, versions_of(point, known), _declared(point) if declared else None)
        for name, point in points.items()
    ]
    if as_json:
        import json

        listed = [dict(zip(("name", "versions", "deviations"), row, strict=True)) for row in found]
        print(json.dumps({"adapters": listed}))
        return 0
    from agentcore_rl.cli.terminal import table

    rows: list[list[str]] = []
    for name, versions, deviations in found:
        words = [f if value is True else f"{f}: {value}" for f, value in (deviations or {}).items()]
        texts = [f"{package} {release}" for package, release in versions.items()]
        for place in range(max(1, len(texts), len(words))):
            columns = ([name], texts, words)
            rows.append([column[place] if place < len(column) else "" for column in columns])
    headings = ["adapter", "releases", "deviations"][: 3 if declared else 2]
    print("\n".join(table(headings, [row[: len(headings)] for row in rows])))
    if not declared:
        print(f"\nNext     agentcore-rl frameworks {found[0][0]}   # how its messages deviate")
    return 0


def _declared(point: Installed) -> dict[str, Any]:
    """The fields in which a framework does not do what is expected of one; loads the adapter alone."""
    from dataclasses import fields

    module, _, name = point.point.partition(":")
    deviations = getattr(__import__(module, fromlist=[name]), name).deviations
    return {
        field.name: getattr(deviations, field.name)
        for field in fields(deviations)
        if getattr(deviations, field.name) != field.default
    }


def _compare(adapters: Mapping[str, Any], as_json: bool) -> int:
    import asyncio
    import json
    import logging

    from agentcore_rl.cli.terminal import StatusLine
    from agentcore_rl.testing.adapter_conformance_comparison import compare_adapter

    # Frameworks warn of what the script does on purpose; without a handler Python would print that.
    logging.getLogger().addHandler(logging.NullHandler())
    status = StatusLine()
    played: dict[str, list[list[Difference]]] = {}
    for name, adapter in adapters.items():
        played[name] = []
        for stream in (False, True):
            status.update(f"{name}: playing the script, {'streamed' if stream else 'not streamed'}")
            played[name].append(asyncio.run(compare_adapter(adapter, stream=stream)))
    status.clear()
    cells = {name: _verdicts(both) for name, both in played.items()}
    well = all(cell != _DIFFERS for column in cells.values() for cell in column)
    if as_json:
        print(json.dumps({"well": well, "messages": _labels(played), "adapters": cells}))
    else:
        _print_comparison(_labels(played), cells)
    return 0 if well else 1


def _print_comparison(labels: Sequence[str], cells: Mapping[str, Sequence[str]]) -> None:
    from itertools import zip_longest

    from agentcore_rl.cli.terminal import table

    rows = [
        [str(number), label, *column]
        for number, (label, column) in enumerate(
            zip(labels, zip_longest(*cells.values(), fillvalue=""), strict=True), 1
        )
    ]
    print("\n".join(table(("", "message", *cells), rows, right=(0,))))
    print(
        f"\n{_EQUAL} equal in canonical form, streamed and not; a name is the declared deviation behind it."
    )


def _verdicts(both: Sequence[Sequence[Difference]]) -> list[str]:
    """One word for each message: of the two ways, the one with more to say."""
    from itertools import zip_longest

    def word(difference: Difference | None) -> str:
        if difference is None or difference.deviation == "":
            return _EQUAL
        return difference.deviation or _DIFFERS

    ranks = {_DIFFERS: 2, _EQUAL: 0}
    return [max(map(word, pair), key=lambda verdict: ranks.get(verdict, 1)) for pair in zip_longest(*both)]


def _labels(played: Mapping[str, Sequence[Sequence[Difference]]]) -> list[str]:
    """What each message of the script is, in a few words."""
    longest = max((way for both in played.values() for way in both), key=len)
    return [_label(difference) for difference in longest]


def _label(difference: Difference) -> str:
    message = difference.expected
    if message is None:
        return "not in the script"
    if message["role"] == "tool":
        return "tool that raised" if "error" in message else "tool"
    calls = len(message.get("tool_calls") or ())
    parts = [
        *(["reasoning"] if message.get("reasoning_content") else []),
        *(["text"] if message.get("content") else []),
        *([f"{calls} tool call{'s' * (calls > 1)}"] if calls else []),
    ]
    return str(message["role"]) if parts == ["text"] else f"{message['role']}: {', '.join(parts)}"
