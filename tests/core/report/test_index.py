"""The table's columns."""

from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore_rl.read import tool_calls
from agentcore_rl.report.index import Index, cause_of
from agentcore_rl.rollout import Failure, FailureKind
from made_rollouts import golden_rollout, make_rollout, raw, rollouts


def test_a_row():
    """What the table says of the golden record."""
    index = Index()
    rollout = golden_rollout()
    index.add(rollout, list(tool_calls(rollout)), run=0, place=(2, 7))
    told = index.to_dict()
    row = {name: values[0] for name, values in told["columns"].items()}
    assert row["id"] == "task.2"
    assert (row["chunk"], row["place"], row["turns"], row["calls"], row["wrong"]) == (2, 7, 3, 1, 0)
    assert (row["reward"], row["succeeded"], row["policy"]) == (0.75, 0, 3)
    assert told["names"]["tool"] == ["calculator"]
    assert told["names"]["cause"][row["cause"]] == "reward (ContractError): The reward is NaN."
    assert row["asked"] == "What is 6 · 7?"
    assert row["said"] == "42"


def test_a_wrong_call_is_found_by_tool_and_error():
    """Each pair of a tool and an error class stands once."""
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "nope", "arguments": "{}"}} for n in range(2)
    ]
    answer = raw({"role": "assistant", "content": None, "tool_calls": calls})
    rollout = make_rollout(1, messages=[raw({"role": "user", "content": "q"}), answer])
    index = Index()
    index.add(rollout, list(tool_calls(rollout)), run=0, place=None)
    told = index.to_dict()
    assert told["columns"]["errors"] == [[[0, 0]]]
    assert told["names"]["error"] == ["unknown_tool"]
    assert told["columns"]["chunk"] == [-1]


@settings(max_examples=8)
@given(st.lists(rollouts(), max_size=2))
def test_columns_are_of_one_length(made):
    """Any record has one entry in every column, and names for its numbers."""
    index = Index()
    for rollout in made:
        index.add(rollout, list(tool_calls(rollout)), run=0, place=(0, 0))
    told = index.to_dict()
    assert {len(values) for values in told["columns"].values()} == {len(made)}
    assert told["rows"] == len(made)
    for kind in ("stop", "kind", "cause", "framework", "model"):
        known = told["names"].get(kind, [])
        assert all(-1 <= number < len(known) for number in told["columns"][kind])


def test_causes():
    """Numbers and ids vary, words do not."""
    messages = ("Session 4f9ac1d2e0 died after 3.5 s.", "Session 00ffab12cd died after 21 s.")
    assert len({cause_of(Failure(FailureKind.RUNTIME, message)) for message in messages}) == 1
    assert cause_of(Failure(FailureKind.MODEL, "It\n  broke.")) == "model: It broke."
