"""Many rollouts in one app process: each record is its own, memory stays, stray threads do no harm."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agentcore_rl.rollout import Rollout, Status, StopReason
from agentcore_rl.testing import Answer, Line, ScriptedModel, ServedCall, ToolCall
from app_process import AppProcess, app_process
from recording import request_of, spelled

BUSY = Path(__file__).with_name("busy_app.py")
ROLLOUTS = 100
TURNS = 3
# As long as AWS makes them: whatever is done with each secret, per rollout, shows.
CREDENTIALS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjEHc/" * 45,
}
WAYS = {"sync": ("plainly", "in an executor", "on a loop"), "async": ("plainly", "in a task", "in a thread")}


def prompt_of(call: ServedCall) -> str:
    """The first message, by which the server tells whose call it is."""
    assert call.json is not None
    return str(call.json["messages"][0]["content"])


def line_for(call: ServedCall) -> Line:
    """Answers that differ for every call; the last is text, the others call a tool."""
    assert call.json is not None
    prompt, at = prompt_of(call), len(call.json["messages"])
    if at < 2 * TURNS - 1:
        return Answer(f"so {prompt}", tool_calls=[ToolCall("look", {"for": prompt, "at": at})])
    return Answer(f"done with {prompt}", chunks=5)


def asking(number: int, base_url: str, how: str, *, run: str = "run") -> dict[str, Any]:
    """A payload for a rollout with a prompt of its own; every other one streams."""
    fields = {
        "exp_id": run,
        "input_id": f"t{number}.0",
        "base_url": base_url,
        "api_key": f"key-of-{number:06}",
    }
    return {
        "prompt": f"{run} {number}",
        "how": how,
        "streamed": number % 2 == 0,
        "_rollout": fields,
    }


def assert_equal_to_the_servers_log(rollout: Rollout, calls: list[ServedCall]) -> None:
    """The record's turns are the requests that the server got for it, and the answers that it gave."""
    turns = list(rollout.turns)
    assert [request_of(turn) for turn in turns] == [call.json for call in calls]
    assert [turn.answer for turn in turns] == [spelled(call.response_body) for call in calls]
    assert [turn.stored.parent for turn in turns] == [None, *range(len(calls) - 1)]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_hundred_rollouts_at_once_keep_apart(tmp_path: Path, kind: str) -> None:
    """Over threads and event loops, half of them streaming: each record has what the server saw of it."""
    ways = WAYS[kind]
    with (
        ScriptedModel(line_for) as model,
        app_process(BUSY, tmp_path, kind, str(ROLLOUTS)) as app,
        ThreadPoolExecutor(16) as clients,
    ):
        payloads = [asking(n, model.base_url, ways[n // 2 % len(ways)]) for n in range(ROLLOUTS)]
        keys = [answer["result_key"] for answer in clients.map(app.invoke, payloads)]
        rollouts = [app.record(key) for key in keys]
        app.settled()
        calls = model.take_calls()
    died = [rollout.failure for rollout in rollouts if rollout.failure]
    assert not died, died[0].traceback
    served: dict[str, list[ServedCall]] = {}
    for call in calls:
        served.setdefault(prompt_of(call), []).append(call)
    assert len(calls) == ROLLOUTS * TURNS
    assert sum(call.streamed for call in calls) == ROLLOUTS * TURNS // 2
    for number, (payload, rollout) in enumerate(zip(payloads, rollouts, strict=True)):
        own = served[payload["prompt"]]
        assert_equal_to_the_servers_log(rollout, own)
        assert {call.header("authorization") for call in own} == {f"Bearer key-of-{number:06}"}
        assert rollout.task == f"t{number}"
        assert rollout.payload == {name: payload[name] for name in ("prompt", "how", "streamed")}
        assert rollout.output == f"done with {payload['prompt']}"
        assert (rollout.status, rollout.suspect) == (Status.SUCCEEDED, [])
        assert rollout.reward is not None
        assert rollout.reward.value == TURNS


def test_memory_stays_from_the_hundredth_rollout_to_the_thousandth(tmp_path: Path) -> None:
    """At most 10 MiB more are resident; every one of them is stored."""
    with (
        ScriptedModel(line_for) as model,
        app_process(BUSY, tmp_path, "sync", **CREDENTIALS) as app,
        ThreadPoolExecutor(8) as clients,
    ):

        def rollout(number: int) -> None:
            ways = WAYS["sync"]
            key = app.invoke(asking(number, model.base_url, ways[number // 2 % len(ways)]))["result_key"]
            assert app.record(key).status is Status.SUCCEEDED

        list(clients.map(rollout, range(100)))
        app.settled()
        after_100 = app.resident_mib()
        model.take_calls()
        list(clients.map(rollout, range(100, 1000)))
        app.settled()
        after_1000 = app.resident_mib()
    assert after_1000 - after_100 <= 10, f"{after_100:.1f} MiB after 100, {after_1000:.1f} MiB after 1,000"


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    """The model that the environment names, and every payload may."""
    with ScriptedModel(lambda call: Answer(f"heard {prompt_of(call)}")) as model:
        yield model


@pytest.fixture(scope="module")
def app(model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """An app in which two rollouts wait for each other before they go astray."""
    folder = tmp_path_factory.mktemp("app")
    with app_process(
        BUSY, folder, "sync", "2", BASE_URL=model.base_url, MODEL_ID="deployed", API_KEY="key-deployed"
    ) as app:
        yield app


def test_a_raw_threads_call_is_that_of_the_one_rollout_that_runs(
    app: AppProcess, model: ScriptedModel
) -> None:
    """It uses the rollout's endpoint, and the turn says that this was inferred."""
    model.take_calls()
    rollout = app.record(app.invoke(asking(1, model.base_url, "astray", run="alone"))["result_key"])
    app.settled()
    (call,) = model.take_calls()
    assert_equal_to_the_servers_log(rollout, [call])
    assert call.header("authorization") == "Bearer key-of-000001"
    assert rollout.output == "heard alone 1"
    assert [turn.stored.scope for turn in rollout.turns] == ["inferred"]
    assert rollout.suspect == ["inferred_scope"]


def test_raw_threads_among_two_rollouts_are_refused_with_a_sentence(
    app: AppProcess, model: ScriptedModel
) -> None:
    """Nothing is sent; each of the two counts both calls and is suspect."""
    model.take_calls()
    keys = [
        app.invoke(asking(n, model.base_url, "astray together", run="two"))["result_key"] for n in range(2)
    ]
    rollouts = [app.record(key) for key in keys]
    app.settled()
    assert model.take_calls() == ()
    for rollout in rollouts:
        assert rollout.status is Status.SUCCEEDED  # the agent went on without an answer
        assert rollout.stop_reason is StopReason.FINISHED
        assert rollout.output.startswith("refused: ")
        assert "2 rollouts are running" in rollout.output
        assert "contextvars.copy_context().run" in rollout.output
        assert list(rollout.turns) == []
        assert rollout.counts == {"ambiguous_calls": 2}
        assert rollout.suspect == ["ambiguous_calls"]


def test_a_raw_threads_call_without_any_rollout_uses_the_environments_endpoint(
    app: AppProcess, model: ScriptedModel
) -> None:
    """As in production: a plain payload's thread is answered, and nothing is recorded."""
    model.take_calls()
    before = set((app.folder / "store").rglob("*.json"))
    assert app.invoke({"prompt": "plain", "how": "astray"}) == "heard plain"
    (call,) = model.take_calls()
    assert call.header("authorization") == "Bearer key-deployed"
    assert call.json is not None
    assert call.json["model"] == "deployed"
    assert set((app.folder / "store").rglob("*.json")) == before
