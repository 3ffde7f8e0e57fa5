"""The figures of tool calls are what the calls are, apart by what they were."""

import json
import random

import pytest

from agentcore_rl.read import reliability, summarize
from agentcore_rl.read.interval import Interval, ShareCount, mean_interval
from agentcore_rl.read.reliability import OTHER, framework_of
from agentcore_rl.rollout import Crosscheck, PromptRef, ToolExecution, Trajectory
from made_rollouts import make_rollout, make_turn, raw

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in ("add", "sub")]


def rollout_of(*calls, content=None, tools=0, software=None, agent="main", version=3, collected=True):
    """One answer with these calls: (name, arguments, outcome)."""
    written = [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for n, (name, arguments, _) in enumerate(calls)
    ]
    answer = {"role": "assistant", "content": content, **({"tool_calls": written} if written else {})}
    executions = [
        ToolExecution(f"c{n}", name, None, outcome, None if outcome == "succeeded" else "no")
        for n, (name, _, outcome) in enumerate(calls)
    ]
    turn = make_turn(
        0,
        agent=agent,
        prompt=PromptRef(0, [0]),
        answer=1,
        tools=tools,
        executions=executions,
        policy_version=version,
    )
    return make_rollout(
        messages=[raw({"role": "user", "content": "?"}), raw(answer)],
        tools=[raw(TOOLS)],
        trajectories=[Trajectory(agent, None, [turn])],
        software=software or {"agentcore-rl": "0.1.0", "agentcore-rl-strands": "0.1.0"},
        crosscheck=Crosscheck(collected=collected),
    )


GOOD, FAILS, WRONG, UNKNOWN = (
    ("add", {"x": 1}, "succeeded"),
    ("sub", {"x": 2}, "failed"),
    ("add", {"y": 2}, "succeeded"),
    ("mul", {}, "unknown_tool"),
)


def test_the_two_rates_stand_apart():
    """A wrong form may run, a right one fail."""
    found = reliability([rollout_of(GOOD, FAILS, WRONG), rollout_of(GOOD, UNKNOWN)])
    assert (found.rollouts, found.all.calls, found.all.rollouts) == (2, 5, 2)
    assert (found.all.format.hits, found.all.format.of) == (3, 5)
    assert (found.all.execution.hits, found.all.execution.of) == (3, 5)
    assert found.all.errors == {"tool_error": 1, "missing_argument": 1, "unknown_tool": 1}
    assert found.all.undeclared == 1
    assert found.all.format.interval.low < 0.6 < found.all.format.interval.high


def test_figures_by_tool_error_framework_agent_and_version():
    """Each call stands under its own; tools that were not offered, under no tool."""
    crew = {"agentcore-rl": "0.1.0", "agentcore-rl-crewai": "0.1.0", "agentcore-rl-gateway": "0.1.0"}
    found = reliability(
        [
            rollout_of(GOOD, FAILS, UNKNOWN),
            rollout_of(GOOD, WRONG, software=crew, agent="helper", version=None),
            rollout_of(GOOD, software={"agentcore-rl": "0.1.0"}, version=11),
        ]
    )
    assert {name: each.calls for name, each in found.by_tool.items()} == {"add": 4, "sub": 1}
    assert {name: each.calls for name, each in found.by_error.items()} == {
        "missing_argument": 1,
        "tool_error": 1,
        "unknown_tool": 1,
    }
    assert {name: each.calls for name, each in found.by_framework.items()} == {
        "crewai": 2,
        "strands": 3,
        "unknown": 1,
    }
    assert {name: each.calls for name, each in found.by_agent.items()} == {"helper": 2, "main": 4}
    assert list(found.by_policy_version) == ["3", "11", "unknown"]
    assert found.unknown_tools == {"mul": 1}


def test_what_nobody_watched_has_no_execution_rate():
    """None is not zero."""
    found = reliability([rollout_of(GOOD, collected=False)])
    assert found.all.execution.of == 1  # its execution is in the record all the same
    bare = reliability([make_rollout()])
    assert (bare.all.format.rate, bare.all.execution.rate, bare.none_called.rate) == (None, None, None)


def test_silence_and_spelled_calls_are_counted():
    """Tools that were offered and not called, and calls that stayed text."""
    spelled = '{"name": "add", "arguments": {"x": 1}}'
    found = reliability(
        [
            rollout_of(GOOD),
            rollout_of(content="no"),
            rollout_of(content=spelled),
            rollout_of(content=spelled, tools=None),
        ]
    )
    assert (found.none_called.hits, found.none_called.of) == (2, 3)
    assert (found.spelled.hits, found.spelled.of, found.spelled_answers) == (1, 3, 1)


def test_names_that_models_make_up_do_not_fill_the_memory():
    """Beyond the first 500 of a kind they stand together."""
    made_up = (
        rollout_of(*((f"tool{n}-{m}", {}, "unknown_tool") for m in range(2)), agent=f"a{n}")
        for n in range(600)
    )
    found = reliability(made_up)
    assert len(found.unknown_tools) == len(found.by_agent) == 501
    assert found.unknown_tools[OTHER] == 600 * 2 - 500
    assert found.by_agent[OTHER].calls == 100 * 2
    assert list(found.by_agent)[-1] == OTHER


def test_figures_are_json():
    """And those of a summary hold them."""
    summary = summarize([rollout_of(GOOD, FAILS, WRONG), rollout_of(GOOD, UNKNOWN)])
    told = json.loads(json.dumps(summary.to_dict(), allow_nan=False))
    assert told["reliability"]["all"]["format"]["rate"] == 0.6
    assert told["reliability"]["by_tool"]["sub"]["errors"] == {"tool_error": 1}
    assert (summary.tool_calls, summary.well_formed_calls) == (5, 4)


def test_a_rollout_is_of_the_frameworks_that_made_it():
    """The adapters that were loaded."""
    assert framework_of(make_rollout()) is None
    two = {"agentcore-rl-strands": "1", "agentcore-rl-langgraph": "1", "strands-agents": "1"}
    assert framework_of(make_rollout(software=two)) == "langgraph+strands"


def test_counted_shares_have_the_interval_of_their_values():
    """Streamed counts give what the values themselves give, for any clusters."""
    chance = random.Random(3)
    for _ in range(200):
        groups = [
            [float(chance.random() < 0.7) for _ in range(chance.randrange(6))]
            for _ in range(chance.randrange(12))
        ]
        count = ShareCount()
        for group in groups:
            count.add(int(sum(group)), len(group))
        expected, share = mean_interval(groups), count.share()
        if expected is None:
            assert share.interval is None
        else:
            assert isinstance(share.interval, Interval)
            assert share.interval.to_list() == pytest.approx(expected.to_list())


def test_the_interval_of_a_rate_covers_the_truth_about_as_often_as_it_says():
    """Calls of one rollout resemble each other: clustered intervals hold, naive ones would not."""
    chance = random.Random(11)
    covered = 0
    for _ in range(1000):
        count = ShareCount()
        for _ in range(40):
            level, calls = chance.betavariate(1.6, 0.4), chance.randrange(1, 12)
            count.add(sum(chance.random() < level for _ in range(calls)), calls)
        interval = count.share().interval
        covered += interval.low <= 0.8 <= interval.high
    assert 920 <= covered <= 985
