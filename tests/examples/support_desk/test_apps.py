"""One desk in four frameworks: a good and a bad run, twice delegated, many at once; what the record says."""

import difflib
import importlib.util
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from agentcore_rl.rollout import Rollout, Status, StopReason
from agentcore_rl.testing import Answer, ScriptedModel, ToolCall

FRAMEWORKS = {
    "autogen": ("refunds", lambda case: {"task": case}),
    "crewai": (
        "delegate_work_to_coworker",
        lambda case: {"task": case, "context": "None.", "coworker": "refunds"},
    ),
    "langgraph": ("refunds", lambda case: {"case": case}),
    "strands": ("refunds", lambda case: {"input": case}),
}
"""How each framework's desk agent hands a case to the refunds agent: its tool, and the tool's arguments."""

CASE = "R1001 arrived with a crack."
ADA = {"customer": "ada@example.com"}
PAID = {"number": "R1001", "cents": 5490, "reason": "broken"}
DONE = "Your teapot, order R1001: 54.90 are on their way back to you."
WRONG = "Your money is on its way."


def framework_marks(name: str) -> list[Any]:
    """What a framework's tests are marked with."""
    missing = importlib.util.find_spec(f"agentcore_rl_{name}") is None
    marks: list[Any] = [pytest.mark.skipif(missing, reason=f"agentcore-rl-{name} is not installed")]
    if name == "crewai":
        marks += [
            pytest.mark.leaves_running,  # its event bus keeps ten threads
            # It reads fields of its own that it has deprecated.
            pytest.mark.filterwarnings("ignore:(function_calling_llm is )?deprecated:DeprecationWarning"),
            pytest.mark.filterwarnings("ignore:Cannot set an attribute on 'crewai:ImportWarning"),
        ]
    return marks


@pytest.fixture(params=[pytest.param(name, marks=framework_marks(name)) for name in FRAMEWORKS])
def framework(request: pytest.FixtureRequest) -> str:
    """Each of the four. Its adapter is imported first, since it says what the framework may do then."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(f"agentcore_rl_{request.param}.model")
    return str(request.param)


def delegation(framework: str, case: str = CASE) -> ToolCall:
    """The desk agent's call that hands a case over."""
    name, arguments = FRAMEWORKS[framework]
    return ToolCall(name, arguments(case))


def good_run(framework: str, case: str = CASE) -> list[Answer]:
    """Looks, hands over; the specialist looks and pays; the customer is told."""
    return [
        Answer(tool_calls=[ToolCall("find_orders", ADA)]),
        Answer(tool_calls=[delegation(framework, case)], expect=lambda asked: "teapot" in said(asked)),
        Answer(tool_calls=[ToolCall("get_order", {"number": "R1001"})]),
        Answer(
            tool_calls=[ToolCall("issue_refund", PAID)],
            expect=lambda asked: "4900" in said(asked),
        ),
        Answer("I paid 5490 cents of R1001 back.", expect=lambda asked: "are paid back" in said(asked)),
        Answer(DONE, expect=lambda asked: "I paid 5490 cents" in said(asked)),
    ]


def bad_run(framework: str) -> list[Answer]:
    """Guesses an order that is not there, pays the wrong one, and does not say which."""
    wrong = {"number": "R1002", "cents": 1850, "reason": "broken"}
    return [
        Answer(tool_calls=[delegation(framework)]),
        Answer(tool_calls=[ToolCall("get_order", {"number": "R9999"})]),
        Answer(
            tool_calls=[ToolCall("issue_refund", wrong)],
            expect=lambda asked: "There is no order R9999." in said(asked),
        ),
        Answer("Done."),
        Answer(WRONG),
    ]


def said(asked: dict[str, Any]) -> str:
    """The last message of a request, as text."""
    return str(asked["messages"][-1]["content"])


def paths(record: Rollout) -> list[tuple[str, str | None, int]]:
    """Each trajectory's agent, parent and number of turns."""
    return [(path.agent, path.parent, len(path.turns)) for path in record.trajectories]


def executions(record: Rollout, agent: str) -> list[tuple[str, str]]:
    """What became of the agent's tool calls."""
    [path] = [path for path in record.trajectories if path.agent == agent]
    return [(run.name, run.outcome) for turn in path.turns for run in turn.executions]


def rollout(number: int = 0) -> dict[str, Any]:
    """What makes a task's payload a rollout's."""
    return {"_rollout": {"exp_id": "desk", "input_id": f"R1001-broken.{number}"}}


def test_the_readme_has_the_diff_of_the_two_apps(folder: Path, framework: str):
    """As `diff -u basic_app.py rl_app.py` prints it; the port adds and changes few lines."""
    lines = [
        (folder / framework / name).read_text().splitlines(keepends=True)
        for name in ("basic_app.py", "rl_app.py")
    ]
    [shown] = re.findall(r"```diff\n(.*?)```", (folder / framework / "README.md").read_text(), re.DOTALL)
    diff = "".join(difflib.unified_diff(*lines, "basic_app.py", "rl_app.py"))
    assert shown == diff
    assert len(re.findall(r"^\+(?!\+\+)\S", diff, re.MULTILINE)) <= 12


def test_both_apps_answer_a_plain_payload_alike(serving, tasks, tmp_path: Path, framework: str):
    """The answer with what stands in the database; nothing is stored, and content blocks are refused."""
    for name in ("basic_app.py", "rl_app.py"):
        script = ScriptedModel(good_run(framework))
        with script as model, serving(f"{framework}/{name}", model.base_url) as client:
            answer = client.invoke({"prompt": tasks["R1001-broken"]["prompt"]})
            assert answer.json() == {"answer": DONE, "refunds": [PAID]}
            refused = client.invoke({"prompt": [{"type": "text", "text": "hi"}]})
            assert (refused.status_code, refused.json()) == (400, {"error": '"prompt" must be a string.'})
    assert not (tmp_path / "rollouts").exists()


def test_a_good_run_earns_everything(serving, tasks, framework: str):
    """Two trajectories, the specialist's below the desk's; every call seen by both witnesses."""
    with ScriptedModel(good_run(framework)) as model:
        with serving(f"{framework}/rl_app.py", model.base_url) as client:
            [record] = client.rollouts([tasks["R1001-broken"] | rollout()])
        assert [turn.prompt for turn in record.turns] == [call.json["messages"] for call in model.calls]
    assert record.failure is None
    assert (record.status, record.stop_reason) == (Status.SUCCEEDED, StopReason.FINISHED)
    assert paths(record) == [("desk", None, 3), ("refunds", "desk", 3)]
    assert executions(record, "desk") == [
        ("find_orders", "succeeded"),
        (FRAMEWORKS[framework][0], "succeeded"),
    ]
    assert executions(record, "refunds") == [("get_order", "succeeded"), ("issue_refund", "succeeded")]
    counts = record.crosscheck
    assert (counts.matched, counts.wire_only, counts.callback_only, counts.differing) == (6, 0, 0, 0)
    assert record.suspect == []
    assert record.reward is not None
    assert record.reward.value == pytest.approx(1.0)
    assert record.reward.metrics == {"paid_cents": 5490, "specialist_turns": 3, "failed_tools": 0}
    assert [(turn.stored.agent, turn.stored.parent) for turn in record.turns] == [
        ("desk", None),
        ("desk", 0),
        ("refunds", None),
        ("refunds", 2),
        ("refunds", 3),
        ("desk", 1),
    ]


def test_a_bad_run_earns_nothing(serving, tasks, framework: str):
    """The wrong order paid and none named; the mistake of a tool's is in the record."""
    script = ScriptedModel(bad_run(framework))
    with script as model, serving(f"{framework}/rl_app.py", model.base_url) as client:
        [record] = client.rollouts([tasks["R1001-broken"] | rollout()])
    assert record.failure is None
    assert paths(record) == [("desk", None, 2), ("refunds", "desk", 3)]
    assert executions(record, "refunds") == [("get_order", "failed"), ("issue_refund", "succeeded")]
    assert record.crosscheck.matched == 5
    assert record.suspect == []
    assert record.reward is not None
    assert record.reward.value == 0.0
    assert record.reward.scores == {"right_refund": 0, "no_wrong_writes": 0, "names_order": 0}
    assert record.reward.metrics["failed_tools"] == 1


def test_the_specialist_may_be_asked_twice(serving, tasks, framework: str):
    """The desk asks back; a second conversation of the specialist's is nothing to suspect."""
    script = [
        Answer(tool_calls=[delegation(framework)]),
        Answer("Which order?"),
        Answer(tool_calls=[delegation(framework, "The teapot of R1001 has a crack.")]),
        *good_run(framework)[2:],
    ]
    with ScriptedModel(script) as model, serving(f"{framework}/rl_app.py", model.base_url) as client:
        [record] = client.rollouts([tasks["R1001-broken"] | rollout()])
    assert paths(record) == [("desk", None, 3), ("refunds", "desk", 4)]
    assert record.crosscheck.matched == 7
    assert record.suspect == []
    assert record.reward is not None
    assert record.reward.value == pytest.approx(1.0)


def test_rollouts_at_once_have_desks_of_their_own(serving, tasks, framework: str):
    """Eight customers want the same teapot paid back, and each desk pays it once."""
    number = 8
    scripts = {f"c{n}": good_run(framework, f"{CASE} [[conversation:c{n}]]") for n in range(number)}
    task = tasks["R1001-broken"]
    payloads = [
        task | rollout(n) | {"prompt": f"{task['prompt']} [[conversation:c{n}]]"} for n in range(number)
    ]
    with ScriptedModel(scripts) as model, serving(f"{framework}/rl_app.py", model.base_url) as client:
        records = client.rollouts(payloads)
    for n, record in enumerate(records):
        assert record.output["refunds"] == [PAID]
        assert paths(record) == [("desk", None, 3), ("refunds", "desk", 3)]
        assert (record.crosscheck.matched, record.suspect) == (6, [])
        assert all(f"[[conversation:c{n}]]" in str(turn.prompt) for turn in record.turns)
        assert record.reward is not None
        assert record.reward.value == pytest.approx(1.0)
