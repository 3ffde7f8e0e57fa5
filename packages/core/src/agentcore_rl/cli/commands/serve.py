"""Serves your app behind AgentCore Runtime's API on this machine, until Ctrl-C.

Every session is a process of its own, as on AgentCore. An unmodified boto3 client reaches it with the
endpoint URL, region, ARN and credentials that are printed. The app's model is the one in BASE_URL, MODEL_ID
and API_KEY; its records go to AGENTCORE_RL_STORE (default: rollouts). Quotas and time limits are AgentCore's
defaults; "none" lifts one.

  agentcore-rl serve rl_app.py --port 8081
  agentcore-rl serve rl_app.py --new-sessions-per-s none --fault kill:0.1 --fault throttle:count=20
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

__all__ = ["add_arguments", "main"]

_MODES = ("auto", "fork", "spawn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `serve` takes."""
    from agentcore_rl.cli.arguments import above_zero, at_least_one, port, seconds

    parser.add_argument("app", metavar="APP", help="your app file: FILE.py, or FILE.py:NAME")
    parser.add_argument(
        "--port", metavar="N", type=port, default=8081, help="port (default: 8081; 0 takes a free one)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the addresses as one JSON object on a line"
    )
    parser.add_argument(
        "--mode",
        choices=_MODES,
        default="auto",
        help="fork: sessions are forked from one process that has imported the app; spawn: each imports it; "
        "auto: forked where that works (default)",
    )
    parser.add_argument(
        "--endpoint",
        metavar="QUALIFIER=APP",
        action="append",
        default=[],
        type=_named,
        help="another app file under a qualifier of its own; may be repeated",
    )
    limits = parser.add_argument_group("limits")
    for name, unit, kind, meaning in (
        ("new-sessions-per-s", "N", above_zero, "sessions that may start per second (default: 25)"),
        ("interactions-per-s", "N", above_zero, "calls per second (default: 200)"),
        ("active-sessions", "N", at_least_one, "sessions alive at once (default: 1000)"),
        ("idle-timeout-s", "S", seconds, "end a session that is idle for so long (default: 900)"),
        ("max-lifetime-s", "S", seconds, "end a session that is so old (default: 28800)"),
    ):
        parser_of = _or_none(kind)
        limits.add_argument(f"--{name}", metavar=unit, type=parser_of, default="default", help=meaning)
    limits.add_argument(
        "--memory-floor-mib",
        metavar="N",
        type=_or_none(above_zero),
        default="default",
        help="start no session while less memory is available (default: 512)",
    )
    drills = parser.add_argument_group("faults on purpose, as docs/local-runtime.md lists them")
    drills.add_argument(
        "--fault",
        metavar="NAME[:PROBABILITY][:ATTRIBUTE=VALUE]",
        action="append",
        default=[],
        help="let something go wrong, as kill:0.1 or throttle:count=5; may be repeated",
    )
    drills.add_argument("--faults", action="store_true", help="take faults at /_faults from this machine")


def main(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    import json
    import sys

    from agentcore_rl.adapter import ADAPTERS
    from agentcore_rl.limits import AGENTCORE_QUOTAS, Quotas
    from agentcore_rl.local_runtime import LocalRuntime
    from agentcore_rl.local_runtime.gate import MEMORY_FLOOR_MIB
    from agentcore_rl.local_runtime.lifetimes import IDLE_TIMEOUT_S, MAX_LIFETIME_S
    from agentcore_rl.logs import show_warnings
    from agentcore_rl.settings import Settings

    show_warnings()
    records = Settings.from_environment().store
    quotas = Quotas(
        new_sessions_per_s=_chosen(args.new_sessions_per_s, AGENTCORE_QUOTAS.new_sessions_per_s),
        interactions_per_s=_chosen(args.interactions_per_s, AGENTCORE_QUOTAS.interactions_per_s),
        active_sessions=_chosen(args.active_sessions, AGENTCORE_QUOTAS.active_sessions),
    )
    runtime = LocalRuntime(
        args.app,
        port=args.port,
        env=ADAPTERS.import_env(),
        mode=args.mode,
        quotas=quotas,
        memory_floor_mib=_chosen(args.memory_floor_mib, MEMORY_FLOOR_MIB) or 0.0,
        idle_timeout_s=_chosen(args.idle_timeout_s, IDLE_TIMEOUT_S),
        max_lifetime_s=_chosen(args.max_lifetime_s, MAX_LIFETIME_S),
        qualifiers=dict(args.endpoint),
        fault_route=args.faults,
    )
    for fault in args.fault:
        runtime.faults.add_text(fault)
    runtime.start()
    try:
        if args.json:
            addresses = {
                "endpoint_url": runtime.endpoint_url,
                "region": runtime.region,
                "arn": runtime.arn,
                "logs": str(runtime.directory / "logs"),
                "records": records,
            }
            print(json.dumps(addresses), flush=True)
        else:
            print(runtime.describe(), flush=True)
            print(f"Records of rollouts go to {records}.", flush=True)
            print("Ctrl-C ends it.", file=sys.stderr, flush=True)
        runtime.serve_forever()
    except KeyboardInterrupt:  # before it had begun to listen for it
        runtime.stop()
    return 0


def _or_none(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """A type of argument that takes "none" too, and leaves "default" as it is."""

    def parse(text: str) -> Any:
        return {"none": None, "default": text}[text] if text in ("none", "default") else kind(text)

    return parse


def _chosen(given: Any, default: Any) -> Any:
    return default if given == "default" else given


def _named(text: str) -> tuple[str, str]:
    from argparse import ArgumentTypeError

    name, equals, app = text.partition("=")
    if not (name and equals and app):
        raise ArgumentTypeError(f"{text!r} is not of the form QUALIFIER=APP, as canary=new_app.py")
    return name, app
