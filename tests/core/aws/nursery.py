"""Forks app processes out of one that has imported everything, so that killing many is cheap.

Reads lines from standard input: `start` forks a session's process that serves the app and answers
with `{"pid": ..., "port": ...}`. Settings come from the environment.
"""

import json
import os
import signal
import socket
import sys
from typing import Any

import openai
import uvicorn

from agentcore_rl.aws.app import AgentCoreRLApp
from agentcore_rl.recorder.wire import clients, openai_arguments

TURNS = 3


def make_app() -> AgentCoreRLApp:
    """An agent of a few model calls, each prompt extending the one before."""
    app = AgentCoreRLApp()
    model = openai.OpenAI(**openai_arguments(agent="main", timeout_s=20), http_client=clients()[0])  # type: ignore[arg-type]

    @app.rollout_entrypoint(reward=lambda payload, output, rollout: float(len(rollout.turns)))
    def solve(payload: dict[str, Any]) -> str:
        messages: list[Any] = [{"role": "user", "content": payload["prompt"]}]
        for turn in range(TURNS):
            answer = model.chat.completions.create(model="policy", messages=messages)
            messages.append({"role": "assistant", "content": answer.choices[0].message.content})
            messages.append({"role": "user", "content": f"next {turn} " + "x" * 20_000})
        return "done"

    return app


def serve(config: uvicorn.Config, listening: socket.socket) -> None:
    """What a session's process does, until it is killed."""
    if user := os.environ.get("NURSERY_USER"):
        os.setgid(int(user))
        os.setuid(int(user))
    server = uvicorn.Server(config)
    server.run(sockets=[listening])


def main() -> None:
    """Fork on demand; the children die with this process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    config = uvicorn.Config(make_app(), log_level="error", lifespan="on")
    config.load()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() != "start":
            continue
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        port = listening.getsockname()[1]
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(0)
            serve(config, listening)
            os._exit(0)
        listening.close()
        print(json.dumps({"pid": pid, "port": port}), flush=True)


if __name__ == "__main__":
    main()
