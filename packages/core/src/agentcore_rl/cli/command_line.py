"""From words on a command line to a command's exit code.

This module imports nothing but `sys`: asking for help must cost no more than Python itself.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

__all__ = ["COMMANDS", "command_parser", "main"]

COMMANDS = {
    "init": ("init", "the project of a new agent, in your framework, that works as it is"),
    "demo": ("demo", "the math agent on a small real model, before and after training"),
    "run": ("run", "rollouts of your app over a task file"),
    "resume": ("resume", "go on with a run that broke off"),
    "runs": ("runs", "the runs in a folder, and where each stands"),
    "status": ("status", "where a run stands: running, done, failed by kind, rate, time left"),
    "serve": ("serve", "your app behind AgentCore Runtime's API, on this machine"),
    "show": ("show", "what a run left: its rollouts, or the transcript of one"),
    "view": ("view", "a run as one HTML file: figures, every rollout, its tokens; several compared"),
    "compare": ("compare", "two runs of the same tasks: which is better, and by how much"),
    "export": ("export", "a run, written for TRL, verl, Tinker, prime-rl, OpenAI, Parquet or OpenTelemetry"),
    "frameworks": ("frameworks", "the adapters that are installed, and how their messages deviate"),
    "spool": ("spool", "records that wait on this machine: show them, deliver them"),
    "gateway": ("gateway", "a model for rollouts, a key for each, with the exact tokens of every call"),
    "local-model": ("local_model", "fetch or serve a small language model"),
    "new-adapter": ("new_adapter", "the package of an adapter for another framework, to be filled in"),
    "completion": ("completion", "a script that completes all of this in bash, zsh or fish"),
    "doctor": ("doctor", "what is installed, what is missing, what to type"),
}
"""Name of each command -> its module in `commands`, and what it does."""

# Exit codes, documented in docs/cli.md.
_OK, _USAGE, _OUTSIDE, _DEFECT, _INTERRUPTED, _BROKEN_PIPE = 0, 2, 3, 70, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the words behind `agentcore-rl`; None takes them from the process.

    Returns:
        0 all is well; 1 done, but some rollouts failed or something is missing; 2 wrong arguments or
        input; 3 something outside failed; 70 a defect of ours; 130 interrupted; 141 nobody reads on.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    return _called(lambda: _answer(words), "--debug" in words)


def _answer(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        if len(words) > 1 and words[0] == "help":
            return _answer([words[1], "--help"])
        print(_help(), file=sys.stdout if words else sys.stderr)
        return _OK if words else _USAGE
    if words[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"agentcore-rl {version('agentcore-rl')}")
        return _OK
    name = words[0]
    if name not in COMMANDS:
        _say(_unknown(name))
        return _USAGE
    return _run(name, words[1:])


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {about}" for name, (_, about) in COMMANDS.items()]
    return "\n".join(
        (
            "usage: agentcore-rl COMMAND ...",
            "",
            "Rollouts of agents for reinforcement learning and evaluation.",
            "",
            *lines,
            "",
            "agentcore-rl COMMAND --help says more; agentcore-rl --version says which release this is.",
        )
    )


def _unknown(name: str) -> str:
    if name.startswith("-"):
        return f"The command comes first, then its options such as {name!r}: agentcore-rl COMMAND {name}"
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COMMANDS)}."
    return f"There is no command {name!r}; {hint}"


def _run(name: str, words: list[str]) -> int:
    """Parse the words of one command and call it."""
    module = _module(name)
    debug = "--debug" in words
    parser = command_parser(name)
    logs = debug or getattr(module, "LOGS", True)

    def command() -> int:
        args = _arguments(parser, name, words, getattr(module, "PROJECT", True))
        if logs:
            from agentcore_rl.cli.terminal import log_shown

            with log_shown(debug):
                return int(module.main(args))
        return int(module.main(args))

    try:
        if "-h" in words or "--help" in words:
            parser.parse_args(words)
        return command()
    except SystemExit as ended:  # argparse has said why
        return int(ended.code or 0)


def command_parser(name: str) -> argparse.ArgumentParser:
    """The parser of one command's words."""
    module = _module(name)
    parser = _parser(name, str(module.__doc__))
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show tracebacks and our log")
    return parser


def _module(name: str) -> Any:
    # Not importlib: importing it costs more than what it does here.
    return __import__(f"agentcore_rl.cli.commands.{COMMANDS[name][0]}", fromlist=["main"])


def _arguments(
    parser: argparse.ArgumentParser, name: str, words: list[str], from_project: bool
) -> argparse.Namespace:
    """A command's arguments, from its words and, where it takes any from there, the project file."""
    from agentcore_rl.cli.defaults import parse
    from agentcore_rl.cli.project_file import find_project

    project = find_project() if from_project else None
    if project is not None:
        project.check(COMMANDS)
    args = parse(parser, name, words, project)
    if "--debug" in words:
        for key, source in sorted(args.sources.items()):
            value = getattr(args, key.replace("-", "_"))
            print(f"debug: {key} = {value!r} ({source})", file=sys.stderr)
    return args


def _called(command: Callable[[], int], debug: bool) -> int:
    """Call a command; whatever it raises becomes an exit code."""
    _see_to_streams()
    try:
        code = command()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        return _write_no_more(_BROKEN_PIPE)
    except Exception as error:  # noqa: BLE001 - the last line of defence says whose fault it is
        return _failed(error, debug)


def _see_to_streams() -> None:
    """Streams that were closed lead nowhere; a terminal that cannot show a character gets its escape."""
    import os

    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _failed(error: Exception, debug: bool) -> int:
    """Say what went wrong; the exit code."""
    import errno
    import traceback

    from agentcore_rl.exceptions import AgentCoreRLError

    if isinstance(error, AgentCoreRLError):
        if debug:
            traceback.print_exception(error)
        _say(str(error))
        return _code(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        if debug:
            traceback.print_exception(error)
        _say(f"{error.filename or 'The output'} cannot be written: {error.strerror}. Make room there.")
        return _OUTSIDE if error.filename else _write_no_more(_OUTSIDE)
    traceback.print_exception(error)
    _say("This is a defect of agentcore-rl. Please report it with the lines above.")
    return _DEFECT


def _parser(name: str, about: str) -> argparse.ArgumentParser:
    import argparse

    class Layout(argparse.RawDescriptionHelpFormatter):
        def __init__(self, prog: str) -> None:
            super().__init__(prog, max_help_position=28, width=_columns())

        def _split_lines(self, text: str, width: int) -> list[str]:
            return _lines(text, width)

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            _say(f"{message[:1].upper()}{message[1:]}. See {self.prog} --help")
            raise SystemExit(_USAGE)

    return Parser(
        prog=f"agentcore-rl {name}",
        description=about,
        formatter_class=Layout,
        allow_abbrev=False,
    )


def _lines(text: str, width: int) -> list[str]:
    """The text in lines of at most this width; argparse would import textwrap for it."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line] if line else lines


def _columns() -> int:
    """Width of the help's text; argparse would import shutil for it, which costs more than all else here."""
    import os

    try:
        return min(os.get_terminal_size(sys.stdout.fileno()).columns - 2, 110)
    except (OSError, ValueError, AttributeError):
        return 100


def _say(sentence: str) -> None:
    from agentcore_rl.cli.terminal import visible

    print(f"error: {visible(sentence)}", file=sys.stderr)


def _code(error: Exception) -> int:
    from agentcore_rl.exceptions import LauncherError, RecordNotFound, StoreError

    outside = isinstance(error, LauncherError | StoreError) and not isinstance(error, RecordNotFound)
    return _OUTSIDE if outside else _USAGE


def _write_no_more(code: int) -> int:
    """The reader of our output has gone (`| head`), or its disk is full: Python must not complain at exit."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
