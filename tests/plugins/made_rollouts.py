"""Rollouts to store: one that is always the same, and any that hypothesis thinks of."""

import dataclasses
from array import array
from typing import Any

import msgspec
from hypothesis import strategies as st

from agentcore_rl.codec import ROLLOUT_DATA
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import (
    Crosscheck,
    Failure,
    FailureKind,
    HTTPAttempt,
    PromptRef,
    Rollout,
    Status,
    StopReason,
    Timings,
    Tokens,
    ToolExecution,
    Trajectory,
    Turn,
    Usage,
)


def raw(value: Any) -> msgspec.Raw:
    """A value as raw JSON."""
    return msgspec.Raw(msgspec.json.encode(value))


def make_turn(number: int = 0, **fields: Any) -> Turn:
    """A plain turn with one message and one answer."""
    plain: dict[str, Any] = {
        "id": number,
        "parent": number - 1 if number else None,
        "agent": "main",
        "prompt": PromptRef(2 * number - 1, [2 * number - 1, 2 * number]) if number else PromptRef(0, [0]),
        "answer": 2 * number + 1,
        "tools": None,
        "model": "smollm2",
        "sampling": {"temperature": 1.0},
        "asked": {},
        "finish_reason": "stop",
        "usage": Usage(10, 2),
        "response_id": f"chatcmpl-{number}",
        "tokens": None,
        "policy_version": 3,
        "executions": [],
        "http": [HTTPAttempt(0.25, 0.5, 200, None, True)],
        "scope": "rollout",
        "source": "wire",
        "labels": {},
        "suspect": [],
        "started_s": 0.25,
        "seconds": 0.5,
    }
    return Turn(**plain | fields)


def make_rollout(turns: int = 1, **fields: Any) -> Rollout:
    """A succeeded rollout of so many turns."""
    messages = []
    for number in range(turns):
        messages += [raw({"role": "user", "content": f"question {number}"})]
        messages += [raw({"role": "assistant", "content": f"answer {number}"})]
    plain: dict[str, Any] = {
        "run": "run",
        "task": "task",
        "sample": 0,
        "attempt": 0,
        "session": "run-task-0-0-0123456789abcdef01234567",
        "input_id": "task.0",
        "status": Status.SUCCEEDED,
        "stop_reason": StopReason.FINISHED,
        "failure": None,
        "messages": messages,
        "tools": [],
        "trajectories": [Trajectory("main", None, [make_turn(number) for number in range(turns)])],
        "reward": Reward(1.0),
        "output": "answer",
        "suspect": [],
        "usage": Usage(10 * turns, 2 * turns),
        "timings": Timings(1767225600.5, 2.0, 0.125, 2.25),
        "model": "smollm2",
        "policy_versions": [3],
        "software": {"agentcore-rl": "0.1.0"},
        "crosscheck": Crosscheck(matched=turns, collected=True),
        "counts": {},
        "trace_id": None,
        "payload": {"prompt": "question 0"},
    }
    return Rollout(**plain | fields)


def golden_rollout() -> Rollout:
    """The rollout of the golden record: every field has something in it."""
    system = raw({"role": "system", "content": "Use the calculator."})
    user = raw({"role": "user", "content": "What is 6 · 7? 😀"})
    call = {"name": "calculator", "arguments": '{"expression": "6*7"}'}
    asked = raw(
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call-1", "type": "function", "function": call}],
        }
    )
    tool = raw({"role": "tool", "tool_call_id": "call-1", "content": "42"})
    answer = raw({"role": "assistant", "content": "#### 42"})
    first = make_turn(
        0,
        prompt=PromptRef(0, [0, 1]),
        answer=2,
        tools=0,
        asked={"model": "policy", "temperature": 0.5},
        finish_reason="tool_calls",
        tokens=Tokens(0, array("I", [1, 2, 3]), array("I", [49152, 7]), array("d", [-0.5, -1.25])),
        executions=[
            ToolExecution(
                "call-1", "calculator", {"expression": "6*7"}, "succeeded", None, 0.001, {"allowed": True}
            )
        ],
        http=[HTTPAttempt(0.25, 0.125, 503, "the server is busy"), HTTPAttempt(0.5, 0.25, 200, None, True)],
        labels={"node": "solve"},
    )
    second = make_turn(
        1,
        prompt=PromptRef(2, [2, 3]),
        answer=4,
        tools=0,
        tokens=Tokens(5, array("I", [9]), array("I", [10]), None),
        scope="inferred",
        suspect=["inferred_scope"],
    )
    helper = make_turn(2, parent=None, agent="helper", prompt=PromptRef(0, [1]), answer=None, usage=None)
    tools = raw([{"type": "function", "function": {"name": "calculator", "parameters": {"type": "object"}}}])
    return make_rollout(
        sample=2,
        attempt=1,
        input_id="task.2",
        status=Status.FAILED,
        failure=Failure(FailureKind.REWARD, "The reward is NaN.", "ContractError", "Traceback ...", False),
        messages=[system, user, asked, tool, answer],
        tools=[tools],
        trajectories=[
            Trajectory("main", None, [first, second]),
            Trajectory("helper", "main", [helper]),
        ],
        reward=Reward(
            0.75,
            {"correct": 1.0, "format": 0.5},
            {"correct": 0.5, "format": 0.5},
            {"length": 12.0},
            [0.5, 1.0, 0.0],
        ),
        output={"answer": "42", "rewards": [0.75], "rollout_data": ROLLOUT_DATA, "é": None},
        suspect=["inferred_scope"],
        counts={"refused_calls": 1},
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        payload={"prompt": "What is 6 · 7?", "_training": {"exp_id": "run", "api_key": "***"}},
    )


names = st.text("abcdefghijklmnopqrstuvwxyz0123456789._=-", min_size=1, max_size=12)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
seconds = st.floats(0, 1e9)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, json_values, max_size=3)
reasons = st.lists(st.sampled_from(["forked", "redacted", "cut_stream"]), max_size=2, unique=True)
counts = st.integers(0, 2**40)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """None, or one of these."""
    return st.none() | strategy


@st.composite
def tokens(draw: st.DrawFn) -> Tokens:
    """Token ids as the recorder keeps them."""
    ids = st.lists(st.integers(0, 2**32 - 1), max_size=5)
    answer = draw(ids)
    logprobs = draw(optional(st.lists(numbers, min_size=len(answer), max_size=len(answer))))
    return Tokens(
        draw(st.integers(0, 9)),
        draw(optional(ids.map(lambda new: array("I", new)))),
        array("I", answer),
        None if logprobs is None else array("d", logprobs),
    )


@st.composite
def turns(draw: st.DrawFn, number: int, messages: int, tools: int) -> Turn:
    """A turn that refers to nothing that is not there."""
    index = st.integers(0, messages - 1) if messages else st.nothing()
    execution = st.builds(
        ToolExecution,
        texts,
        texts,
        json_values,
        st.sampled_from(["succeeded", "failed", "unknown_tool"]),
        optional(texts),
        optional(seconds),
        json_values,
    )
    return Turn(
        id=number,
        parent=draw(optional(st.integers(0, number - 1))) if number else None,
        agent=draw(texts),
        prompt=PromptRef(draw(st.integers(0, 9)), draw(st.lists(index, max_size=3)) if messages else []),
        answer=draw(optional(index)) if messages else None,
        tools=draw(optional(st.integers(0, tools - 1))) if tools else None,
        model=draw(optional(texts)),
        sampling=draw(objects),
        asked=draw(objects),
        finish_reason=draw(optional(texts)),
        usage=draw(optional(st.builds(Usage, optional(counts), optional(counts)))),
        response_id=draw(optional(texts)),
        tokens=draw(optional(tokens())),
        policy_version=draw(optional(counts)),
        executions=draw(st.lists(execution, max_size=2)),
        http=draw(
            st.lists(
                st.builds(
                    HTTPAttempt,
                    seconds,
                    seconds,
                    optional(st.integers(100, 599)),
                    optional(texts),
                    st.booleans(),
                ),
                max_size=2,
            )
        ),
        scope=draw(st.sampled_from(["rollout", "inferred"])),
        source=draw(st.sampled_from(["wire", "callbacks"])),
        labels=draw(objects),
        suspect=draw(reasons),
        started_s=draw(seconds),
        seconds=draw(seconds),
    )


@st.composite
def rollouts(draw: st.DrawFn) -> Rollout:
    """Any rollout."""
    messages = draw(st.lists(objects.map(raw), max_size=4))
    tools = draw(st.lists(st.lists(objects, max_size=2).map(raw), max_size=2))
    total = draw(st.integers(0, 3))
    all_turns = [draw(turns(number, len(messages), len(tools))) for number in range(total)]
    cut = draw(st.integers(0, total))
    scores = st.dictionaries(texts, numbers, max_size=3)
    reward = st.builds(Reward, numbers, scores, scores, scores, optional(st.lists(numbers, max_size=3)))
    failure = st.builds(
        Failure, st.sampled_from(FailureKind), texts, optional(texts), optional(texts), st.booleans()
    )
    output = draw(json_values | objects)
    if isinstance(output, dict) and draw(st.booleans()):
        output["rollout_data"] = ROLLOUT_DATA
    return Rollout(
        run=draw(names),
        task=draw(names),
        sample=draw(counts),
        attempt=draw(counts),
        session=draw(names),
        input_id=draw(names),
        status=draw(st.sampled_from([Status.SUCCEEDED, Status.FAILED])),
        stop_reason=draw(st.sampled_from(StopReason)),
        failure=draw(optional(failure)),
        messages=messages,
        tools=tools,
        trajectories=[
            Trajectory(draw(texts), draw(optional(texts)), all_turns[:cut]),
            Trajectory(draw(texts), draw(optional(texts)), all_turns[cut:]),
        ],
        reward=draw(optional(reward)),
        output=output,
        suspect=draw(reasons),
        usage=draw(st.builds(Usage, optional(counts), optional(counts))),
        timings=draw(st.builds(Timings, seconds, seconds, optional(seconds), seconds)),
        model=draw(optional(texts)),
        policy_versions=draw(st.lists(counts, max_size=2)),
        software=draw(st.dictionaries(texts, texts, max_size=2)),
        crosscheck=draw(st.builds(Crosscheck, counts, counts, counts, counts, st.booleans())),
        counts=draw(st.dictionaries(texts, counts, max_size=2)),
        trace_id=draw(optional(texts)),
        payload=draw(json_values),
    )


def with_fields(rollout: Rollout, **fields: Any) -> Rollout:
    """The rollout with these fields."""
    return dataclasses.replace(rollout, **fields)
