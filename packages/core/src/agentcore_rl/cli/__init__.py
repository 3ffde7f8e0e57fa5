"""The `agentcore-rl` command.

Nothing of third parties is imported before a command's arguments are parsed: `command_line` holds a
static table of the commands, `commands/` one module per command.
"""

from agentcore_rl.cli.command_line import main

__all__ = ["main"]
