"""What a rollout costs the app: CPU from its delivery to its stored record, beside the SDK's own app.

Both apps run in processes of their own behind uvicorn, with the same handlers. "plain" is BedrockAgentCoreApp
that starts an async task in the background and answers at once, as its documentation has it: no record, no
reward, nothing stored. "rollout" is AgentCoreRLApp: the record is in the store (a directory, with its fsyncs)
and announced. The difference for the empty handler is the entrypoint's own cost, much of it the disk's: try
--folder /dev/shm. For five turns it is that and what recording five calls takes. AWS credentials as long as
real ones stand in the environment.

    python benchmarks/entrypoint.py [--rounds N] [--rollouts N] [--folder DIRECTORY]
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import logging
import multiprocessing
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

TURNS = 5
CREDENTIALS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjEHc/" * 45,
}
Handler = Callable[[dict[str, Any]], Any]


def serve_model(pipe: Any) -> None:
    """A model server in a process of its own."""
    from agentcore_rl.testing import Answer, ScriptedModel

    with ScriptedModel(lambda call: Answer("word " * 20)) as model:
        pipe.send(model.base_url)
        while pipe.poll(None) and pipe.recv():
            model.take_calls()


def handlers(sdk: Any) -> dict[str, Handler]:
    """What the agent does."""

    def five_turns(payload: dict[str, Any]) -> str:
        messages: list[Any] = [{"role": "user", "content": payload["prompt"]}]
        for number in range(TURNS):
            answer = sdk.chat.completions.create(model="policy", messages=messages)
            messages.append({"role": "assistant", "content": answer.choices[0].message.content})
            messages.append({"role": "user", "content": f"and {number}?"})
        return "done"

    return {"empty": lambda payload: "done", "five turns": five_turns}


def plain_app(base_url: str) -> Any:
    """The SDK's app with a background task; `{"cpu": true}` gives the process's CPU seconds."""
    import httpx2
    import openai
    from bedrock_agentcore.runtime import BedrockAgentCoreApp

    from agentcore_rl.recorder.wire import WireClient

    app = BedrockAgentCoreApp()
    client = WireClient(transport=httpx2.HTTPTransport(verify=False), trust_env=False, timeout=60)
    known = handlers(
        openai.OpenAI(base_url=base_url, api_key="k", max_retries=0, http_client=cast(Any, client))
    )
    running: set[asyncio.Task[None]] = set()

    @app.entrypoint
    async def start(payload: dict[str, Any]) -> Any:
        if "cpu" in payload:
            return time.process_time()
        number = app.add_async_task("rollout")

        async def work() -> None:
            await asyncio.to_thread(known[payload["do"]], payload)
            app.complete_async_task(number)

        task = asyncio.create_task(work())
        running.add(task)
        task.add_done_callback(running.discard)
        return {"status": "processing"}

    return app


def rollout_app(base_url: str) -> Any:
    """Ours, with a reward."""
    import openai

    from agentcore_rl.aws.app import AgentCoreRLApp
    from agentcore_rl.recorder.wire import clients, openai_arguments

    app = AgentCoreRLApp()
    known = handlers(
        openai.OpenAI(http_client=cast(Any, clients()[0]), **openai_arguments(agent="main", timeout_s=60.0))
    )

    @app.rollout_entrypoint(reward=lambda payload, output, rollout: 1.0)
    def start(payload: dict[str, Any]) -> Any:
        return time.process_time() if "cpu" in payload else known[payload["do"]](payload)

    return app


def serve_app(name: str, base_url: str, listening: socket.socket, environment: dict[str, str]) -> None:
    """The app's process."""
    import uvicorn

    os.environ.update(environment)
    app = {"plain": plain_app, "rollout": rollout_app}[name](base_url)
    logging.getLogger("bedrock_agentcore.app").setLevel(logging.WARNING)
    uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on")).run(sockets=[listening])


class App:
    """A running app."""

    def __init__(self, name: str, base_url: str, folder: Path) -> None:
        self._name = name
        self._base_url = base_url
        self._store = folder / "store"
        self._number = 0
        listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        # asyncio sets it on sockets of its own; without it a small answer waits 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=60)
        environment = {
            "BASE_URL": base_url,
            "MODEL_ID": "policy",
            "API_KEY": "key-of-the-deployment",
            "AGENTCORE_RL_STORE": str(self._store),
            "AGENTCORE_RL_SPOOL": str(folder / "spool"),
            **CREDENTIALS,
        }
        self.process = multiprocessing.get_context("spawn").Process(
            target=serve_app, args=(name, base_url, listening, environment), daemon=True
        )
        self.process.start()
        listening.close()

    def _post(self, payload: dict[str, Any]) -> Any:
        return self._request("POST", "/invocations", json.dumps(payload).encode())

    def _request(self, method: str, path: str, body: bytes | None = None) -> Any:
        self._connection.request(method, path, body, {"content-type": "application/json"})
        return json.loads(self._connection.getresponse().read())

    def _one(self, do: str) -> float:
        """Milliseconds until the record is stored (0 for the plain app, which stores none)."""
        self._number += 1
        payload: dict[str, Any] = {"prompt": f"task {self._number}", "do": do}
        if self._name == "plain":
            self._post(payload)
            return 0.0
        # As clients send them: endpoint and key of the rollout's own.
        fields = {"base_url": self._base_url, "api_key": f"key-of-rollout-{self._number:06}"}
        payload["_rollout"] = {"exp_id": "run", "input_id": f"t{self._number}.0", **fields}
        began = time.monotonic()
        path = self._store / self._post(payload)["result_key"]
        while not path.exists():
            time.sleep(0.0005)
        return 1000 * (time.monotonic() - began)

    def measure(self, do: str, rollouts: int) -> tuple[float, float]:
        """CPU milliseconds of the app's process per rollout, and milliseconds until a record is stored."""
        before = self._post({"cpu": True})
        stored = [self._one(do) for _ in range(rollouts)]
        while self._request("GET", "/ping")["status"] != "Healthy":
            time.sleep(0.02)
        return 1000 * (self._post({"cpu": True}) - before) / rollouts, sorted(stored)[rollouts // 2]


@contextlib.contextmanager
def running(root: str | None) -> Iterator[tuple[dict[str, App], Any]]:
    """Both apps, and the pipe that makes the model forget."""
    spawn = multiprocessing.get_context("spawn")
    pipe, theirs = multiprocessing.Pipe()
    model = spawn.Process(target=serve_model, args=(theirs,), daemon=True)
    model.start()
    folder = Path(tempfile.mkdtemp(prefix="agentcore-rl-benchmark-", dir=root))
    apps = {name: App(name, base_url, folder) for base_url in [pipe.recv()] for name in ("plain", "rollout")}
    try:
        yield apps, pipe
    finally:
        pipe.send(False)
        for process in (model, *(app.process for app in apps.values())):
            process.terminate()
            process.join(15)
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Measures and prints: the least of the rounds, in which the apps take turns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--rollouts", type=int, default=60)
    parser.add_argument("--folder", help="where store and spool are made; the default is for temporary files")
    options = parser.parse_args()
    print(
        f"{'CPU ms per rollout':<20}{'plain':>8}{'rollout':>9}{'ratio':>7}{'more':>8}{'stored after ms':>17}"
    )
    with running(options.folder) as (apps, pipe):
        more: dict[str, float] = {}
        for do in ("empty", "five turns"):
            least = {name: (float("inf"), float("inf")) for name in apps}
            for number in range(options.rounds + 1):
                for name, app in apps.items():
                    cpu, stored = app.measure(do, options.rollouts)
                    if number:  # the first is for the imports
                        least[name] = (min(cpu, least[name][0]), min(stored, least[name][1]))
                pipe.send(True)
            plain, rollout = least["plain"][0], least["rollout"][0]
            more[do] = rollout - plain
            print(
                f"{do:<20}{plain:>8.2f}{rollout:>9.2f}{rollout / plain:>7.2f}{more[do]:>8.2f}"
                f"{least['rollout'][1]:>17.1f}"
            )
    each = (more["five turns"] - more["empty"]) / TURNS
    print(
        f"\nthe entrypoint {more['empty']:.2f} ms, and each of {TURNS} turns {each:.2f} ms more than without"
    )


if __name__ == "__main__":
    main()
