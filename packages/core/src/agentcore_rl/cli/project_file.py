"""The project file: what commands take where neither an option nor a variable says otherwise.

`agentcore-rl.toml`, or the table `[tool.agentcore-rl]` of pyproject.toml, in this directory or the nearest
above it that has one. Keys are options without their dashes; `[COMMAND]` holds for one command. Paths are
relative to the file. A flag beats a variable of the environment, that the file, and the file the default.

    app = "rl_app.py"
    tasks = "tasks.jsonl"

    [run]
    samples = 4
"""

from __future__ import annotations

import os

from agentcore_rl.exceptions import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping
    from typing import Any

__all__ = ["PATHS", "SHARED", "Project", "find_project", "options_of", "variable_of"]

FILE = "agentcore-rl.toml"
TABLE = "tool.agentcore-rl"

_RUN = ("run",)
_FOLDERS = ("run", "resume", "runs", "status", "show", "view", "compare", "export", "demo")
SHARED: Mapping[str, tuple[str, ...]] = {
    "app": ("run", "serve"),
    "framework": ("init", "demo"),
    "out": _FOLDERS,
    **dict.fromkeys(("on", "tasks", "model", "model-id", "sampling", "store", "queue"), _RUN),
    **dict.fromkeys(("samples", "attempts", "concurrency", "deadline", "max-turns", "max-tokens"), _RUN),
    **dict.fromkeys(("new-sessions-per-s", "interactions-per-s", "active-sessions"), _RUN),
}
"""Keys that stand above all tables -> the commands that they are for."""

PATHS = ("app", "tasks", "out", "runs-in", "store", "spool", "log", "tokenizer")
"""Keys whose value is a path, relative to the file."""

_VARIABLES = {
    "model": "BASE_URL",
    "model-id": "MODEL_ID",
    "queue": "AGENTCORE_RL_QUEUE",
    "spool": "AGENTCORE_RL_SPOOL",
}


def variable_of(key: str) -> str | None:
    """The environment variable that says the same as a key, if it is set; it beats the file."""
    name = _VARIABLES.get(key)
    return name if name and os.environ.get(name, "").strip() else None


class Project:
    """A project file that was found and read.

    Attributes:
        path: the file.
        name: how it is called in sentences, relative to this directory.
        values: its keys and tables, as TOML gives them.
    """

    __slots__ = ("name", "path", "values")

    def __init__(self, path: str, values: Mapping[str, Any]) -> None:
        self.path = path
        self.name = os.path.relpath(path)
        self.values = values

    def check(self, commands: Iterable[str]) -> None:
        """Check the keys above all tables, and the tables' names.

        Raises:
            ConfigurationError: one of them is not known; the message says what is near.
        """
        commands = list(commands)
        for key, value in self.values.items():
            if key in commands:
                if isinstance(value, dict):
                    continue
                raise ConfigurationError(f"{self.name}: {key} is a table: write [{key}] above its keys.")
            if key not in SHARED:
                raise self.unknown(key, [*SHARED, *commands], "")
            if isinstance(value, dict) and key != "sampling":
                raise ConfigurationError(f"{self.name}: {key} is a value, not a table.")

    def for_command(self, command: str, options: Mapping[str, argparse.Action]) -> dict[str, Any]:
        """What the file says to one command: key -> value, as TOML gives it.

        Args:
            command: its name.
            options: what it can be told, as `options_of` says.

        Raises:
            ConfigurationError: a key of its table is none of its options.
        """
        own = self.values.get(command, {})
        for key in own:
            if key not in options:
                raise self.unknown(key, list(options), f" of [{command}]")
        shared = {key: value for key, value in self.values.items() if command in SHARED.get(key, ())}
        if "runs-in" in options and "out" in shared:  # where --out is the file that is written
            shared["runs-in"] = shared.pop("out")
        return {key: self.placed(key, value) for key, value in (shared | own).items() if key in options}

    def placed(self, key: str, value: Any) -> Any:
        """A value; where it is a path, as it is seen from this directory."""
        if key not in PATHS or not isinstance(value, str) or "://" in value or value.startswith("arn:"):
            return value
        return os.path.relpath(os.path.join(os.path.dirname(self.path), os.path.expanduser(value)))

    def unknown(self, key: str, known: list[str], where: str) -> ConfigurationError:
        """What to say of a key that is not known."""
        from difflib import get_close_matches

        near = get_close_matches(key.replace("_", "-"), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known) or 'none'}."
        return ConfigurationError(f"{self.name}: there is no key {key!r}{where}; {hint}")


def find_project(start: str | None = None) -> Project | None:
    """The project file of a directory (by default this one), or None.

    Raises:
        ConfigurationError: it cannot be read, or is no TOML.
    """
    folder = os.path.abspath(start or os.getcwd())
    while True:
        own = os.path.join(folder, FILE)
        if os.path.isfile(own):
            return Project(own, _toml(own, _content(own)))
        general = os.path.join(folder, "pyproject.toml")
        if os.path.isfile(general):
            content = _content(general)
            # Most have no table of ours, and reading TOML costs more than a list of runs.
            if b"agentcore-rl" in content:
                table = _toml(general, content).get("tool", {})
                table = table.get("agentcore-rl") if isinstance(table, dict) else None
                if isinstance(table, dict):
                    return Project(general, table)
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def options_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """What a command can be told by the file: its options with a value, and its app."""
    found: dict[str, argparse.Action] = {}
    for action in parser._actions:  # argparse has no other way to ask
        if action.nargs == 0 or action.dest in ("help", "run", "endpoint"):
            continue
        if action.option_strings:
            found[action.option_strings[-1].removeprefix("--")] = action
        elif action.dest == "app":
            found["app"] = action
    return found


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigurationError(f"{os.path.relpath(path)} cannot be read: {error.strerror}.") from None


def _toml(path: str, content: bytes) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(content.decode("utf-8"))
    except ValueError as error:  # of TOML, or of UTF-8
        raise ConfigurationError(f"{os.path.relpath(path)} is no TOML: {error}.") from None
