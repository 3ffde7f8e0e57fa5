"""The tools that a request offered, each with the schema of its arguments."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from agentcore_rl.read.json_schema import Schema

__all__ = ["Offered", "offered_tools"]


@dataclass(frozen=True, slots=True)
class Offered:
    """One offered tool.

    Attributes:
        schema: of its arguments; None for a custom tool, which takes free text.
    """

    schema: Schema | None


def offered_tools(raw: msgspec.Raw | bytes) -> Mapping[str, Offered]:
    """The tools of a request by name, from its raw list; of two with the same name the first counts.

    What is no tool is left out. Lists are remembered: a run's rollouts mostly offer the same.
    """
    return _read(bytes(raw))


@functools.lru_cache(maxsize=64)
def _read(raw: bytes) -> Mapping[str, Offered]:
    try:
        tools = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return {}
    found: dict[str, Offered] = {}
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        said: Any = tool.get("custom" if kind == "custom" else "function") if isinstance(tool, dict) else None
        name = said.get("name") if isinstance(said, dict) else None
        if isinstance(name, str) and name not in found:
            found[name] = Offered(None if kind == "custom" else Schema(said.get("parameters")))
    return found
