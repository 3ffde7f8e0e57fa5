"""The local model as an OpenAI-compatible HTTP server: `python -m agentcore_rl.local_model.server`.

Every answer is sampled to its end before its first byte leaves, streamed or not: llama.cpp's own stream
loses the ids inside characters that are split over several tokens, and the ids given here are exactly those
sampled.
"""

import argparse
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agentcore_rl.child_server import end_with_stdin
from agentcore_rl.exceptions import AgentCoreRLError
from agentcore_rl.local_model.answers import BadRequest, read_request, write_answer, write_chunks
from agentcore_rl.local_model.engine import MODELS, Engine
from agentcore_rl.local_model.model_file import find_model

__all__ = ["create_app", "main", "serve"]


def create_app(engine: Engine, started: Callable[[], None] = lambda: None) -> Starlette:
    """The ASGI app: `/v1/chat/completions`, `/v1/models` and `/health`.

    Args:
        engine: What samples. As many calls as it has slots run at once, the others wait in order.
        started: Called once the app accepts requests.
    """
    limiter = anyio.CapacityLimiter(engine.slots)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        started()
        yield

    async def chat(request: Request) -> Response:
        try:
            body = _parsed(await request.body())
            answer = await anyio.to_thread.run_sync(_answer, engine, body, limiter=limiter)
        except BadRequest as refusal:
            return JSONResponse(refusal.body(), status_code=refusal.status)
        if body.get("stream"):
            return StreamingResponse(_each(write_chunks(body, answer)), media_type="text/event-stream")
        return JSONResponse(answer)

    async def models(_: Request) -> Response:
        cards = [{"id": name, "object": "model", "created": 0, "owned_by": "agentcore-rl"} for name in MODELS]
        return JSONResponse({"object": "list", "data": cards})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    routes = [
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/models", models),
        Route("/health", health),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _each(lines: Iterator[str]) -> AsyncIterator[str]:
    """Chunk by chunk, as a stream comes; a plain iterator would cost a thread for each."""
    for line in lines:
        yield line


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        raise BadRequest("The request is not JSON.") from None


def _answer(engine: Engine, body: Any) -> dict[str, Any]:
    """One answer; runs in a thread."""
    request = read_request(body)
    try:
        raw = engine.chat(request, adapter_scale=MODELS[body["model"]])
    except (ValueError, RuntimeError) as error:  # how xllamacpp passes on what llama.cpp cannot read
        raise BadRequest(str(error)) from error
    prompt_ids = None
    if body.get("return_token_ids") and "__verbose" in raw:
        prompt_ids = engine.token_ids(raw["__verbose"]["prompt"])
        if len(prompt_ids) != raw["__verbose"]["tokens_evaluated"]:
            raise BadRequest("The prompt's token ids do not agree with llama.cpp's count.", status=500)
    return write_answer(body, raw, prompt_ids)


def serve(
    model_path: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    threads: int | None = None,
    slots: int = 4,
    started: Callable[[str], None] = print,
    engine_started: Callable[[str], None] = lambda _: None,
) -> None:
    """Serves until interrupted.

    Args:
        model_path: The GGUF file.
        host: Address to listen on.
        port: 0 takes a free one.
        threads: CPU threads; `None` reads prompts on every core and samples on half of them.
        slots: Answers sampled at once.
        started: Called with the base URL (with `/v1`) once requests are accepted.
        engine_started: Called before that with the URL of llama.cpp's own server.

    Raises:
        OSError: The port is taken.
        MissingDependencyError: `xllamacpp` is not installed.
    """
    # Threads of llama.cpp that wait for each other by spinning stand still when somebody else needs a core:
    # on two loaded cores 8 tokens a second where threads that sleep made 55. Read when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with socket.create_server((host, port)) as listener:
        # asyncio sets it only on sockets that it makes itself; without it a small answer waits 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        engine = Engine(model_path, threads=threads, slots=slots)
        engine_started(engine.url)
        url = f"http://{host}:{listener.getsockname()[1]}/v1"
        config = uvicorn.Config(
            create_app(engine, lambda: started(url)), log_level="warning", access_log=False
        )
        uvicorn.Server(config).run(sockets=[listener])


def main() -> int:
    """The process that `LocalModel` starts: one JSON line on stdout when it is ready."""
    parser = argparse.ArgumentParser(prog="python -m agentcore_rl.local_model.server")
    parser.add_argument("--model", type=Path, default=None, help="the GGUF file; found where it was fetched")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="end with the process that started this one"
    )
    options = parser.parse_args()
    if options.until_stdin_closes:
        end_with_stdin(lambda: os._exit(0))

    engine_urls: list[str] = []

    def started(url: str) -> None:
        ready = {"base_url": url, "models": list(MODELS), "pid": os.getpid(), "engine_url": engine_urls[0]}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()

    try:
        serve(
            options.model or find_model(),
            host=options.host,
            port=options.port,
            threads=options.threads,
            slots=options.slots,
            started=started,
            engine_started=engine_urls.append,
        )
    except (AgentCoreRLError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
