"""The table of figures."""

from agentcore_rl.cli.figures import Row, call_figures, failures, figures
from agentcore_rl.outcome import Phases, RequestIds, RolloutOutcome
from agentcore_rl.read import CallFigures, Interval, Reliability, Share, Summary
from agentcore_rl.rollout import Crosscheck, Failure, FailureKind, Status

NONE = Summary()
SOME = Summary(
    rollouts=9,
    succeeded=8,
    failed={"agent": 1},
    judged=8,
    mean_reward=0.5,
    reward_interval=Interval(0.2, 0.8),
    tool_calls=9,
    well_formed_calls=7,
    turns=17,
    prompt_tokens=12000,
    completion_tokens=345,
    suspect=1,
    crosscheck=Crosscheck(matched=16, wire_only=1, collected=True),
)


def outcome(number: int, failure: Failure | None) -> RolloutOutcome:
    """An outcome without a record."""
    ids = RequestIds("run", f"t{number}", 0, 0, f"session-{number}", "key")
    status = Status.FAILED if failure else Status.SUCCEEDED
    return RolloutOutcome(ids, status, failure, None, None, Phases(None, None, None, None, 1.0))


def test_figures_stand_side_by_side():
    """One row per run; what is not there is a dash and never a zero."""
    lines = figures([Row(NONE, "a", "x"), Row(SOME, "b", "y", unrecorded=1)])
    assert lines[0].split("  ")[0] == "framework"
    assert lines[1].split() == ["x", "a", "0", "-", "0", "of", "0", "0", "-", "-", "0", "0"]
    assert lines[2].split() == [
        "y",
        "b",
        "10",
        "0.50",
        "[0.20,",
        "0.80]",
        "7",
        "of",
        "9",
        "17",
        "12,345",
        "16",
        "of",
        "17",
        "1",
        "2",
    ]


def test_columns_that_tell_nothing_apart_are_left_out():
    """One framework needs no column; a model that the app chooses has no name."""
    assert figures([Row(SOME, "a", "x"), Row(SOME, "b", "x")])[0].startswith("model")
    assert figures([Row(SOME, None)])[0].startswith("rollouts")


def test_failures_are_counted_by_their_way():
    """The most frequent first, with an example; the fifth is the last one told."""
    broken = Failure(FailureKind.AGENT, "it\nbroke")
    many = [outcome(n, Failure(FailureKind.MODEL, f"way {n}")) for n in range(5)]
    lines = failures([outcome(8, broken), outcome(9, broken), outcome(7, None), *many])
    assert lines[0] == "2 failed, agent: it broke (t8.0)"
    assert len(lines) == 6
    assert lines[-1] == "... and 1 other ways"
    assert failures([outcome(7, None)]) == []


def test_tool_calls_get_a_table_of_their_own():
    """A line per tool, the most called first, both rates apart, then what else there is to say."""
    half = Share(1, 2, Interval(0.1, 0.9))
    add = CallFigures(2, 1, half, Share(2, 2), Share(1, 1), Share(1, 2), {"missing_argument": 1})
    reliability = Reliability(
        rollouts=3,
        all=CallFigures(
            3, 2, Share(1, 3), Share(2, 3), Share(1, 2), Share(1, 3), {"missing_argument": 1}, 0, 1
        ),
        by_tool={"sub": CallFigures(1, 1), "add": add},
        unknown_tools={"\x1b[2Jmul\n": 4},
        none_called=Share(1, 3),
        spelled=Share(1, 3),
        spelled_answers=2,
    )
    lines = call_figures(reliability)
    assert lines[0].split() == ["tool", "calls", "format", "[95", "%]", "execution", "[95", "%]", "recovered",
                                "repeated", "errors"]  # fmt: skip
    assert lines[1].split() == ["add", "2", "0.50", "[0.10,", "0.90]", "1.00", "1", "of", "1", "1", "missing",
                                "argument", "1"]  # fmt: skip
    assert lines[2].split() == ["sub", "1", "-", "-", "-", "0", "-"]
    assert lines[4:] == [
        "not offered: \\x1b[2Jmul  4",
        "tools offered and none called: 1 of 3 rollouts",
        "calls spelled in the text, which no parser took: in 2 answers of 1 rollouts",
        "sampled under a grammar: 1 of 3 calls",
    ]
    assert call_figures(Reliability()) == []
