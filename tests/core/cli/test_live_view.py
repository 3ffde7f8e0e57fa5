"""The live view of a real run, on a terminal that a test holds."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentcore_rl.testing import Answer, ScriptedModel


def watch(process: subprocess.Popen[bytes], terminal: int, until: str | None) -> str:
    """What is written to the terminal until a text comes, or to the end."""
    said = b""
    give_up = time.monotonic() + 50
    while time.monotonic() < give_up:
        try:
            said += os.read(terminal, 65536)
        except OSError:  # nobody holds the other end any more
            break
        if until is not None and until.encode() in said:
            break
    return said.decode()


@pytest.fixture
def begin():
    """Begins the real command on a terminal of its own; gives process and terminal."""
    made = []

    def start(*words: str, **env: str) -> tuple[subprocess.Popen[bytes], int]:
        ours, theirs = pty.openpty()
        variables = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR")}
        process = subprocess.Popen(
            [Path(sys.executable).with_name("agentcore-rl"), *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**variables, "TERM": "xterm", "COLUMNS": "100", "LINES": "30", **env},
        )
        os.close(theirs)
        made.append((process, ours))
        return process, ours

    yield start
    for process, ours in made:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)


def test_ctrl_c_leaves_the_terminal_as_it_was(begin, app, tasks):
    """Rewards are shown while it runs; then the cursor is back, the sentence stands alone, code 130."""
    hostile = "\x1b[2J 4"
    with ScriptedModel(
        lambda call: Answer(hostile, delay_s=0 if "one" in call.body.decode() else 40)
    ) as model:
        words = ["run", app, "--tasks", tasks("one", "two"), "--run", "mine", "--model", model.base_url]
        process, terminal = begin(*words)
        said = watch(process, terminal, "over 1")
        os.kill(process.pid, signal.SIGINT)
        said += watch(process, terminal, None)
        assert process.wait(20) == 130
    assert "1 of 2" in said
    assert "\x1b[2J" not in said
    assert said.rindex("\x1b[?25h") > said.rindex("\x1b[?25l")
    assert said.splitlines()[-1].endswith("Next: agentcore-rl resume rollouts/mine")
    assert "Traceback" not in said


def test_plain_lines_instead(begin, app, tasks):
    """With --plain nothing is drawn anew: lines, and no escape at all."""
    with ScriptedModel(lambda call: Answer("it is 4")) as model:
        process, terminal = begin(
            "run", app, "--tasks", tasks("one"), "--run", "mine", "--model", model.base_url, "--plain"
        )
        said = watch(process, terminal, None)
        assert process.wait(20) == 0
    assert re.findall(r"\x1b", said) == []
    assert "run mine: " in said
    assert "Next     agentcore-rl view rollouts/mine" in said
