"""Serves your app behind AgentCore Runtime's API on this machine, until Ctrl-C.

Every session is a process of its own, as on AgentCore. An unmodified boto3 client reaches it with the
endpoint URL, region, ARN and credentials that are printed. The app's model is the one in BASE_URL, MODEL_ID
and API_KEY; its records go to AGENTCORE_RL_STORE (default: rollouts).

  agentcore-rl serve rl_app.py --port 8081
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `serve` takes."""
    from agentcore_rl.cli.arguments import port

    parser.add_argument("app", metavar="APP", help="your app file: FILE.py, or FILE.py:NAME")
    parser.add_argument(
        "--port", metavar="N", type=port, default=8081, help="port (default: 8081; 0 takes a free one)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the addresses as one JSON object on a line"
    )


def main(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    import json
    import sys
    from pathlib import Path

    from agentcore_rl.adapter import ADAPTERS
    from agentcore_rl.local_runtime import LocalRuntime
    from agentcore_rl.settings import Settings

    records = str(Path(Settings.from_environment().store).absolute())
    runtime = LocalRuntime(args.app, port=args.port, env=ADAPTERS.import_env())
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
