"""A function tool that belongs to no framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Tool"]


@dataclass(frozen=True, slots=True)
class Tool:
    """One function tool, in the terms of OpenAI's `tools` parameter.

    Attributes:
        name: the name that the model calls it by; [A-Za-z0-9_-], at most 64 characters.
        description: what it does, for the model.
        parameters: JSON schema of its arguments (an object schema).
        function: the Python callable, taking the arguments by keyword; None where only the
            declaration is known (a tool read back from an agent or a record).
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    function: Callable[..., Any] | None = field(default=None, compare=False)

    def to_openai(self) -> dict[str, Any]:
        """This tool as one entry of a chat completion's `tools`."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": dict(self.parameters),
            },
        }

    @classmethod
    def from_openai(cls, declaration: Mapping[str, Any]) -> Tool:
        """The tool that an entry of a chat completion's `tools` declares (without a callable)."""
        function = declaration.get("function") or {}
        return cls(
            name=str(function.get("name", "")),
            description=str(function.get("description") or ""),
            parameters=function.get("parameters") or {"type": "object", "properties": {}},
        )
