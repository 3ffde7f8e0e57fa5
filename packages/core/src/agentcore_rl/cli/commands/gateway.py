"""Serves a model to rollouts with a key for each, and records every call with its exact tokens.

The trainer's side opens a session per rollout (POST /control/sessions with the admin key) and gets the key
that the rollout's agent uses. Calls stand in the log before their answers leave, and a restart goes on with
it. The admin key is the one in AGENTCORE_RL_GATEWAY_ADMIN_KEY; a gateway on this machine alone makes one and
prints it. A key that the engine's server wants is read from AGENTCORE_RL_GATEWAY_ENGINE_KEY.

  agentcore-rl gateway --engine llama.cpp
  agentcore-rl gateway --engine capture=http://127.0.0.1:8000/v1 --log /data/gateway
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `gateway` takes."""
    from agentcore_rl.cli.arguments import port

    parser.add_argument(
        "--engine",
        metavar="ENGINE",
        required=True,
        help="llama.cpp: the local model (smollm2, smollm2-tools), ids in and out; vllm=URL, sglang=URL: "
        "the same on their token-level routes (untested on a real engine); capture=URL: any "
        "OpenAI-compatible server, whose token ids are taken where it gives them",
    )
    parser.add_argument(
        "--tokenizer",
        metavar="PATH",
        help="tokenizer.json of the model behind vllm=URL or sglang=URL, or the folder that it is in",
    )
    parser.add_argument(
        "--renderer",
        metavar="NAME",
        help="how that model writes: chatml-hermes (the default: Qwen2.5 and their like), a family of the "
        "renderers library such as qwen3 (with agentcore-rl-gateway[renderers]), or template: the folder's "
        "chat template, and calls are captured where it does not pass the test. Tested before it serves",
    )
    parser.add_argument(
        "--log", metavar="DIR", default="gateway-log", help="folder of the log (default: gateway-log)"
    )
    parser.add_argument(
        "--host", metavar="HOST", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--port", metavar="N", type=port, default=8090, help="port (default: 8090; 0 takes a free one)"
    )
    parser.add_argument(
        "--fsync",
        action="store_true",
        help="answers wait until the disk has their call: nothing is lost with the machine's power either",
    )
    parser.add_argument("--json", action="store_true", help="print the addresses as one JSON object")


def main(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    import contextlib
    import json
    import sys
    from importlib import import_module
    from importlib.util import find_spec
    from pathlib import Path

    from agentcore_rl.exceptions import MissingDependencyError
    from agentcore_rl.logs import show_warnings

    if find_spec("agentcore_rl_gateway") is None:
        raise MissingDependencyError('The gateway is not installed: pip install "agentcore-rl-gateway"')
    show_warnings()

    def started(url: str, control: str, admin_key: str) -> None:
        if args.json:
            told = {"base_url": url, "control_url": control, "admin_key": admin_key or None}
            print(json.dumps(told), flush=True)
            return
        key = admin_key or "the one in AGENTCORE_RL_GATEWAY_ADMIN_KEY"
        print(f"Gateway\n  base URL   {url}\n  control    {control}\n  admin key  {key}\n", flush=True)
        print("Ctrl-C ends it.", file=sys.stderr, flush=True)

    # By name: the core knows of the gateway only that it may be there.
    command = import_module("agentcore_rl_gateway.command")
    with contextlib.suppress(KeyboardInterrupt):  # the gateway passes it on after its shutdown
        command.serve(
            args.engine,
            tokenizer=Path(args.tokenizer) if args.tokenizer else None,
            renderer=args.renderer,
            folder=Path(args.log),
            host=args.host,
            port=args.port,
            fsync=args.fsync,
            started=started,
        )
    return 0
