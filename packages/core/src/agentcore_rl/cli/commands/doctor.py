"""Says what is installed, what is missing, and what to type.

Everything is looked at on this machine; of the network only the model in BASE_URL, if that is set. The exit
code is 1 when something that every use needs is missing or does not work.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

__all__ = ["PROJECT", "add_arguments", "main"]

PROJECT = False
"""It takes nothing from the project file: one that cannot be used is a finding, not the end."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `doctor` takes."""
    parser.add_argument("--json", action="store_true", help="one JSON document")


def main(args: argparse.Namespace) -> int:
    """Print what was found; 1 when something needed is not well."""
    import json
    import sys
    from dataclasses import asdict

    from agentcore_rl.cli.findings import Verdict, examine
    from agentcore_rl.cli.terminal import Style, visible

    found = list(examine())
    well = all(finding.verdict is not Verdict.BROKEN for finding in found)
    if args.json:
        print(json.dumps({"well": well, "findings": [asdict(finding) for finding in found]}))
        return 0 if well else 1
    style = Style(sys.stdout)
    dye = {Verdict.OK: style.good, Verdict.OPTIONAL: style.dim, Verdict.BROKEN: style.bad}
    widest = max(len(finding.what) for finding in found)
    part = ""
    for finding in found:
        if finding.part != part:
            part = finding.part
            print(f"{style.strong(part)}")
        mark = dye[finding.verdict](f"{finding.verdict.value:<8}")
        print(f"  {mark}  {finding.what:<{widest}}  {visible(finding.says)}".rstrip())
        if finding.type_this:
            print(f"  {'':<8}  {'':<{widest}}  type: {finding.type_this}")
    print("\nAll is well." if well else "\nSomething is missing: see the lines marked broken.")
    return 0 if well else 1
