"""The completion script for zsh."""

from __future__ import annotations

from collections.abc import Sequence

from agentcore_rl.cli.words import CommandWords, Option

__all__ = ["script"]

_FRAME = r"""#compdef agentcore-rl
# Completion of agentcore-rl for zsh, made by `agentcore-rl completion zsh` of release __RELEASE__.
# It starts no program. Put it into ~/.zshrc behind compinit:  source <(agentcore-rl completion zsh)

_agentcore_rl_runs() {
  local root=rollouts i
  for ((i = 1; i < $#words; i++)); do
    case $words[i] in --out|--runs-in) root=$words[i + 1] ;; esac
  done
  local -a runs=($root/*(N/:t) last)
  compadd -a runs
  [[ $PREFIX == */* ]] && _files -/
}

_agentcore_rl() {
  local -a commands=(
__COMMANDS__
  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  shift words
  ((CURRENT--))
  local command=$words[1]
  case "$command $words[2]" in
__BELOW__
  esac
  case $command in
__CASES__
  esac
}

if [[ $funcstack[1] == _agentcore_rl ]]; then _agentcore_rl "$@"; else compdef _agentcore_rl agentcore-rl; fi
"""


def script(commands: Sequence[CommandWords], release: str) -> str:
    """The script.

    Args:
        commands: what can be typed.
        release: of the package, named in the script.
    """
    below = [command.name for command in commands if " " in command.name]
    moved = 'if ((CURRENT > 2)); then command="$command $words[2]"; shift words; ((CURRENT--)); fi ;;'
    parts = {
        "__RELEASE__": release,
        "__COMMANDS__": "\n".join(
            f"    {_quoted(f'{command.name}:{command.about}')}"
            for command in commands
            if " " not in command.name
        ),
        "__BELOW__": "\n".join(f"    {_quoted(name)}) {moved}" for name in below),
        "__CASES__": "\n".join(map(_case, commands)),
    }
    text = _FRAME
    for word, value in parts.items():
        text = text.replace(word, value)
    return text


def _case(command: CommandWords) -> str:
    specs = [_flag(option, name) for option in command.flags for name in option.names]
    specs += [
        _quoted(f"{'*' if option.repeated else place}:{_plain(option.metavar)}:{_action(option)}")
        for place, option in enumerate(command.places, 1)
    ]
    lines = "".join(f" \\\n        {spec}" for spec in specs)
    return f"    {_quoted(command.name)})\n      _arguments{lines} ;;"


def _flag(option: Option, name: str) -> str:
    value = f":{_plain(option.metavar)}:{_action(option)}" if option.takes else ""
    return _quoted(f"{'*' if option.repeated else ''}{name}[{_plain(option.help)}]{value}")


def _action(option: Option) -> str:
    if option.takes == "choice":
        return f"({' '.join(option.choices)})"
    return {"file": "_files", "folder": "_files -/", "run": "_agentcore_rl_runs"}.get(option.takes, " ")


def _plain(text: str) -> str:
    """Without what `_arguments` takes for its own."""
    return "".join(f"\\{char}" if char in "[]:\\" else char for char in text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
