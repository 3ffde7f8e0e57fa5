"""An app in a process of its own, as a deployment runs it: one port, settings from the environment."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentcore_rl.codec import decode_record
from agentcore_rl.rollout import Rollout

SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"


def serve(app: Any, descriptor: int) -> None:
    """What the process does: answers on a listening socket that it has inherited, until it is ended."""
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


@dataclass(frozen=True)
class AppProcess:
    """A running app.

    Attributes:
        pid: of its process.
        port: on 127.0.0.1.
        folder: of its `store`, its `spool` and its `output` (standard output and error, with the log).
    """

    pid: int
    port: int
    folder: Path

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"content-type": "application/json", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def invoke(self, payload: Any, **headers: str) -> Any:
        status, content = self.request("POST", "/invocations", json.dumps(payload).encode(), **headers)
        assert status == 200, content
        return json.loads(content)

    def record(self, key: str, within_s: float = 60) -> Rollout:
        """The record at a key, once it is stored."""
        path, end = self.folder / "store" / key, time.monotonic() + within_s
        while not path.exists():
            assert time.monotonic() < end, f"no record at {key}; the app says:\n{self.output[-4000:]}"
            time.sleep(0.01)
        return decode_record(path.read_bytes())

    def settled(self, within_s: float = 60) -> None:
        """Wait until nothing runs and nothing is on its way to the store."""
        end = time.monotonic() + within_s
        while json.loads(self.request("GET", "/ping")[1])["status"] != "Healthy":
            assert time.monotonic() < end, f"still busy; the app says:\n{self.output[-4000:]}"
            time.sleep(0.02)

    def resident_mib(self) -> float:
        """Memory of the process that is not swapped or given back, in MiB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


@contextmanager
def app_process(program: Path, folder: Path, *arguments: str, **environment: str) -> Iterator[AppProcess]:
    """Start `python PROGRAM DESCRIPTOR ARGUMENTS...`, and end it as a deployment would, by SIGTERM."""
    env = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parent),
        "AGENTCORE_RL_STORE": str(folder / "store"),
        "AGENTCORE_RL_SPOOL": str(folder / "spool"),
        **environment,
    }
    with socket.socket() as listening, (folder / "output").open("wb") as output:
        # Whoever connects before the app serves waits in the backlog.
        listening.bind(("127.0.0.1", 0))
        listening.listen(256)
        # asyncio sets it on sockets of its own; without it a small answer waits 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        process = subprocess.Popen(
            [sys.executable, str(program), str(listening.fileno()), *arguments],
            env=env,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[listening.fileno()],
        )
        port = listening.getsockname()[1]
    try:
        app = AppProcess(process.pid, port, folder)
        app.request("GET", "/ping")  # it has begun to serve
        yield app
        process.terminate()
        process.wait(30)
    finally:
        process.kill()
        process.wait()
