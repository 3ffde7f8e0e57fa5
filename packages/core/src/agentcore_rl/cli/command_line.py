"""From words on a command line to a command's exit code.

This module imports nothing but `sys`: asking for help must cost no more than Python itself.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import NoReturn

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "demo": ("demo", "the math agent on a small real model, before and after training"),
    "run": ("run", "rollouts of your app over a task file"),
    "serve": ("serve", "your app behind AgentCore Runtime's API, on this machine"),
    "show": ("show", "what a run left: its rollouts, or the transcript of one"),
    "frameworks": ("frameworks", "the adapters that are installed, and how their messages deviate"),
    "local-model": ("local_model", "fetch or serve a small language model"),
    "new-adapter": ("new_adapter", "the package of an adapter for another framework, to be filled in"),
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
    if not words or words[0] in ("-h", "--help", "help"):
        if len(words) > 1 and words[0] == "help":
            return main([words[1], "--help"])
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
    from importlib import import_module

    module = import_module(f"agentcore_rl.cli.commands.{COMMANDS[name][0]}")
    debug = "--debug" in words
    try:
        parser = _parser(name, str(module.__doc__))
        module.add_arguments(parser)
        parser.add_argument("--debug", action="store_true", help="show tracebacks and our log")
        args = parser.parse_args(words)
    except SystemExit as ended:  # argparse has said why
        return int(ended.code or 0)
    return _called(module.main, args, debug)


def _called(command: Callable[[argparse.Namespace], int], args: argparse.Namespace, debug: bool) -> int:
    """Call a command; whatever it raises becomes an exit code."""
    from agentcore_rl.cli.terminal import log_shown
    from agentcore_rl.exceptions import AgentCoreRLError

    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a terminal that cannot show a character gets its escape
            reconfigure(errors="backslashreplace")
    try:
        with log_shown(debug):
            code = command(args)
        sys.stdout.flush()
        return code
    except AgentCoreRLError as error:
        if debug:
            import traceback

            traceback.print_exc()
        _say(str(error))
        return _code(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        return _nobody_reads()
    except Exception:  # noqa: BLE001 - the last line of defence says whose fault it is
        import traceback

        traceback.print_exc()
        _say("This is a defect of agentcore-rl. Please report it with the lines above.")
        return _DEFECT


def _parser(name: str, about: str) -> argparse.ArgumentParser:
    import argparse

    class Layout(argparse.RawDescriptionHelpFormatter):
        def __init__(self, prog: str) -> None:
            super().__init__(prog, max_help_position=28, width=_columns())

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


def _nobody_reads() -> int:
    """The reader of our output has gone (`| head`): Python must not complain about it at exit."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _BROKEN_PIPE
