"""What tests of the command line share: a folder of one's own, an app, tasks, a run that has ended."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentcore_rl.cli import main
from agentcore_rl.codec import encode_record
from agentcore_rl.stores.directory import DirectoryStore
from made_rollouts import golden_rollout, make_rollout, raw

# Asks its model once, as the adapters do, and answers with what it says.
APP = """
from agentcore_rl.aws.app import AgentCoreRLApp
from agentcore_rl.recorder.wire import PLACEHOLDER_URL, clients

app = AgentCoreRLApp()

def judge(payload, output, rollout):
    return 1.0 if payload["answer"] in output else 0.0

@app.rollout_entrypoint(reward=judge)
def solve(payload):
    if payload["prompt"] == "break":
        raise RuntimeError("broken on purpose")
    body = {"model": "policy", "messages": [{"role": "user", "content": payload["prompt"]}]}
    answer = clients()[0].post(f"{PLACEHOLDER_URL}/chat/completions", json=body)
    answer.raise_for_status()
    return answer.json()["choices"][0]["message"]["content"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The current directory, empty."""
    os.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def app(folder: Path) -> str:
    """An app file."""
    (folder / "rl_app.py").write_text(APP)
    return "rl_app.py"


@pytest.fixture
def tasks(folder: Path) -> Callable[..., str]:
    """Writes a task file with these prompts; every answer is 4."""

    def write(*prompts: str) -> str:
        lines = [{"id": f"t{n}", "prompt": prompt, "answer": "4"} for n, prompt in enumerate(prompts)]
        (folder / "tasks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return "tasks.jsonl"

    return write


@pytest.fixture
def stored(folder: Path) -> Path:
    """A run with three rollouts: one that succeeded, the failed one of the golden record, a hostile one."""
    store = DirectoryStore(folder / "rollouts")
    hostile = make_rollout(
        task="hostile",
        input_id="hostile.0",
        session="run-hostile-0-0-0123456789abcdef01234567",
        messages=[
            raw({"role": "user", "content": "hi"}),
            raw({"role": "assistant", "content": "\x1b[2J\u202egone"}),
        ],
        output="\x1b]0;title\x07" + "long " * 1000,
    )
    for rollout in (make_rollout(2), golden_rollout(), hostile):
        key = f"{rollout.run}/{rollout.input_id}/{rollout.session}.json"
        store.put_if_absent(key, encode_record(rollout, bucket="", key=key))
    return folder / "rollouts" / "run"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Calls the command in this process: its exit code, what it printed, what it said on stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


@pytest.fixture
def command() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs the real command in a process of its own."""
    script = Path(sys.executable).with_name("agentcore-rl")

    def run(*words: str, timeout_s: float = 150, **env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [script, *words],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, **env},
            check=False,
        )

    return run
