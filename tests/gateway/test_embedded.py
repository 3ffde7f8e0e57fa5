"""A gateway of one's own: it starts with whoever wants it, and ends with them."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import openai
import pytest

from agentcore_rl.batch import GatewayControl
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.read import read_run
from agentcore_rl.testing import Answer, ScriptedModel
from agentcore_rl.turn import Tokens
from agentcore_rl_gateway.embedded import EmbeddedGateway

APP = """
from agentcore_rl.aws.app import AgentCoreRLApp
from agentcore_rl.recorder.wire import PLACEHOLDER_URL, clients

app = AgentCoreRLApp()

@app.rollout_entrypoint(reward=lambda payload, output, rollout: 1.0)
def solve(payload):
    body = {"model": "policy", "messages": [{"role": "user", "content": payload["prompt"]}]}
    answer = clients()[0].post(f"{PLACEHOLDER_URL}/chat/completions", json=body)
    answer.raise_for_status()
    return answer.json()["choices"][0]["message"]["content"]
"""
OWNER = """
import sys, time
from pathlib import Path
from agentcore_rl_gateway.embedded import EmbeddedGateway

gateway = EmbeddedGateway("capture=" + sys.argv[1], log=Path("log"))
gateway.start()
print(gateway.pid, flush=True)
time.sleep(60)
"""


def hello(_call):
    """A model that says hello, in tokens."""
    return Answer("Hello, friend.")


def gone(pid, within_s=20.0):
    """Whether a process ends in time."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def project(tmp_path):
    """A folder with an app and two tasks, which is the current one."""
    os.chdir(tmp_path)
    (tmp_path / "rl_app.py").write_text(APP)
    lines = [json.dumps({"id": f"t{n}", "prompt": f"hello {n}"}) for n in range(2)]
    (tmp_path / "tasks.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def command(*words, **env):
    """The command line, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "agentcore_rl.cli", *words],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, **env},
        timeout=120,
    )


def test_a_gateway_lives_as_long_as_its_block(tmp_path):
    """It issues keys to who has its admin key, answers with them, and its log is whole when it has ended."""
    with ScriptedModel(hello) as model:
        with EmbeddedGateway(f"capture={model.base_url}", log=tmp_path / "log") as gateway:
            pid = gateway.pid

            async def ask():
                async with GatewayControl(gateway.base_url, gateway.admin_key) as control:
                    key = await control.issue("s" * 40, deadline_s=5, model="scripted", sampling={})
                    client = openai.AsyncOpenAI(base_url=gateway.base_url, api_key=key.reveal())
                    async with client:
                        asked = [{"role": "user", "content": "hi"}]
                        answer = await client.chat.completions.create(model="policy", messages=asked)
                    assert answer.choices[0].message.content == "Hello, friend."
                    seen = await control.end("s" * 40)
                    assert seen["calls"]["answered"] == 1

            asyncio.run(ask())
        assert gateway.pid is None
        assert gone(pid)
    assert list((tmp_path / "log").glob("calls-*.log"))


def test_it_ends_with_the_process_that_started_it(tmp_path):
    """Also when that is killed."""
    with ScriptedModel(hello) as model:
        with subprocess.Popen(
            [sys.executable, "-c", OWNER, model.base_url], stdout=subprocess.PIPE, text=True, cwd=tmp_path
        ) as owner:
            pid = int(owner.stdout.readline())
            owner.send_signal(signal.SIGKILL)
        assert gone(pid)


def test_what_cannot_be_started_says_why(tmp_path):
    """The child's own sentence is the error's."""
    with pytest.raises(ConfigurationError, match=r"The gateway did not start: There is no engine 'what'"):
        EmbeddedGateway("what", log=tmp_path / "log").start()


def test_run_puts_a_gateway_before_an_engine(project):
    """Every turn has the ids that were sampled, and the gateway is a third witness of every record."""
    with ScriptedModel(hello) as model:
        words = ("--engine", f"capture={model.base_url}", "--model-id", "scripted", "--run", "mine")
        done = command("run", "rl_app.py", "--tasks", "tasks.jsonl", *words)
    assert done.returncode == 0, done.stderr
    run = read_run("rollouts/mine")
    assert run.unreadable == {}
    for rollout in run.rollouts:
        (turn,) = rollout.turns
        assert isinstance(turn.stored.tokens, Tokens)
        assert len(turn.stored.tokens.answer) > 0
    with closing(sqlite3.connect(project / "rollouts/mine/journal.sqlite")) as database:
        assert database.execute("SELECT count(*), sum(witnessed) FROM outcomes").fetchone() == (2, 2)
    assert list((project / "rollouts/mine/gateway").glob("calls-*.log"))
    for path in (project / "rollouts").rglob("*.json"):
        assert b"arl-" not in path.read_bytes(), "no key of an attempt is stored"


def test_run_asks_a_gateway_that_runs_for_keys(project):
    """With its admin key in the environment, `--model` is its URL; with a wrong key nothing begins."""
    with (
        ScriptedModel(hello) as model,
        EmbeddedGateway(f"capture={model.base_url}", log=project / "log") as gateway,
    ):
        words = ("run", "rl_app.py", "--tasks", "tasks.jsonl", "--model", gateway.base_url)
        admin = {"AGENTCORE_RL_GATEWAY_ADMIN_KEY": gateway.admin_key.reveal()}
        unnamed = command(*words, **admin)
        refused = command(*words, "--model-id", "scripted", AGENTCORE_RL_GATEWAY_ADMIN_KEY="wrong")
        done = command(*words, "--model-id", "scripted", "--run", "mine", **admin)
    assert unnamed.returncode == 2
    assert "name it with --model-id" in unnamed.stderr
    assert refused.returncode == 2
    assert "refuses (401)" in refused.stderr
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(project / "rollouts/mine/journal.sqlite")) as database:
        assert database.execute("SELECT count(*), sum(witnessed) FROM outcomes").fetchone() == (2, 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--engine", "llama.cpp", "--model", "smollm2"), "not --model"),
        (("--engine", "llama.cpp"), "--model-id"),
        (("--engine", "nonsense", "--model-id", "m"), "There is no engine 'nonsense'"),
    ],
)
def test_wrong_words_are_told(project, words, said):
    """What cannot be meant is a sentence and code 2."""
    done = command("run", "rl_app.py", "--tasks", "tasks.jsonl", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (project / "rollouts").exists() or not list((project / "rollouts").rglob("run.json"))


def test_a_gateway_of_ones_own_is_out_of_a_remote_sessions_reach(project):
    """A model on this machine is refused for sessions that run elsewhere, before anything is started."""
    words = ("--on", "http://app.example.com", "--model", "smollm2-tools")
    done = command("run", "--tasks", "tasks.jsonl", *words)
    assert done.returncode == 2
    assert "cannot reach it" in done.stderr
