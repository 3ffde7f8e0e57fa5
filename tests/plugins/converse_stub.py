"""A stand-in for Bedrock's Converse API: plays answers, keeps the requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


def text(said: str) -> dict[str, Any]:
    """An answer of text alone."""
    return _answer([{"text": said}], "end_turn")


def tool_use(
    name: str, arguments: dict[str, Any], *, call: str = "tooluse_1", said: str = ""
) -> dict[str, Any]:
    """An answer that calls a tool."""
    blocks: list[dict[str, Any]] = [{"text": said}] if said else []
    return _answer([*blocks, {"toolUse": {"toolUseId": call, "name": name, "input": arguments}}], "tool_use")


def _answer(content: list[dict[str, Any]], stop_reason: str) -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop_reason,
        "usage": {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18},
        "metrics": {"latencyMs": 1},
    }


class ConverseStub:
    """Serves `POST /model/{id}/converse` on localhost; set AWS_ENDPOINT_URL_BEDROCK_RUNTIME to `url`."""

    def __init__(self, answers: Sequence[dict[str, Any]]) -> None:
        self.requests: list[dict[str, Any]] = []
        waiting = list(answers)
        stub = self

        class Conversation(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if not self.path.endswith("/converse"):  # CrewAI asks for the count of tokens first
                    self.send_error(404)
                    return
                stub.requests.append({"path": self.path, **json.loads(body)})
                content = json.dumps(waiting.pop(0)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Conversation)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
