"""`agentcore-rl resume`, `runs` and `status`: a run that broke off, seen and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentcore_rl.read import read_run
from agentcore_rl.testing import Answer, ScriptedModel

SCRIPT = Path(sys.executable).with_name("agentcore-rl")


def slow_two(call):
    """A model that answers at once, but to "two"."""
    return Answer("4", delay_s=30 if "two" in call.body.decode() else 0)


@pytest.fixture
def broken_off(app, tasks):
    """A run that was killed after one of its two rollouts had ended; its model's URL."""
    with ScriptedModel(slow_two) as model:
        words = ["run", app, "--tasks", tasks("one", "two"), "--run", "mine", "--model", model.base_url]
        with subprocess.Popen([SCRIPT, *words], stderr=subprocess.PIPE, text=True) as process:
            until = time.monotonic() + 40
            while "t0.0" not in _won() and time.monotonic() < until:
                time.sleep(0.05)
            seen = subprocess.run([SCRIPT, "status", "mine", "--json"], capture_output=True, check=False)
            process.kill()
            process.wait()
        yield model.base_url, json.loads(seen.stdout)


def _won():
    from agentcore_rl.batch.journal import Journal

    return Journal.read_winners(Path("rollouts/mine/journal.sqlite"))


def test_a_run_that_was_killed_goes_on(broken_off, call):
    """What was delivered comes again without being run, the rest is run; `runs` and `status` say so."""
    _, running = broken_off
    assert (running["state"], running["asked"], running["done"]) == ("running", 2, 1)
    code, out, _ = call("runs")
    assert code == 0
    assert "broken off" in out
    assert "1 of 2" in out
    code, out, _ = call("status", "mine")
    assert code == 0
    assert "mine, broken off" in out
    assert "Next     agentcore-rl resume rollouts/mine" in out
    before = {path: path.stat().st_mtime_ns for path in Path("rollouts/mine/t0.0").iterdir()}
    with ScriptedModel(lambda call: Answer("4")) as model:
        code, out, err = call("resume", "mine", "--model", model.base_url, "--json")
        assert len([served for served in model.calls if served.method == "POST"]) == 1
    assert code == 0, err
    *rollouts, last = map(json.loads, out.splitlines())
    assert {rollout["id"]: rollout["earlier"] for rollout in rollouts} == {"t0.0": True, "t1.0": False}
    assert last["summary"][0]["rollouts"] == 2
    assert {path: path.stat().st_mtime_ns for path in Path("rollouts/mine/t0.0").iterdir()} == before
    assert read_run("rollouts/mine").ids == ["t0.0", "t1.0"]
    code, out, _ = call("runs", "--json")
    listed, last = map(json.loads, out.splitlines())
    assert (listed["state"], last) == ("done", {"done": True, "runs": 1})
    code, out, _ = call("status", "mine", "--json")
    assert json.loads(out) | {"run": "mine", "done": 2, "succeeded": 2, "mean_reward": 1.0} == json.loads(out)


def test_ctrl_c_then_resume(app, tasks, call):
    """The sentence at the end of an interrupted run is the command that goes on with it."""
    with ScriptedModel(slow_two) as model:
        words = ["run", app, "--tasks", tasks("one", "two"), "--run", "mine", "--model", model.base_url]
        with subprocess.Popen([SCRIPT, *words], stderr=subprocess.PIPE, text=True) as process:
            until = time.monotonic() + 40
            while "t0.0" not in _won() and time.monotonic() < until:
                time.sleep(0.05)
            os.kill(process.pid, signal.SIGINT)
            said = process.stderr.read()
    next_words = said.strip().splitlines()[-1].partition("agentcore-rl ")[2].split()
    with ScriptedModel(lambda call: Answer("4")) as model:
        code, out, _ = call(*next_words, "--model", model.base_url)
    assert code == 0
    assert out.splitlines()[1].split()[1] == "2"


def test_a_run_that_goes_on_elsewhere_is_left_alone(app, tasks, call):
    """Two clients of one run would start everything twice."""
    with ScriptedModel(slow_two) as model:
        words = ["run", app, "--tasks", tasks("two"), "--run", "mine", "--model", model.base_url]
        with subprocess.Popen([SCRIPT, *words], stderr=subprocess.PIPE, text=True) as process:
            until = time.monotonic() + 40
            while not Path("rollouts/mine/client.lock").exists() and time.monotonic() < until:
                time.sleep(0.05)
            code, _, err = call("resume", "mine")
            process.send_signal(signal.SIGINT)
            process.wait(30)
    assert code == 2
    assert "Another client runs mine right now" in err


def test_other_tasks_are_refused(app, tasks, call):
    """A resumed run has the tasks that it began with."""
    with ScriptedModel(lambda call: Answer("4")) as model:
        assert call("run", app, "--tasks", tasks("one"), "--run", "mine", "--model", model.base_url)[0] == 0
        tasks("other")
        code, _, err = call("resume", "mine")
    assert code == 2
    assert "its tasks have changed" in err


def test_what_cannot_be_resumed_is_said(folder, call, stored):
    """No such run, no run.json, and a run of a program of one's own."""
    code, _, err = call("resume", "nothing")
    assert (code, "There is no run 'nothing'" in err) == (2, True)
    code, _, err = call("resume", "run")
    assert (code, "run.json cannot be read" in err) == (2, True)
    (stored / "run.json").write_text('{"run": "run"}')
    code, _, err = call("resume", "run")
    assert (code, "was not begun by agentcore-rl run" in err) == (2, True)


def test_a_folder_without_runs_says_what_to_type(folder, call):
    """And a run without a journal has no standing."""
    code, out, _ = call("runs")
    assert (code, "agentcore-rl run rl_app.py --tasks FILE" in out) == (0, True)
    (folder / "rollouts" / "empty").mkdir(parents=True)
    code, out, _ = call("runs")
    assert "no journal" in out
    code, _, err = call("status", "empty")
    assert (code, "has no journal" in err) == (2, True)
