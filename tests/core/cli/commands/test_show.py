"""`agentcore-rl show`: the rollouts of a run, and the transcript of one."""

import json

from agentcore_rl.read import read_run, summarize


def test_the_list(call, stored):
    """One line per rollout, the figures, and what to type next."""
    code, out, _ = call("show", "run")
    assert code == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[3:6]] == ["hostile.0", "task.0", "task.2"]
    assert "reward: The reward is NaN." in lines[5]
    assert lines[-1] == "Next: agentcore-rl show rollouts/run hostile.0"


def test_only_what_failed(call, stored):
    """--failed leaves out rollouts that succeeded and are not suspect; the figures are of all."""
    out = call("show", "last", "--failed")[1]
    assert "task.2" in out
    assert "task.0" not in out


def test_the_list_as_json(call, stored):
    """One document whose summary is that of the records."""
    told = json.loads(call("show", str(stored), "--json")[1])
    assert [line["id"] for line in told["rollouts"]] == ["hostile.0", "task.0", "task.2"]
    assert summarize(read_run(stored).rollouts).to_dict().items() <= told["summary"].items()
    assert told["unreadable"] == {}


def test_hostile_text_is_shown_as_escapes(call, stored):
    """What a model or an app said cannot rewrite the terminal; long texts are folded unless asked for."""
    out = call("show", "run", "hostile")[1]
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "\\x1b[2J\\u202egone" in out
    assert "more characters (--full)" in out
    assert "--full" not in call("show", "run", "hostile", "--full")[1]


def test_one_rollout_as_json(call, stored):
    """The record with whole prompts; where it is."""
    told = json.loads(call("show", "run", "task.2", "--json")[1])
    assert told["failure"]["kind"] == "reward"
    assert told["turns"][0]["executions"][0]["name"] == "calculator"
    assert told["record"].startswith(str(stored))


def test_a_damaged_record_is_told(call, stored):
    """The rest is shown; the damaged one is named, and cannot be shown alone."""
    [record] = stored.glob("task.0/*.json")
    record.write_bytes(b"{")
    out = call("show", "run")[1]
    assert "unreadable  run/task.0/" in out
    code, _, err = call("show", "run", "task.0")
    assert code == 2
    assert "cannot be read" in err


def test_no_such_rollout(call, stored):
    """The error names those that are there."""
    code, _, err = call("show", "run", "nope")
    assert (code, err) == (2, "error: Run run has no rollout 'nope'. It has 3: hostile.0, task.0, task.2.\n")


def test_the_list_tells_of_tool_calls(call, stored):
    """A table of tools under the figures, and as JSON."""
    lines = call("show", "run")[1].splitlines()
    at = lines.index("tool calls")
    assert lines[at + 2].split()[:4] == ["calculator", "1", "1.00", "1.00"]
    told = json.loads(call("show", "run", "--json")[1])
    assert told["summary"]["reliability"]["by_tool"]["calculator"]["execution"]["hits"] == 1
