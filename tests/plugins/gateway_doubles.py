"""A renderer of bytes, and servers that play engines: what tests of token-in mode share."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any

from agentcore_rl_gateway.rendering.renderer import Parsed, ParsedCall
from answering_server import ManyServer

START, END = 256, 257


class ByteRenderer:
    """One id for each byte and two around each message; calls are written `<call>NAME ARGUMENTS</call>`."""

    name, digest = "bytes", "0"
    stop_ids = frozenset({END})

    def prompt(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any]) -> list[int]:
        """The ids of a whole prompt."""
        ids = [START, *json.dumps(tools).encode(), END] if tools else []
        return [*ids, *self.added(messages)]

    def added(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """The ids of messages, and of the answer's beginning behind them."""
        ids: list[int] = []
        for message in messages:
            if message["role"] not in ("system", "user", "assistant", "tool"):
                raise ValueError(f"there is no role {message['role']}")
            ids += [START, *f"{message['role']}\n{message.get('content') or ''}".encode(), END]
        return [*ids, START, *b"assistant\n"]

    def parse(self, ids: Sequence[int], tail: Sequence[int] = (), tools: Sequence[Any] = ()) -> Parsed:
        """What the ids say."""
        text = self.text([one for one in ids if one != END])
        content, _, rest = text.partition("<call>")
        inside, closed, _ = rest.partition("</call>")
        if not rest:
            return Parsed(content)
        name, _, arguments = inside.partition(" ")
        return Parsed(
            content, None, (ParsedCall("ok" if closed else "unclosed", name, arguments, inside, None),)
        )

    def delta(
        self, tail: Sequence[int], answer: Sequence[int], new: Sequence[Any], tools: Sequence[Any] = ()
    ) -> list[int]:
        """The ids of the messages behind an answer; an answer that was cut is closed first."""
        return [*([] if answer and answer[-1] == END else [END]), *self.added(new)]

    def text(self, ids: Sequence[int]) -> str:
        """Their text; control ids by name."""
        return bytes(one for one in ids if one < 256).decode(errors="replace")


Answer = tuple[int, Mapping[str, str], bytes | Iterator[bytes]]


class EngineServer:
    """A server in a thread whose POSTs a function answers: (path, body) -> status, headers, content."""

    def __init__(self, answer: Callable[[str, dict[str, Any]], Answer]) -> None:
        self.asked: list[dict[str, Any]] = []
        outer = self

        class Served(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send(200, {}, b'{"data": [{"id": "m", "object": "model"}]}')

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.asked.append(body)
                self._send(*answer(self.path, body))

            def _send(
                self, status: int, headers: Mapping[str, str], content: bytes | Iterator[bytes]
            ) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("connection", "close")  # so that no thread waits for another request
                self.close_connection = True
                if isinstance(content, bytes):
                    self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                    return
                self.end_headers()
                for piece in content:
                    self.wfile.write(piece)
                    self.wfile.flush()

            def log_message(self, *_: Any) -> None:
                return

        self._server = ManyServer(("127.0.0.1", 0), Served)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "EngineServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


Sampled = tuple[list[int], list[float | None], str]
"""Ids, logprobs (None where the engine has no entry), "stop" or "length"."""


def _events(chunks: Sequence[Any]) -> Iterator[bytes]:
    for chunk in chunks:
        yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def vllm(sample: Callable[[list[int]], Sampled]) -> EngineServer:
    """The route `/inference/v1/generate` of vLLM."""

    def chunk(ids: list[int], logprobs: list[float | None], reason: str | None) -> dict[str, Any]:
        content = [
            {"token": f"token_id:{one}", "logprob": value, "bytes": None, "top_logprobs": []}
            for one, value in zip(ids, logprobs, strict=True)
            if value is not None
        ]
        choice = {"index": 0, "logprobs": {"content": content}, "finish_reason": reason, "token_ids": ids}
        return {"request_id": "generate-tokens-1", "choices": [choice], "prompt_logprobs": None}

    def answer(path: str, body: dict[str, Any]) -> Answer:
        assert path == "/inference/v1/generate"
        ids, logprobs, reason = sample(body["token_ids"])
        if not body["stream"]:
            return (
                200,
                {"content-type": "application/json"},
                json.dumps(chunk(ids, logprobs, reason)).encode(),
            )
        half = len(ids) // 2
        parts = [chunk(ids[:half], logprobs[:half], None), chunk(ids[half:], logprobs[half:], reason)]
        return 200, {"content-type": "text/event-stream"}, _events(parts)

    return EngineServer(answer)


def sglang(sample: Callable[[list[int]], Sampled], *, incremental: bool = False) -> EngineServer:
    """SGLang's `/generate`, whose stream repeats all ids unless the server streams incrementally."""

    def chunk(
        ids: list[int], logprobs: list[float | None], counted: int, reason: str | None
    ) -> dict[str, Any]:
        entries = [[value, one, None] for one, value in zip(ids, logprobs, strict=True)]
        meta = {"id": "x", "completion_tokens": counted, "output_token_logprobs": entries}
        meta["finish_reason"] = None if reason is None else {"type": reason, "matched": END}
        return {"text": "", "output_ids": ids, "meta_info": meta}

    def answer(path: str, body: dict[str, Any]) -> Answer:
        assert path == "/generate"
        ids, logprobs, reason = sample(body["input_ids"])
        if not body["stream"]:
            whole = chunk(ids, logprobs, len(ids), reason)
            return 200, {"content-type": "application/json"}, json.dumps(whole).encode()
        half = len(ids) // 2
        start = half if incremental else 0
        parts = [
            chunk(ids[:half], logprobs[:half], half, None),
            chunk(ids[start:], logprobs[start:], len(ids), reason),
        ]
        return 200, {"content-type": "text/event-stream"}, _events(parts)

    return EngineServer(answer)


def llama_cpp(
    sample: Callable[[list[int]], Sampled], *, context: int = 10**9, pause: threading.Event | None = None
) -> EngineServer:
    """llama.cpp's `/completion`: pieces of an answer are calls of their own; the fourth waits for `pause`."""
    begun: dict[tuple[int, ...], tuple[Sampled, int]] = {}

    def answer(path: str, body: dict[str, Any]) -> Answer:
        assert path == "/completion"
        prompt = body["prompt"]
        if len(prompt) >= context:
            return 400, {}, b'{"error": {"code": 400, "type": "exceed_context_size_error", "message": "no"}}'
        if body["n_probs"] > 1:
            likely = [{"id": one, "logprob": -float(one)} for one in range(260)]
            said: dict[str, Any] = {
                "tokens": [97],
                "completion_probabilities": [{"id": 97, "top_logprobs": likely}],
            }
            return (
                200,
                {},
                json.dumps(said | {"tokens_predicted": 1, "tokens_evaluated": len(prompt)}).encode(),
            )
        (ids, logprobs, reason), at = begun.get(tuple(prompt)) or (sample(prompt), 0)
        if pause is not None and at == 48:
            pause.wait(20)
        upto = min(at + body["n_predict"], at + context - len(prompt))
        piece, values = ids[at:upto], logprobs[at:upto]
        begun[(*prompt, *piece)] = (ids, logprobs, reason), upto
        ended = upto >= len(ids)
        kind = "eos" if ended and reason == "stop" else "limit"
        entries = [{"id": one, "logprob": value} for one, value in zip(piece, values, strict=True)]
        said = {
            "tokens": piece,
            "completion_probabilities": [entry for entry in entries if entry["logprob"] is not None],
            "stop_type": kind,
            "tokens_predicted": len(piece),
            "tokens_evaluated": len(prompt),
        }
        return 200, {"content-type": "application/json"}, json.dumps(said).encode()

    return EngineServer(answer)
