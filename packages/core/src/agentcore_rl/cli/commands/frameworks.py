"""Lists the adapters that are installed: their framework's release, and how its messages deviate.

With --compare one script is played in each of them, and every recorded message is compared with the script's:
equal in canonical form, but for what the adapter declares. The exit code is 1 when anything else differs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from typing import Any

    from agentcore_rl.testing.adapter_conformance_comparison import Difference

__all__ = ["add_arguments", "main"]

_EQUAL, _DIFFERS = "=", "DIFFERS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `frameworks` takes."""
    parser.add_argument(
        "name", nargs="*", metavar="NAME", help="only these (default: all that are installed)"
    )
    parser.add_argument(
        "--compare", action="store_true", help="play one script in each, compare the messages"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")


def main(args: argparse.Namespace) -> int:
    """Print what was found; 1 when messages differ that should not."""
    from agentcore_rl.adapter import ADAPTERS
    from agentcore_rl.exceptions import MissingDependencyError

    if not len(ADAPTERS):
        raise MissingDependencyError(
            'There is no adapter here. Install one of them with: pip install "agentcore-rl-strands" '
            "(or -langgraph, -autogen, -crewai)"
        )
    adapters = {name: ADAPTERS.require(name) for name in args.name or ADAPTERS}
    return _compare(adapters, args.json) if args.compare else _list(adapters, args.json)


def _list(adapters: Mapping[str, Any], as_json: bool) -> int:
    import json

    from agentcore_rl.cli.terminal import table

    found = [
        (name, _versions(adapter.name), _declared(adapter.deviations)) for name, adapter in adapters.items()
    ]
    if as_json:
        listed = [dict(zip(("name", "versions", "deviations"), row, strict=True)) for row in found]
        print(json.dumps({"adapters": listed}))
        return 0
    rows: list[tuple[str, str, str]] = []
    for name, versions, deviations in found:
        words = [field if value is True else f"{field}: {value}" for field, value in deviations.items()]
        columns = zip(
            [name, *[""] * max(len(versions), len(words))],
            [*(f"{name} {release}" for name, release in versions.items()), *[""] * len(words)],
            [*words, *[""] * len(versions)],
            strict=False,
        )
        rows += [row for row in columns if any(row)]
    print("\n".join(table(("adapter", "releases", "deviations"), rows)))
    return 0


def _declared(deviations: Any) -> dict[str, Any]:
    """The fields in which a framework does not do what is expected of one."""
    from dataclasses import fields

    return {
        field.name: getattr(deviations, field.name)
        for field in fields(deviations)
        if getattr(deviations, field.name) != field.default
    }


def _versions(name: str) -> dict[str, str]:
    """The release of an adapter's package, and of what it requires directly, core aside."""
    import re
    from importlib.metadata import PackageNotFoundError, entry_points, version

    from agentcore_rl.adapter import GROUP

    [point] = entry_points(group=GROUP, name=name)
    if point.dist is None:
        return {}
    required = [need for need in point.dist.requires or () if "extra ==" not in need]
    names = [match[0] for need in required if (match := re.match(r"[A-Za-z0-9._-]+", need))]
    found = {point.dist.name: point.dist.version}
    for package in names:
        if package != "agentcore-rl":
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                found[package] = "is not installed"
    return found


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
