"""The math agent's example: the port, and what its README says."""

import difflib
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from agentcore_rl.demo.math import SYSTEM_PROMPT
from agentcore_rl.rollout import FailureKind, Status
from agentcore_rl.testing import Answer, ScriptedModel, ToolCall

MATH_AGENT = Path(__file__).parents[2] / "examples" / "math_agent"
FOLDER = MATH_AGENT / "crewai"
README = (FOLDER / "README.md").read_text()
PAYLOADS = [json.loads(body) for body in re.findall(r"-d '(.*?)'", README, re.DOTALL)]
SOLVED = [
    Answer(tool_calls=[ToolCall("calculator", {"expression": "72 + 159"})]),
    Answer("Leo has 231.\n#### 231", expect=lambda asked: asked["messages"][-1]["content"] == "231"),
]


def app(name: str) -> Any:
    """One of the example's apps."""
    return runpy.run_path(str(FOLDER / name))["app"]


def test_the_readme_has_the_diff_of_the_two_apps():
    """As `diff -u basic_app.py rl_app.py` prints it."""
    lines = [(FOLDER / name).read_text().splitlines(keepends=True) for name in ("basic_app.py", "rl_app.py")]
    [shown] = re.findall(r"```diff\n(.*?)```", README, re.DOTALL)
    assert shown == "".join(difflib.unified_diff(*lines, "basic_app.py", "rl_app.py"))


@pytest.mark.parametrize("name", ["basic_app.py", "rl_app.py"])
def test_both_apps_answer_a_plain_payload_alike(name: str, store: Path, serving, monkeypatch):
    """The README's first request; nothing is stored, and content blocks are refused."""
    with ScriptedModel(SOLVED) as model:
        monkeypatch.setenv("BASE_URL", model.base_url)
        with serving(app(name)) as client:
            answer = client.invoke(PAYLOADS[0])
            assert (answer.status_code, answer.json()) == (200, "Leo has 231.\n#### 231")
            refused = client.invoke({"prompt": [{"type": "text", "text": "hi"}]})
            assert (refused.status_code, refused.json()) == (400, {"error": '"prompt" must be a string.'})
        assert SYSTEM_PROMPT in model.calls[0].json["messages"][0]["content"]
    assert not store.exists()


def test_a_rollout_is_recorded_and_judged(store: Path, serving, monkeypatch):
    """The README's second request: two turns, one tool execution, reward 1."""
    with ScriptedModel(SOLVED) as model:
        monkeypatch.setenv("BASE_URL", model.base_url)
        with serving(app("rl_app.py")) as client:
            record = client.rollout(PAYLOADS[1])
        assert [turn.prompt for turn in record.turns] == [call.json["messages"] for call in model.calls]
    assert (record.run, record.task, record.sample) == ("first-try", "apples", 0)
    assert record.status is Status.SUCCEEDED
    assert record.reward is not None
    assert record.reward.value == 1.0
    assert record.output == "Leo has 231.\n#### 231"
    assert [execution.arguments for execution in record.turns[0].stored.executions] == [
        {"expression": "72 + 159"}
    ]
    assert record.crosscheck.matched == 2
    assert not record.suspect


def test_a_mistake_is_told_to_the_model(store: Path, serving, monkeypatch):
    """What the calculator raises is the model's to read, and the rollout goes on."""
    script = [
        Answer(tool_calls=[ToolCall("calculator", {"expression": "72 +"})]),
        Answer("#### 231", expect=lambda asked: "not an arithmetic" in asked["messages"][-1]["content"]),
    ]
    with ScriptedModel(script) as model:
        monkeypatch.setenv("BASE_URL", model.base_url)
        with serving(app("rl_app.py")) as client:
            record = client.rollout(PAYLOADS[1])
    assert record.failure is None
    [execution] = record.turns[0].stored.executions
    assert execution.outcome == "failed"
    assert not record.suspect


def test_a_rollout_refuses_content_blocks(store: Path, serving, monkeypatch):
    """A failure of the agent's, before any tool runs."""
    with ScriptedModel([]) as model:
        monkeypatch.setenv("BASE_URL", model.base_url)
        with serving(app("rl_app.py")) as client:
            record = client.rollout(PAYLOADS[1] | {"prompt": [{"type": "text", "text": "hi"}]})
    assert record.failure is not None
    assert record.failure.kind is FailureKind.AGENT
    assert '"prompt" must be a string.' in record.failure.message
    assert len(record.turns) == 0
