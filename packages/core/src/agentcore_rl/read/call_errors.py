"""What can be wrong with a tool call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "ToolCallError", "gravest"]


class ToolCallError(StrEnum):
    """The classes of errors, the gravest first: of several findings, a call's error is the first of these."""

    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    UNKNOWN_TOOL = "unknown_tool"
    MISSING_ARGUMENT = "missing_argument"
    UNEXPECTED_ARGUMENT = "unexpected_argument"
    WRONG_TYPE = "wrong_type"
    WRONG_VALUE = "wrong_value"
    TOOL_ERROR = "tool_error"
    NOT_EXECUTED = "not_executed"

    @property
    def of_format(self) -> bool:
        """The call itself is wrong; the others are about what running it came to."""
        return self not in (ToolCallError.TOOL_ERROR, ToolCallError.NOT_EXECUTED)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a call, or that cannot be judged.

    Attributes:
        path: where in the arguments, as a JSON path: `$` is the whole, `$.to[0].name` a part.
        error: its class; None where it cannot be told whether the arguments are right.
        sentence: what is wrong, with the path. It quotes the model and the tool: hostile text.
    """

    path: str
    error: ToolCallError | None
    sentence: str


def gravest(findings: Iterable[Finding]) -> ToolCallError | None:
    """The class of the gravest of these findings; None when none is an error."""
    found = {finding.error for finding in findings}
    return next((error for error in ToolCallError if error in found), None)
