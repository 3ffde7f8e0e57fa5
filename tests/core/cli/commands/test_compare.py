"""`agentcore-rl compare`: two runs of the same tasks."""

import json

import pytest

from agentcore_rl.codec import encode_record
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import PromptRef, ToolExecution, Trajectory
from agentcore_rl.stores.directory import DirectoryStore
from made_rollouts import make_rollout, make_turn, raw

TOOLS = raw(
    [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "required": ["x"]}}}]
)


def rollout_of(run, task, reward, right):
    """A judged rollout with one call of a tool."""
    arguments = '{"x": 1}' if right else "{}"
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": arguments}}
    messages = [raw({"role": "user", "content": "?"}), raw({"role": "assistant", "tool_calls": [call]})]
    execution = ToolExecution("c", "add", None, "succeeded" if right else "failed", None if right else "no x")
    turn = make_turn(0, prompt=PromptRef(0, [0]), answer=1, tools=0, executions=[execution])
    return make_rollout(
        run=run,
        task=task,
        input_id=f"{task}.0",
        session=f"{run}-{task}-0-0-0123456789abcdef01234567",
        reward=Reward(reward),
        messages=messages,
        tools=[TOOLS],
        trajectories=[Trajectory("main", None, [turn])],
    )


@pytest.fixture
def runs(folder):
    """Two runs over ten tasks, the second better, and a third of other tasks."""
    store = DirectoryStore(folder / "rollouts")
    made = [rollout_of("before", f"t{n}", float(n < 3), n < 5) for n in range(10)]
    made += [rollout_of("after", f"t{n}", float(n != 0), True) for n in range(11)]
    made.append(rollout_of("other", "x", 1.0, True))
    for rollout in made:
        key = f"{rollout.run}/{rollout.input_id}/{rollout.session}.json"
        store.put_if_absent(key, encode_record(rollout, bucket="", key=key))
    return store


def test_a_comparison_for_people(call, runs):
    """Rewards and rates side by side, the difference with its interval, the test, the tasks."""
    code, out, err = call("compare", "before", "after")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "after against before, over 10 pairs in 10 tasks"
    assert lines[2].split() == ["before", "after", "difference", "[95", "%]"]
    assert lines[3].startswith("reward                 0.300  0.900  +0.600 [")
    assert lines[4].startswith("all calls, format      0.500  1.000  +0.500 [+0.")
    assert lines[6].startswith("add, format")
    assert "won 7, lost 1, equal 2 tasks; McNemar's exact test: p = 0.0703" in out
    assert "lost: t0 (1 to 0)" in out
    assert "only in after: 1 rollout: t10.0" in out


def test_a_comparison_for_programs(call, runs):
    """One document, the same figures."""
    told = json.loads(call("compare", "before", "after", "--json")[1])
    assert (told["first"], told["second"], told["pairs"]) == ("before", "after", 10)
    assert told["reward"]["difference"] == pytest.approx(0.6)
    assert told["tools"]["add"]["execution"]["second"] == 1.0


def test_runs_without_a_common_task(call, runs):
    """One sentence: what is wrong, why, what to do."""
    code, _, err = call("compare", "before", "other")
    assert code == 2
    assert err.startswith("error: The runs before and other have no rollout in common")
    assert "Run both over the same task file." in err


@pytest.mark.parametrize(
    "words", [["compare", "before"], ["compare", "before", "nope"], ["compare", "a", "b", "c"]]
)
def test_bad_arguments(call, runs, words):
    """Said in one line, with exit code 2."""
    code, _, err = call(*words)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_the_real_command(command, runs, folder):
    """Through the installed entry point."""
    done = command("compare", "before", "after", "--out", str(folder / "rollouts"))
    assert done.returncode == 0
    assert done.stdout.startswith("after against before")
