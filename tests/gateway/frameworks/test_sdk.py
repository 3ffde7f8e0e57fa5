"""The plain openai SDK on the gateway, in a process of its own and in every release that is at hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sdk_client
from agentcore_rl_gateway.engines.vllm import VLLM
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.token_in import TokenIn
from gateway_agents import TURNS, VOCABULARY, Way, judge_sdk
from gateway_doubles import vllm
from gateway_fidelity import EngineLog

# `just frameworks` names two: one with openai 2 and one with openai 3.
PYTHONS = [sys.executable, *filter(None, os.environ.get("SDK_PYTHONS", "").split(":"))]


@pytest.mark.parametrize("kind", ["whole", "streamed"])
@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).parent.parent.name)
def test_the_sdk_runs_unmodified(serve, python, kind):
    """Ten turns with tools are one row, and refusals have the classes that the SDK knows."""
    way = Way("sdk", stream=kind == "streamed")
    log = EngineLog(way.writer)
    with vllm(log) as server:
        desk = serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        command = [python, sdk_client.__file__, desk.server.base_url, desk.open(), kind]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        said = json.loads(done.stdout)
        judge_sdk(way, desk, log, said["version"])
    assert (said["turns"], said["finish_reason"], said["content"]) == (TURNS, "stop", "It is done.")
    met = {name: said[name] for name in ("models", "key", "n", "empty", "route")}
    assert met == {
        "models": ["m"],
        "key": "AuthenticationError",
        "n": "BadRequestError",
        "empty": "BadRequestError",
        "route": "NotFoundError",
    }
