"""`agentcore-rl run`: rollouts of an app over a task file."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentcore_rl.read import read_run, summarize
from agentcore_rl.rollout import Status
from agentcore_rl.testing import Answer, ScriptedModel


def four(call):
    """A model that is always right."""
    return Answer("it is 4")


def test_rollouts_are_run_and_stored(call, app, tasks):
    """Tasks times samples, judged; the table's numbers are those of the records; code 0."""
    with ScriptedModel(four) as model:
        code, out, err = call(
            *("run", app, "--tasks", tasks("one", "two"), "--samples", "2", "--run", "mine"),
            *("--model", model.base_url, "--sampling", '{"temperature": 0.5}', "--max-tokens", "99"),
        )
        asked = [served.json for served in model.calls if served.method == "POST"]
    assert code == 0, err
    run = read_run("rollouts/mine")
    assert run.ids == ["t0.0", "t0.1", "t1.0", "t1.1"]
    assert {body["temperature"] for body in asked} == {0.5}
    assert {body["model"] for body in asked} == {"scripted"}
    figures = summarize(run.rollouts)
    tokens = f"{figures.prompt_tokens + figures.completion_tokens:,}"
    assert out.splitlines()[1].split()[:3] == ["scripted", "4", "1.00"]
    assert out.splitlines()[1].split()[-5:] == ["4", tokens, "-", "0", "0"]
    assert "agentcore-rl show rollouts/mine" in out
    about = json.loads(Path("rollouts/mine/run.json").read_text())
    assert (about["samples"], about["limits"]["max_tokens"]) == (2, 99)


def test_json_lines_and_failures(call, app, tasks):
    """One line per rollout, then the summary; a failed rollout makes the exit code 1 and stays a line."""
    with ScriptedModel(four) as model:
        code, out, _ = call(
            *(
                "run",
                app,
                "--tasks",
                tasks("one", "break"),
                "--model",
                model.base_url,
                "--json",
                "--out",
                "other",
            )
        )
    *rollouts, last = map(json.loads, out.splitlines())
    by_id = {line["id"]: line for line in rollouts}
    assert code == 1
    assert by_id["t0.0"]["reward"] == 1.0
    assert by_id["t1.0"]["failure"] == {"kind": "agent", "message": "broken on purpose"}
    assert all(Path(line["record"]).is_file() and "other" in line["record"] for line in rollouts)
    [summary] = last["summary"]
    assert (summary["rollouts"], summary["failed"]) == (2, {"agent": 1})
    again = read_run(summary["records"])
    assert summarize(again.rollouts).to_dict().items() <= summary.items()


def test_a_person_is_told_why_rollouts_failed(call, app, tasks):
    """The table is followed by what went wrong, with an example."""
    code, out, _ = call("run", app, "--tasks", tasks("break"))
    assert code == 1
    assert "1 failed, agent: broken on purpose (t0.0)" in out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "makes no app"),
        ("from agentcore_rl.aws.app import AgentCoreRLApp\napp = AgentCoreRLApp()", "has no entrypoint"),
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
    ],
)
def test_an_app_that_cannot_be_used_is_one_sentence(call, folder, tasks, content, said):
    """It names the fault; no run is left behind, so that its id stays free."""
    (folder / "rl_app.py").write_text(content)
    code, out, err = call("run", "rl_app.py", "--tasks", tasks("one"), "--run", "mine")
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not Path("rollouts/mine").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nofile.py", "--tasks", "tasks.jsonl"], "There is no app file nofile.py"),
        (["rl_app.py", "--tasks", "none.jsonl"], "There is no task file none.jsonl"),
        (["rl_app.py", "--tasks", "bad.jsonl"], "bad.jsonl, line 2: not JSON"),
        (["rl_app.py", "--tasks", "tasks.jsonl", "--run", "../x"], "--run ../x cannot be used"),
        (["rl_app.py", "--tasks", "tasks.jsonl", "--model", "http://127.0.0.1:9/v1"], "cannot be reached"),
    ],
)
def test_bad_input_is_one_sentence(call, app, tasks, words, said):
    """Found before anything is started."""
    tasks("one")
    Path("bad.jsonl").write_text('{"prompt": "one"}\n{"prompt": oops}\n')
    code, out, err = call("run", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert not Path("rollouts").exists()


def test_a_url_where_no_app_runs_is_one_sentence(call, tasks, folder):
    """Something outside failed: code 3."""
    code, _, err = call("run", "http://127.0.0.1:9", "--tasks", tasks("one"))
    assert code == 3
    assert err.splitlines()[-1].startswith("error: No app answers at http://127.0.0.1:9")


def test_ctrl_c_stops_what_runs(app, tasks):
    """The sessions end, what had ended stays stored, the exit code is 130, and no traceback is shown."""
    with ScriptedModel(lambda call: Answer("4", delay_s=0 if "one" in call.body.decode() else 30)) as model:
        script = Path(sys.executable).with_name("agentcore-rl")
        words = ["run", app, "--tasks", tasks("one", "two"), "--run", "mine", "--model", model.base_url]
        with subprocess.Popen([script, *words], stderr=subprocess.PIPE, text=True) as process:
            until = time.monotonic() + 30
            while not list(Path("rollouts/mine").glob("t0.0/*.json")) and time.monotonic() < until:
                time.sleep(0.05)
            os.kill(process.pid, signal.SIGINT)
            said = process.stderr.read()
            assert process.wait(20) == 130
    assert said.endswith("what had ended is stored. Next: agentcore-rl resume rollouts/mine\n")
    assert "Traceback" not in said
    run = read_run("rollouts/mine")
    assert run.find("t0.0").status is Status.SUCCEEDED
    # The other one, if its app came so far, says that it was shut down: that is tried again.
    assert {rollout.failure.retryable for rollout in run.rollouts if rollout.failure} <= {True}
