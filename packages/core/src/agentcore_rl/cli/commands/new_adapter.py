"""Writes the package of an adapter for another framework, to be filled in.

It installs at once, and its tests fail where code is still owed. docs/add-a-framework.md has the steps.

  agentcore-rl new-adapter agent_framework --out packages/agent-framework
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

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
    parser.add_argument("--json", action="store_true", help="one JSON object: folder, adapter, files, next")


def main(args: argparse.Namespace) -> int:
    """Write the package."""
    import json
    import shlex
    from importlib.metadata import version
    from pathlib import Path

    from agentcore_rl.cli.scaffolding import check_free, filled, templates, write_files

    name, prefix = _names(args)
    out = Path(args.out or name)
    check_free(out, "choose another folder with --out")
    words = {
        "__NAME__": name,
        "__CLASS__": prefix,
        "__DIST__": f"agentcore-rl-{name.replace('_', '-')}",
        "__MODULE__": f"agentcore_rl_{name}",
        "__VERSION__": version("agentcore-rl"),
    }
    contents = {filled(path, words): filled(text, words) for path, text in templates("adapter")}
    written = write_files(out, contents)
    then = f"cd {shlex.quote(str(out))} && pip install -e . pytest && python -m pytest tests"
    if args.json:
        files = [str(path.relative_to(out)) for path in written]
        print(json.dumps({"folder": str(out.absolute()), "adapter": name, "files": files, "next": [then]}))
        return 0
    print("\n".join(f"  {path}" for path in written))
    print(f"\nThe adapter {name} is in {out}; it installs, and its tests fail where code is owed. Next:")
    print(f"  {then}")
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
