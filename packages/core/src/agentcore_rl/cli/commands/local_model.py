"""Fetches or serves SmolLM2-135M-Instruct, a language model small enough for a laptop's CPU.

Two names are served: smollm2, as it was published, which uses no tools, and smollm2-tools, the same with an
adapter that was trained to use a calculator. Expect no more of them than one-step sums.

  agentcore-rl local-model fetch
  agentcore-rl local-model serve --port 8000
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `local-model` takes."""
    from agentcore_rl.cli.arguments import port

    actions = parser.add_subparsers(dest="action", metavar="fetch|serve", required=True)
    about = "put the model file (98 MB) into the cache directory"
    fetch = actions.add_parser("fetch", help=about, description=about, allow_abbrev=False)
    fetch.add_argument(
        "--file", metavar="PATH", help="take this copy of the GGUF file instead of downloading it"
    )
    about = "serve both models as an OpenAI-compatible API, until Ctrl-C"
    serve = actions.add_parser("serve", help=about, description=about, allow_abbrev=False)
    serve.add_argument(
        "--port", metavar="N", type=port, default=8000, help="port (default: 8000; 0 takes a free one)"
    )
    for action in (fetch, serve):
        action.add_argument("--json", action="store_true", help="print one JSON object on a line")
        action.add_argument("--debug", action="store_true", help="show tracebacks and our log")


def main(args: argparse.Namespace) -> int:
    """Fetch or serve."""
    return _fetch(args) if args.action == "fetch" else _serve(args)


def _fetch(args: argparse.Namespace) -> int:
    import json
    import time
    from pathlib import Path

    from agentcore_rl.cli.terminal import StatusLine
    from agentcore_rl.local_model import fetch_model

    status = StatusLine()
    began = time.monotonic()

    def tell(step: str, done: int, total: int) -> None:
        far = f", {done / total:.0%}" if total else ""
        status.update(f"{step}{far}, {time.monotonic() - began:.0f} s")

    path = fetch_model(Path(args.file) if args.file else None, tell)
    status.clear()
    if args.json:
        print(json.dumps({"path": str(path), "seconds": round(time.monotonic() - began, 3)}))
    else:
        print(f"The model is in {path}.")
    return 0


def _serve(args: argparse.Namespace) -> int:
    import json
    import sys

    from agentcore_rl.exceptions import ConfigurationError
    from agentcore_rl.local_model import find_model
    from agentcore_rl.local_model.engine import MODELS
    from agentcore_rl.local_model.server import serve

    def started(url: str) -> None:
        if args.json:
            print(json.dumps({"base_url": url, "models": list(MODELS)}), flush=True)
            return
        print(f"Local model\n  base URL  {url}\n  models    {', '.join(MODELS)}\n", flush=True)
        print(f"  export BASE_URL={url} MODEL_ID=smollm2-tools\n", flush=True)
        print("Ctrl-C ends it.", file=sys.stderr, flush=True)

    try:
        serve(find_model(), port=args.port, started=started)
    except OSError as error:
        raise ConfigurationError(
            f"The local model cannot use port {args.port}: {error.strerror or error}. "
            "Give another one with --port; 0 takes a free one."
        ) from error
    except KeyboardInterrupt:  # uvicorn passes it on after its shutdown
        pass
    return 0
