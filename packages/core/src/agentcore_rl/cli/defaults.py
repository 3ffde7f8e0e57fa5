"""A command's arguments: from its words, the environment, the project file, and its own defaults."""

from __future__ import annotations

import argparse
import os

from agentcore_rl.cli.project_file import Project, options_of, variable_of
from agentcore_rl.exceptions import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["from_file", "parse", "typed"]

_FLAG, _DEFAULT = "command line", "default"
_RUNTIME = "AGENTCORE_RL_RUNTIME_ARN"
# What an option given as a flag makes meaningless in the file: another model has another id.
_WITH = {"model": ("model-id",), "app": ("on",)}


class _NotGiven:
    """Stands in for the default of an option that is not on the command line."""


def parse(
    parser: argparse.ArgumentParser, command: str, words: Sequence[str], project: Project | None
) -> argparse.Namespace:
    """The arguments of a command; `sources` of them says where each option's value comes from.

    Raises:
        ConfigurationError: the project file cannot be used; the message names the file and the key.
        SystemExit: argparse has said what is wrong with the words.
    """
    options = options_of(parser)
    told = typed(project, project.for_command(command, options), options) if project else {}
    for key in told:
        options[key].required = False
        if not options[key].option_strings:
            options[key].nargs = "?"
    defaults = {key: action.default for key, action in options.items()}
    for action in options.values():
        action.default = None if isinstance(action.default, list) else _NotGiven
    args = parser.parse_args(words)
    given = {key for key, action in options.items() if getattr(args, action.dest) not in (None, _NotGiven)}
    for key in given:
        for other in _WITH.get(key, ()):
            told.pop(other, None)
    sources = dict.fromkeys(given, _FLAG)
    for key, action in options.items():
        if key in given:
            continue
        value, source = _fallback(key, told, project, defaults[key])
        setattr(args, action.dest, _converted(action, value))
        sources[key] = source
    args.sources = sources
    return args


def from_file(args: argparse.Namespace, key: str) -> bool:
    """Whether an option's value is the project file's, which a variable of the environment would beat."""
    source = getattr(args, "sources", {}).get(key, _FLAG)
    return source not in (_FLAG, _DEFAULT) and not source.isupper()


def _fallback(key: str, told: dict[str, Any], project: Project | None, default: Any) -> tuple[Any, str]:
    """The value of an option that is not on the command line, and where it comes from."""
    variable = variable_of(key)
    if key == "model-id" and variable and str(told.get("model", "")).startswith("http"):
        return os.environ[variable].strip(), variable  # for the file's model
    if variable is not None:  # the command reads it where it has no option
        return default, variable
    if project is None or key not in told or (key == "model-id" and variable_of("model")):
        return default, _DEFAULT
    runtime = os.environ.get(_RUNTIME, "").strip()
    if key == "app" and runtime and str(told[key]).startswith("arn:"):
        return runtime, _RUNTIME
    return told[key], project.name


def _converted(action: argparse.Action, default: Any) -> Any:
    """A default as argparse would take it: texts go through the option's type."""
    if isinstance(default, str) and callable(action.type):
        return action.type(default)
    return default


def typed(project: Project, values: dict[str, Any], options: dict[str, argparse.Action]) -> dict[str, Any]:
    """The file's values as the options' types take them."""
    typed = {}
    for key, value in values.items():
        action = options[key]
        many = isinstance(action.default, list)
        try:
            if many != isinstance(value, list):
                raise ValueError("write a list" if many else "write one value, not a list")
            typed[key] = [_one(action, each) for each in value] if many else _one(action, value)
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise ConfigurationError(f"{project.name}: {key} cannot be {value!r}: {error}.") from None
    return typed


def _one(action: argparse.Action, value: Any) -> Any:
    if isinstance(value, dict):
        import json

        value = json.dumps(value, default=str)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("it is no text and no number")
    if action.type is None and not isinstance(value, str):
        raise ValueError("it is no text; put it in quotes")
    typed = action.type(str(value)) if callable(action.type) else value
    if action.choices is not None and typed not in action.choices:
        raise ValueError(f"choose one of {', '.join(map(str, action.choices))}")
    return typed
