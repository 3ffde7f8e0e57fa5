"""Writes into docs/cli.md what the command line's parsers know: the table of commands, usages and options.

    python scripts/cli_reference.py

What stands between `<!-- from the parsers: ... -->` and `<!-- end -->` is replaced; prose around it stays.
A command without a section gets one at its place in the table.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from agentcore_rl.cli.words import CommandWords, Option, all_commands

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
END = "<!-- end -->"
WIDTH = 100


def start(of: str) -> str:
    """The line above a part that is written here."""
    return f"<!-- from the parsers: {of} -->"


def reference(page: str) -> str:
    """The page with its generated parts as the parsers have them now."""
    commands = all_commands()
    top = [command for command in commands if " " not in command.name]
    page = _replaced(page, "commands", _table(top))
    before = ""
    for command in top:
        if f"\n## {command.name}\n" not in page:
            page = _with_section(page, command, before)
        below = [each for each in commands if each.name.startswith(f"{command.name} ")]
        page = _replaced(page, command.name, "\n\n".join(_options(each) for each in below or [command]))
        before = command.name
    return page


def _with_section(page: str, command: CommandWords, before: str) -> str:
    """The page with a section for a command, in front of the section that follows the last command's."""
    text = re.sub(r"\n  agentcore-rl .*", "", command.description, flags=re.DOTALL).strip()
    section = f"## {command.name}\n\n{start(command.name)}\n{END}\n\n{text}\n\n"
    at = page.index(f"\n## {before}\n") + 1 if before else page.index("\n## demo\n") - 2
    place = page.index("\n## ", at + 2) + 1
    return page[:place] + section + page[place:]


def _replaced(page: str, of: str, text: str) -> str:
    head, found, rest = page.partition(start(of) + "\n")
    if not found:
        raise SystemExit(f"docs/cli.md has no line {start(of)}")
    return f"{head}{found}\n{text}\n\n{END}{rest.partition(END)[2]}"


def _table(commands: list[CommandWords]) -> str:
    rows = [f"| [`{command.name}`](#{command.name}) | {command.about} |" for command in commands]
    return "\n".join(["| Command | |", "|---|---|", *rows])


def _options(command: CommandWords) -> str:
    lines = ["```text", *_usage(command), "```"]
    shown = [*command.places, *(flag for flag in command.flags if "--help" not in flag.names)]
    if command.name != "run":  # the table of one command says what is the same in all
        shown = [option for option in shown if option.names != ("--debug",)]
    if shown:
        lines += ["", "| Argument | Meaning |", "|---|---|", *map(_row, shown)]
    return "\n".join(lines)


def _row(option: Option) -> str:
    names = [f"`{name} {option.metavar}`" if option.metavar else f"`{name}`" for name in option.names]
    return f"| {_cell(', '.join(names) or f'`{option.metavar}`')} | {_cell(option.help)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _usage(command: CommandWords) -> Iterator[str]:
    parts = [_part(option) for option in (*command.places, *command.flags) if "--help" not in option.names]
    parts = [part for part in parts if part != "[--debug]"]
    line = f"agentcore-rl {command.name}"
    for part in parts:
        if len(line) + 1 + len(part) > WIDTH:
            yield line
            line = "   "
        line = f"{line} {part}"
    yield line


def _part(option: Option) -> str:
    if not option.names:
        word = f"{option.metavar} ..." if option.repeated else option.metavar
        return word if option.required else f"[{word}]"
    word = f"{option.names[-1]} {option.metavar}".rstrip()
    return word if option.required else f"[{word}]" + ("..." if option.repeated else "")


if __name__ == "__main__":
    PAGE.write_text(reference(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
