"""What `gateway.py` measures: the processes that stand in front of its upstream, and a client of them."""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agentcore_rl_gateway.http.answering import AnswerBroken
from agentcore_rl_gateway.http.client import Client, Unreachable

HERE = Path(__file__).parent
ENVIRONMENT = {
    "AGENTCORE_RL_GATEWAY_ADMIN_KEY": "bench",
    "LITELLM_MASTER_KEY": "sk-bench",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would fetch a list of prices before it starts
    "TOKENIZERS_PARALLELISM": "false",
}
PEERS = {
    "litellm": "litellm[proxy]==1.106.2",
    "rllm": "rllm-model-gateway==0.1.0",
    "toolkit": "agentcore-rl-toolkit[gateway]==0.2.0",
}
START_S = 300.0
"""LiteLLM's proxy takes half a minute on a quiet machine before it answers."""


@dataclass
class Subject:
    """Something that stands in front of the upstream.

    Attributes:
        command: starts it: (upstream's url, port, folder) -> command.
        health: path that answers when it is up.
        key: gives the key that calls need: (url, session) -> key.
        path: of chat completions.
        peer: what must be installed for it.
        token_in: it renders itself.
        ids: it is sent ids, as an engine is, instead of messages.
    """

    command: Callable[[str, int, Path], list[str]]
    health: str = "/health"
    key: Callable[[str, str], Awaitable[str]] | None = None
    path: str = "/v1/chat/completions"
    peer: str = ""
    token_in: bool = False
    ids: bool = False


@dataclass
class Running:
    """A subject that is up.

    Attributes:
        pid: of its process.
        folder: where it keeps what it keeps.
        client: of its calls.
    """

    subject: Subject
    root: str
    pid: int
    folder: Path
    client: Client = field(init=False)

    async def up(self) -> None:
        """Wait until it answers, and get a key.

        Raises:
            TimeoutError: it does not come up.
        """
        deadline = time.monotonic() + START_S
        probe = Client(self.root, {}, silence_s=10)
        while True:
            with contextlib.suppress(Unreachable, AnswerBroken):
                async with probe.request("GET", self.subject.health) as answer:
                    if answer.status < 500:
                        break
            if time.monotonic() > deadline:
                raise TimeoutError(f"it does not come up within {START_S:g} s")
            await asyncio.sleep(0.2)
        await probe.close()
        self.client = await self.client_of("bench")

    async def client_of(self, session: str) -> Client:
        """A client with a key for a session."""
        headers = {"Content-Type": "application/json"}
        if self.subject.key is not None:
            headers["Authorization"] = f"Bearer {await self.subject.key(self.root, session)}"
        return Client(self.root, headers, silence_s=120)

    async def call(self, body: bytes, client: Client | None = None) -> tuple[bytes, float]:
        """One call: its answer's bytes and its milliseconds."""
        began = time.perf_counter()
        async with (client or self.client).request("POST", self.subject.path, body) as answer:
            said = await answer.read()
            assert answer.status == 200, said[:300]
        return said, (time.perf_counter() - began) * 1000

    def cpu_ms(self) -> float:
        """CPU of its process and that one's children so far, user and system."""
        return sum(_cpu_ms(one) for one in [self.pid, *_children(self.pid)])

    def memory(self) -> int:
        """Bytes that its process holds."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def _cpu_ms(pid: int) -> float:
    with contextlib.suppress(OSError):
        return time.clock_gettime((~pid << 3) | 2) * 1000  # as clock_getcpuclockid(3) makes it
    return 0.0


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process while the block runs."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env={**os.environ, **ENVIRONMENT}, stdout=quiet, stderr=quiet)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running(subject: Subject, upstream_port: int, folder: Path) -> Iterator[Running]:
    """A subject's process while the block runs."""
    folder.mkdir(parents=True)
    port = free_port()
    with started(subject.command(f"http://127.0.0.1:{upstream_port}", port, folder)) as process:
        yield Running(subject, f"http://127.0.0.1:{port}", process.pid, folder)


# ---- all of them


def _ours(engine: str, *more: str) -> Callable[[str, int, Path], list[str]]:
    def command(url: str, port: int, folder: Path) -> list[str]:
        options = ["--engine", f"{engine}={url}/v1", "--port", str(port), "--log", str(folder / "log"), *more]
        return [sys.executable, "-m", "agentcore_rl.cli", "gateway", *options]

    return command


async def _our_key(root: str, session: str) -> str:
    client = Client(root, {"Authorization": "Bearer bench"}, silence_s=10)
    asked = json.dumps({"session": session}).encode()
    async with client.request("POST", "/control/sessions", asked) as answer:
        key = str(json.loads(await answer.read())["key"])
    await client.close()
    return key


async def _litellm_key(*_: str) -> str:
    return ENVIRONMENT["LITELLM_MASTER_KEY"]


async def _toolkit_key(*_: str) -> str:
    return "bench"


def subjects(folder: Path, tokenizer: Path, template: Path) -> dict[str, Subject]:
    """All that can be measured, by name: peers from their folder, token-in for this model."""

    def litellm(url: str, port: int, place: Path) -> list[str]:
        settings = {"model": "openai/m", "api_base": f"{url}/v1", "api_key": "none"}
        listed = {"model_list": [{"model_name": "m", "litellm_params": settings}]}
        (place / "litellm.yaml").write_text(json.dumps(listed))
        program = str(folder / "litellm/bin/litellm")
        return [program, "--config", str(place / "litellm.yaml"), "--port", str(port), "--host", "127.0.0.1"]

    def rllm(store: str) -> Callable[[str, int, Path], list[str]]:
        def command(url: str, port: int, place: Path) -> list[str]:
            program = [str(folder / "rllm/bin/rllm-model-gateway"), "--host", "127.0.0.1"]
            more = ["--worker", f"{url}/v1", "--store", store, "--db-path", str(place / "traces.db")]
            return [*program, "--port", str(port), "--log-level", "error", *more]

        return command

    def toolkit(url: str, port: int, _: Path) -> list[str]:
        program = [str(folder / "toolkit/bin/python"), str(HERE / "gateway_toolkit.py"), url, str(port)]
        return [*program, str(tokenizer), str(template)]

    def relay(url: str, port: int, _: Path) -> list[str]:
        return [sys.executable, str(HERE / "gateway_upstream.py"), "relay", url.rpartition(":")[2], str(port)]

    traced = "/sessions/bench/v1/chat/completions"
    vllm = _ours("vllm", "--tokenizer", str(tokenizer))
    return {
        "relay": Subject(relay, "/"),
        "gateway": Subject(_ours("capture"), "/healthz", _our_key),
        "gateway --fsync": Subject(_ours("capture", "--fsync"), "/healthz", _our_key),
        "rllm, memory": Subject(rllm("memory"), path=traced, peer="rllm"),
        "rllm, sqlite": Subject(rllm("sqlite"), path=traced, peer="rllm"),
        "litellm": Subject(litellm, "/health/liveliness", _litellm_key, peer="litellm"),
        "relay, token-in": Subject(relay, "/", path="/inference/v1/generate", token_in=True, ids=True),
        "gateway, token-in": Subject(vllm, "/healthz", _our_key, token_in=True),
        "toolkit, token-in": Subject(toolkit, "/healthz", _toolkit_key, peer="toolkit", token_in=True),
    }


def installed(peer: str, folder: Path) -> str:
    """Installs a peer where it is not there yet; why it cannot be, or an empty text."""
    place = folder / peer
    if not peer or (place / "installed").exists():
        return ""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        return f"{PEERS[peer]} is not installed here, and there is no uv that could install it"
    python = str(place / "bin/python")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)],
        [uv, "pip", "install", "--quiet", "--python", python, PEERS[peer]],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{PEERS[peer]} does not install: {done.stderr.strip()[-200:]}"
    (place / "installed").touch()
    return ""
