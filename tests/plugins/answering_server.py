"""A server that gives each POST the answer that a test has put down, and keeps what came."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class Answer:
    """What a request gets: a head and a body, late or not at all."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    after_s: float = 0.0
    chunks_every_s: float | None = None
    hang_up: bool = False


class ManyServer(ThreadingHTTPServer):
    """A server that many may connect to at once; the standard library's own resets all but five."""

    request_queue_size = 128


class AnsweringServer:
    """Answers in threads; the last answer that was put down is given again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = deque(answers or [Answer()])
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.released = threading.Event()
        self._lock = threading.Lock()
        outer = self

        class Conversation(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None: ...

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("content-length", 0)))
                fields = {name.lower(): value for name, value in self.headers.items()}
                outer._serve(self, outer._next((self.path, fields, content)))

        self._server = ManyServer(("127.0.0.1", 0), Conversation)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.handle_error = lambda *args: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _next(self, seen: tuple[str, dict[str, str], bytes]) -> Answer:
        with self._lock:
            self.seen.append(seen)
            return self.answers.popleft() if len(self.answers) > 1 else self.answers[0]

    def _serve(self, conversation: BaseHTTPRequestHandler, answer: Answer) -> None:
        if answer.after_s:
            self.released.wait(answer.after_s)
        if answer.hang_up:
            conversation.close_connection = True
            return
        conversation.send_response(answer.status)
        for name, value in answer.headers.items():
            conversation.send_header(name, value)
        conversation.send_header("content-length", str(len(answer.body)))
        conversation.end_headers()
        if answer.chunks_every_s is None:
            conversation.wfile.write(answer.body)
            return
        for place in range(0, len(answer.body), 1):
            conversation.wfile.write(answer.body[place : place + 1])
            conversation.wfile.flush()
            if self.released.is_set():
                return
            time.sleep(answer.chunks_every_s)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
