"""What can be typed behind `agentcore-rl`, read from the parsers: for completion, the reference and tests."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field

from agentcore_rl.cli.command_line import COMMANDS, command_parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CommandWords", "Option", "all_commands"]

_FILES = ("FILE", "PATH", "APP")
_FOLDERS = ("DIR",)
_RUNS = ("RUN",)


@dataclass(frozen=True, slots=True)
class Option:
    """A flag, or a word by its place.

    Attributes:
        names: its spellings, the long one last; empty for a word by its place.
        metavar: what stands for its value; empty for a flag without one.
        takes: what its value is: `file`, `folder`, `run`, `choice`, `text`, or empty.
        choices: the values, where they are known.
        help: what it means.
        repeated: may be given more than once.
        required: must be given.
    """

    names: Sequence[str]
    metavar: str
    takes: str
    choices: Sequence[str]
    help: str
    repeated: bool
    required: bool


@dataclass(frozen=True, slots=True)
class CommandWords:
    """One command.

    Attributes:
        name: as it is typed; of a command's subcommand both words.
        about: what it does, in a few words.
        description: what it does, at length.
        flags, places: what it takes.
    """

    name: str
    about: str
    description: str
    flags: Sequence[Option] = field(default_factory=tuple)
    places: Sequence[Option] = field(default_factory=tuple)


def all_commands() -> list[CommandWords]:
    """Every command in the table's order; behind a command with subcommands, each of them."""
    found: list[CommandWords] = []
    for name, (_, about) in COMMANDS.items():
        parser = command_parser(name)
        found.append(_words(parser, name, about))
        for action in parser._actions:  # argparse has no other way to ask
            if isinstance(action, argparse._SubParsersAction):
                found += [
                    _words(below, f"{name} {word}", str(below.description or ""))
                    for word, below in action.choices.items()
                ]
    return found


def _words(parser: argparse.ArgumentParser, name: str, about: str) -> CommandWords:
    options = [_option(action) for action in parser._actions]
    return CommandWords(
        name=name,
        about=about,
        description=str(parser.description or ""),
        flags=tuple(option for option in options if option.names),
        places=tuple(option for option in options if not option.names),
    )


def _option(action: argparse.Action) -> Option:
    known = "|".join(map(str, action.choices or ()))
    metavar = "" if action.nargs == 0 else str(action.metavar or known or action.dest.upper())
    choices = tuple(map(str, action.choices or ()))
    if action.dest == "framework" or (action.dest == "name" and action.nargs == "*"):
        from agentcore_rl.cli.installed import adapter_points

        choices = tuple(adapter_points())
    if action.dest == "model":
        choices = ("smollm2", "smollm2-tools")
    return Option(
        names=tuple(action.option_strings),
        metavar=metavar,
        takes=_kind(metavar, choices),
        choices=choices,
        help=" ".join((action.help or "").split()).replace("%%", "%"),
        repeated=action.nargs in ("*", "+") or isinstance(action, argparse._AppendAction),
        required=bool(action.required) or (not action.option_strings and action.nargs not in ("?", "*")),
    )


def _kind(metavar: str, choices: Sequence[str]) -> str:
    if not metavar:
        return ""
    if choices:
        return "choice"
    for kind, metavars in (("file", _FILES), ("folder", _FOLDERS), ("run", _RUNS)):
        if metavar in metavars:
            return kind
    return "text"
