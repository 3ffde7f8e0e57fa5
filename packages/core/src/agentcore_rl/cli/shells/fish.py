"""The completion script for fish (3.1 and later)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentcore_rl.cli.words import CommandWords, Option

__all__ = ["script"]

_FRAME = """# Completion of agentcore-rl __RELEASE__ for fish, as `agentcore-rl completion fish` prints it.
# It starts no program. Keep it as ~/.config/fish/completions/agentcore-rl.fish

function __agentcore_rl_runs
    set -l root rollouts
    set -l words (commandline -opc)
    for place in (seq (count $words))
        if contains -- $words[$place] --out --runs-in
            set root $words[(math $place + 1)]
        end
    end
    for path in $root/*/
        string replace -r '.*/' '' (string trim -r -c / $path)
    end
    echo last
end

function __agentcore_rl_is
    set -l words (commandline -opc)
    set -l last (math (count (string split ' ' $argv[1])) + 1)
    test (count $words) -ge $last; and test "$words[2..$last]" = "$argv[1]"
end

complete -c agentcore-rl -f
"""


def script(commands: Sequence[CommandWords], release: str) -> str:
    """The script.

    Args:
        commands: what can be typed.
        release: of the package, named in the script.
    """
    lines = [line for command in commands for line in _lines(command)]
    return _FRAME.replace("__RELEASE__", release) + "\n".join(lines) + "\n"


def _lines(command: CommandWords) -> Iterator[str]:
    above, _, below = command.name.rpartition(" ")
    if above:
        condition = f"__agentcore_rl_is {above}; and test (count (commandline -opc)) -eq 2"
    else:
        condition = "test (count (commandline -opc)) -eq 1"
    start = f"complete -c agentcore-rl -n {_quoted(condition)}"
    yield f"{start} -a {_quoted(below)} -d {_quoted(command.about)}"
    condition = f"__agentcore_rl_is {_quoted(command.name)}"
    start = f"complete -c agentcore-rl -n {_quoted(condition)}"
    for option in command.flags:
        names = " ".join(
            f"-l {_quoted(name[2:])}" if name.startswith("--") else f"-s {_quoted(name[1:])}"
            for name in option.names
        )
        # -x: a value, and nothing else than what is named here.
        value = f" {'-r' if option.takes == 'file' else '-x'}{_value(option)}" if option.takes else ""
        yield f"{start} {names}{value} -d {_quoted(option.help)}"
    for option in command.places:
        if value := _value(option):
            yield f"{start}{value}"


def _value(option: Option) -> str:
    if option.takes == "choice":
        return f" -a {_quoted(' '.join(option.choices))}"
    if option.takes == "run":
        return " -a '(__agentcore_rl_runs)'"
    return {"file": " -F", "folder": " -a '(__fish_complete_directories)'"}.get(option.takes, "")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
