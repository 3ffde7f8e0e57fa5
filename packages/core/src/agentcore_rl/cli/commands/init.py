"""Makes the project of a new agent, which works as it is: app, reward, tasks, test, Dockerfile, README.

It solves word problems with a calculator, in the framework that you choose, and is there to be changed into
your agent. Its agentcore-rl.toml says what the other commands take, so that they need no options in it.

  agentcore-rl init my-agent --framework strands
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

    from agentcore_rl.cli.installed import Installed

__all__ = ["add_arguments", "main"]

_OURS = ("autogen", "crewai", "langgraph", "strands")
_TASKS = {1: 4, 2: 2}  # steps of arithmetic -> problems: the local model needs a minute for them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `init` takes."""
    parser.add_argument(
        "dir", metavar="DIR", help="the new project's folder; it must not be there, or be empty"
    )
    parser.add_argument(
        "--framework",
        metavar="NAME",
        help="the agent's framework, one whose adapter is installed (default: the only one that is)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object: folder, files, next")


def main(args: argparse.Namespace) -> int:
    """Write the project."""
    from pathlib import Path

    from agentcore_rl.cli.installed import adapter_points
    from agentcore_rl.cli.scaffolding import check_free, write_files

    points = adapter_points()
    framework = _framework(args.framework, points)
    folder = Path(args.dir)
    check_free(folder, "give DIR another name, or empty it")
    contents = _project_files(_project_name(folder), framework, points[framework])
    written = write_files(folder, contents)
    _say(args.json, folder, framework, written)
    return 0


def _project_files(name: str, framework: str, adapter: Installed) -> dict[str, str]:
    """The files of a project: path -> text.

    Args:
        name: the project's name, as package names are spelled.
        framework: name of its adapter.
        adapter: the adapter's package.
    """
    import json
    from importlib.resources import files

    from agentcore_rl.cli.scaffolding import filled, templates
    from agentcore_rl.demo.math.tasks import load_tasks

    release = adapter.version or "0"
    words = {
        "__PROJECT__": name,
        "__FRAMEWORK__": framework,
        "__NAME__": framework,
        "__DIST__": adapter.name or f"agentcore-rl-{framework}",
        "__RELEASE__": release,
        "__NEXT__": str(int("".join(filter(str.isdigit, release.partition(".")[0])) or 0) + 1),
    }
    contents = {path: filled(text, words) for path, text in templates("project/files")}
    apps = dict(templates("project/apps"))
    contents["rl_app.py"] = filled(apps.get(f"{framework}.py", apps["any.py"]), words)
    # Tool and reward are the demo's own, word for word.
    for module in ("calculator", "reward"):
        source = files("agentcore_rl.demo.math") / f"{module}.py"
        contents[f"{module}.py"] = source.read_text(encoding="utf-8")
    tasks = [task for level, count in _TASKS.items() for task in load_tasks("heldout", level)[:count]]
    contents["tasks.jsonl"] = "".join(json.dumps(task, ensure_ascii=False) + "\n" for task in tasks)
    return dict(sorted(contents.items()))


def _framework(wanted: str | None, installed: Mapping[str, Installed]) -> str:
    """The framework that is meant, whose adapter is installed."""
    from difflib import get_close_matches

    from agentcore_rl.exceptions import ConfigurationError, MissingDependencyError

    there = ", ".join(installed)
    if not installed:
        package = wanted if wanted in _OURS else "strands"
        raise MissingDependencyError(
            f'No adapter is installed, and a project needs one: pip install "agentcore-rl-{package}"'
        )
    if wanted is None:
        if len(installed) == 1:
            return next(iter(installed))
        raise ConfigurationError(f"Say which framework the agent is of: --framework with one of {there}.")
    wanted = {"langchain": "langgraph"}.get(wanted, wanted)
    if wanted in installed:
        return wanted
    if wanted in _OURS:
        raise MissingDependencyError(
            f"There is no adapter for {wanted!r} here (installed: {there}). Install it with: "
            f'pip install "agentcore-rl-{wanted}"'
        )
    near = get_close_matches(wanted.lower(), [*installed, *_OURS], n=1)
    hint = (
        f"did you mean {near[0]!r}? Installed: {there}."
        if near
        else (f"installed are {there}; agentcore-rl new-adapter makes one for another framework.")
    )
    raise ConfigurationError(f"There is no adapter for {wanted!r}; {hint}")


def _project_name(folder: Path) -> str:
    """The folder's name as names of packages are spelled: lower-case ASCII letters, digits and single '-'."""
    import re
    import unicodedata

    plain = unicodedata.normalize("NFKD", folder.absolute().resolve().name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:60].strip("-") or "agent"


def _say(as_json: bool, folder: Path, framework: str, written: list[Path]) -> None:
    import json
    import os
    import shlex
    from importlib.util import find_spec

    from agentcore_rl.cli.terminal import visible

    steps = [
        (f"cd {shlex.quote(os.fspath(folder))}", "") if folder.resolve() != folder.cwd() else ("", ""),
        ('pip install "agentcore-rl[local-model]"', "the local model's engine is missing")
        if find_spec("xllamacpp") is None
        else ("", ""),
        ("agentcore-rl run", "rollouts of every task on the small local model"),
        ("agentcore-rl view last", "what came of them, as one HTML file"),
        ("python -m pytest", "the agent with a played model"),
    ]
    steps = [(command, why) for command, why in steps if command]
    if as_json:
        told = {
            "folder": str(folder.absolute()),
            "framework": framework,
            "files": [str(path.relative_to(folder)) for path in written],
            "next": [command for command, _ in steps],
        }
        print(json.dumps(told))
        return
    print(f"An agent on {framework} is in {visible(os.fspath(folder))}:\n")
    print("\n".join(f"  {visible(str(path.relative_to(folder)))}" for path in written))
    width = max(len(visible(command)) for command, _ in steps)
    lines = [f"{visible(command):<{width}}  {f'# {why}' if why else ''}".rstrip() for command, why in steps]
    print("\nNext     " + "\n         ".join(lines))
