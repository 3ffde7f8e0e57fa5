"""Shows the records that wait on this machine for their store, or delivers them now.

A record is spooled before it is stored, and stays there while its store cannot be reached. What a dead
process left is delivered by the next one; `drain` does so by hand. Records of processes that live are theirs
to deliver.

  agentcore-rl spool
  agentcore-rl spool drain
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Any

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `spool` takes."""
    from agentcore_rl.cli.arguments import seconds

    parser.add_argument(
        "do",
        metavar="DO",
        nargs="?",
        choices=("show", "drain"),
        default="show",
        help="show (default) or drain",
    )
    parser.add_argument(
        "--spool",
        metavar="DIR",
        help="root of the spool (default: AGENTCORE_RL_SPOOL, else the user's; with the local runtime's)",
    )
    parser.add_argument(
        "--within", metavar="S", type=seconds, default=30.0, help="seconds that drain tries (default: 30)"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="JSON lines: one object per process, then one that says done; of drain one object",
    )


def main(args: argparse.Namespace) -> int:
    """Show or drain; 1 when records are left after draining."""
    from pathlib import Path

    from agentcore_rl.settings import Settings

    if args.spool is not None:
        roots = [Path(args.spool).absolute()]
    else:
        own = Settings.from_environment().spool
        runtime = own.parent / "local-runtime" / "spool"
        roots = [own, *(sorted(runtime.iterdir()) if runtime.is_dir() else ())]
    if args.do == "drain":
        return _drain(args, roots)
    return _show(args, roots)


def _show(args: argparse.Namespace, roots: Iterable[Path]) -> int:
    import json
    import time

    from agentcore_rl.cli.terminal import shown_path, table
    from agentcore_rl.spool import look_into

    found = [waiting for root in roots for waiting in look_into(root)]
    if args.json:
        for waiting in found:
            print(json.dumps(waiting.to_dict()))
        print(json.dumps({"done": True, "processes": len(found)}))
        return 0
    if not found:
        print("No record waits on this machine.")
        return 0
    now = time.time()
    rows = [
        [
            shown_path(waiting.folder),
            "alive" if waiting.alive else "dead",
            str(waiting.entries),
            f"{waiting.size:,}",
            "-" if waiting.oldest_at is None else f"{max(0.0, now - waiting.oldest_at):.0f} s",
            str(waiting.damaged),
            ", ".join(waiting.stores) or "-",
        ]
        for waiting in found
    ]
    headings = ["folder", "process", "records", "bytes", "oldest", "damaged", "for"]
    print("\n".join(table(headings, rows, right=(2, 3, 4, 5))))
    if any(not waiting.alive and waiting.entries for waiting in found):
        print("\nNext     agentcore-rl spool drain")
    return 0


def _drain(args: argparse.Namespace, roots: Iterable[Path]) -> int:
    import json
    import time

    from agentcore_rl.cli.terminal import StatusLine
    from agentcore_rl.sink import drain_orphans
    from agentcore_rl.spool import look_into

    status = StatusLine()
    until = time.monotonic() + args.within
    before = after = 0
    for root in roots:
        waiting = _orphans(look_into(root))
        if waiting:
            status.update(f"delivering {waiting} records of {root}")
            drain_orphans(root, timeout_s=max(0.5, until - time.monotonic()))
        before += waiting
        after += _orphans(look_into(root))
    status.clear()
    said: dict[str, Any] = {"delivered": before - after, "left": after}
    if args.json:
        print(json.dumps(said))
    elif not before:
        print("No record of a dead process waits on this machine.")
    else:
        print(f"{said['delivered']} delivered, {after} left.")
        if after:
            print("What is left stays where it is; the reason is above, and in the log with --debug.")
    return 1 if after else 0


def _orphans(found: Iterable[Any]) -> int:
    return sum(waiting.entries for waiting in found if not waiting.alive)
