"""Prints a script that completes commands, options and values in your shell. TAB then starts no Python.

The script is made of this release's commands: print it anew after an upgrade.

  source <(agentcore-rl completion bash)                  in ~/.bashrc
  source <(agentcore-rl completion zsh)                   in ~/.zshrc, behind compinit
  agentcore-rl completion fish > ~/.config/fish/completions/agentcore-rl.fish
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

__all__ = ["LOGS", "PROJECT", "add_arguments", "main"]

LOGS = False
"""It shows no log: the script may be printed at every start of a shell."""
PROJECT = False
"""Nor does it read the project file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `completion` takes."""
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")


def main(args: argparse.Namespace) -> int:
    """Print the script."""
    from importlib import import_module

    from agentcore_rl.cli.installed import releases
    from agentcore_rl.cli.words import all_commands

    make = import_module(f"agentcore_rl.cli.shells.{args.shell}").script
    print(make(all_commands(), releases().get("agentcore_rl", "?")), end="")
    return 0
