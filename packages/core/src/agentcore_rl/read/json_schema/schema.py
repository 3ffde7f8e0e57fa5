"""Whether a tool call's arguments satisfy the JSON schema that the tool was offered with.

The schema comes from an agent and the arguments from a model, so neither is trusted: nothing is ever
fetched, patterns are matched in linear time (`patterns`), and the work of one judgement is held to a multiple
of the size of the arguments. What cannot be judged within that is said to be so, never guessed: a finding
without an error.

The rules are those of JSON Schema 2020-12, with what tools of the field also write: the tuple `items`,
`additionalItems`, `dependencies`, `definitions` and `exclusiveMinimum: true` of earlier drafts, and
OpenAPI's `nullable` beside `type`. `format` and every unknown keyword say nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentcore_rl.read.call_errors import Finding
from agentcore_rl.read.json_schema.document import InvalidSchema, SchemaNode, read_schema
from agentcore_rl.read.json_schema.judgement import judge
from agentcore_rl.read.json_schema.keywords import CHECKS

__all__ = ["Schema"]

_NONE = {"type": "object", "properties": {}, "additionalProperties": False}


class Schema:
    """The schema of one tool's arguments.

    Args:
        document: the schema, decoded; None stands for a tool that is offered without parameters, which
            takes none.

    Attributes:
        problem: why nothing can be judged by this schema; None when it is sound.
        names: the arguments that it names; None when it names none, so that any may be meant.
    """

    def __init__(self, document: Any) -> None:
        document = _NONE if document is None else document
        self.problem: Finding | None = None
        self._root: SchemaNode | None = None
        try:
            self._root = read_schema(document)
        except (InvalidSchema, RecursionError) as invalid:
            why = str(invalid) if isinstance(invalid, InvalidSchema) else "it is nested too deeply"
            self.problem = Finding("$", None, f"The tool's schema is invalid: {why}.")
        properties = document.get("properties") if isinstance(document, dict) else None
        self.names = frozenset(properties) if isinstance(properties, dict) else None

    def check(self, value: Any, *, size: int) -> Sequence[Finding]:
        """What is wrong with these arguments, or cannot be judged; empty when they are valid.

        Args:
            value: the arguments, decoded.
            size: length of their text.
        """
        if self._root is None:
            return [] if self.problem is None else [self.problem]
        return judge(self._root, value, CHECKS, size=size)
