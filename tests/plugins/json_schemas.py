"""What commands print for programs, held against the schemas in docs/schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

__all__ = ["SCHEMAS", "valid", "validator"]

SCHEMAS = Path(__file__).parents[2] / "docs" / "schema"


def validator(command: str) -> jsonschema.Draft202012Validator:
    """The schema of a command's output, which is itself valid."""
    schema = json.loads((SCHEMAS / f"cli-{command}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def valid(command: str, out: str) -> list[Any]:
    """The lines of an output, each valid; there is at least one."""
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines
    for line in lines:
        validator(command).validate(line)
    return lines
