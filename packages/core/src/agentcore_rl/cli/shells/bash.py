"""The completion script for bash (3.2 and later)."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from agentcore_rl.cli.words import CommandWords, Option

__all__ = ["script"]

_FRAME = r"""# Completion of agentcore-rl __RELEASE__ for bash, as `agentcore-rl completion bash` prints it.
# It starts no program. Put it into ~/.bashrc:  source <(agentcore-rl completion bash)

_agentcore_rl_words() {
  local word
  for word in $1; do
    if [[ $word == "$cur"* ]]; then COMPREPLY+=("$word"); fi
  done
}

_agentcore_rl_paths() {
  local line
  while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen "$1" -- "$cur")
  compopt -o filenames 2>/dev/null || true
}

_agentcore_rl_runs() {
  local root=rollouts i path
  for ((i = 2; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in --out | --runs-in) root=${COMP_WORDS[i + 1]} ;; esac
  done
  for path in "$root"/*/; do
    if [[ -d $path ]]; then path=${path%/}; _agentcore_rl_words "${path##*/}"; fi
  done
  _agentcore_rl_words last
  if [[ $cur == */* ]]; then _agentcore_rl_paths -d; fi
}

_agentcore_rl() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  local command=${COMP_WORDS[1]} first=2 place=0 i flags="" values=""
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    _agentcore_rl_words "__COMMANDS__"
    return
  fi
  case "$command ${COMP_WORDS[2]}" in
    __BELOW__)
      if ((COMP_CWORD > 2)); then command="$command ${COMP_WORDS[2]}"; first=3; fi ;;
  esac
  # `--flag=value` comes as three words.
  if [[ $cur == "=" ]]; then cur=""; elif [[ $prev == "=" ]]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; fi
  case $command in
__FLAGS__
  esac
  case "$command $prev" in
__VALUES__
  esac
  if [[ $cur == -* ]]; then
    _agentcore_rl_words "$flags"
    return
  fi
  for ((i = first; i < COMP_CWORD; i++)); do
    case " $values " in *" ${COMP_WORDS[i]} "*) ((i++)); continue ;; esac
    if [[ ${COMP_WORDS[i]} != -* ]]; then ((place++)); fi
  done
  case "$command $place" in
__PLACES__
  esac
}

complete -F _agentcore_rl agentcore-rl
"""


def script(commands: Sequence[CommandWords], release: str) -> str:
    """The script.

    Args:
        commands: what can be typed.
        release: of the package, named in the script.
    """
    below = [command.name for command in commands if " " in command.name]
    parts = {
        "__RELEASE__": release,
        "__COMMANDS__": " ".join(
            [
                "help",
                *(command.name for command in commands if " " not in command.name),
                "--help",
                "--version",
            ]
        ),
        "__BELOW__": " | ".join(shlex.quote(name) for name in below),
        "__FLAGS__": "\n".join(map(_flags, commands)),
        "__VALUES__": "\n".join(line for command in commands for line in _values(command)),
        "__PLACES__": "\n".join(line for command in commands for line in _places(command)),
    }
    text = _FRAME
    for word, value in parts.items():
        text = text.replace(word, value)
    return text


def _flags(command: CommandWords) -> str:
    flags = " ".join(name for option in command.flags for name in option.names)
    values = " ".join(name for option in command.flags if option.takes for name in option.names)
    return f"    {shlex.quote(command.name)}) flags={shlex.quote(flags)} values={shlex.quote(values)} ;;"


def _values(command: CommandWords) -> list[str]:
    return [
        f"    {' | '.join(shlex.quote(f'{command.name} {name}') for name in option.names)}) "
        f"{_reply(option)}; return ;;"
        for option in command.flags
        if option.takes
    ]


def _places(command: CommandWords) -> list[str]:
    return [
        f'    "{command.name} {place}"{_further(command.name, option)}) {_reply(option)} ;;'
        for place, option in enumerate(command.places)
    ]


def _further(name: str, option: Option) -> str:
    """A pattern for the places behind it, where it may be repeated."""
    return f' | "{name} "[1-9]*' if option.repeated else ""


def _reply(option: Option) -> str:
    if option.takes == "choice":
        return f"_agentcore_rl_words {shlex.quote(' '.join(option.choices))}"
    return {
        "file": "_agentcore_rl_paths -f",
        "folder": "_agentcore_rl_paths -d",
        "run": "_agentcore_rl_runs",
    }.get(option.takes, ":")
