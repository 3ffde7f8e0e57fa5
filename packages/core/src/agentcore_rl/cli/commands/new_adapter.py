"""Writes the package of an adapter for another framework, to be filled in.

It installs at once, and its tests fail where code is still owed. docs/add-a-framework.md has the steps.

  agentcore-rl new-adapter agent_framework --out packages/agent-framework
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `new-adapter` takes."""
    parser.add_argument("name", help="the framework's short name, e.g. agent_framework")
    parser.add_argument(
        "--class-prefix",
        metavar="PREFIX",
        help="of its classes, e.g. AgentFramework (default: from the name)",
    )
    parser.add_argument("--out", metavar="DIR", help="the new folder (default: the name, in this directory)")


def main(args: argparse.Namespace) -> int:
    """Write the package."""
    import shlex
    from importlib.metadata import version
    from importlib.resources import files
    from pathlib import Path

    from agentcore_rl.exceptions import ConfigurationError

    name, prefix = _names(args)
    out = Path(args.out or name)
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        raise ConfigurationError(f"{out} is there already; choose another folder with --out.")
    words = {
        "__NAME__": name,
        "__CLASS__": prefix,
        "__DIST__": f"agentcore-rl-{name.replace('_', '-')}",
        "__MODULE__": f"agentcore_rl_{name}",
        "__VERSION__": version("agentcore-rl"),
    }
    for path, text in _templates(files("agentcore_rl.cli") / "scaffold" / "adapter", ""):
        target = out / _filled(path, words)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_filled(text, words), encoding="utf-8")
        print(f"  {target}")
    print(f"\nThe adapter {name} is in {out}; it installs, and its tests fail where code is owed. Next:")
    print(f"  cd {shlex.quote(str(out))} && pip install -e . pytest && python -m pytest tests")
    return 0


def _names(args: argparse.Namespace) -> tuple[str, str]:
    """The adapter's name, and what its classes begin with."""
    import keyword
    import re

    from agentcore_rl.adapter import ADAPTERS
    from agentcore_rl.exceptions import ConfigurationError

    name = args.name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > 40 or keyword.iskeyword(name):
        raise ConfigurationError(
            f"{args.name!r} cannot be an adapter's name: "
            "use at most 40 lower-case letters, digits and single '_' between them, a letter first."
        )
    if name in ADAPTERS:
        raise ConfigurationError(f"An adapter {name!r} is installed here already; choose another name.")
    prefix = args.class_prefix or "".join(part.capitalize() for part in name.split("_"))
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", prefix):
        raise ConfigurationError(
            f"{prefix!r} cannot begin a class name: use letters and digits, a capital first."
        )
    return name, prefix


def _templates(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _templates(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(".txt"):
            # The ending keeps tools from taking a template for code.
            yield path + entry.name.removesuffix(".txt"), entry.read_text(encoding="utf-8")


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text
