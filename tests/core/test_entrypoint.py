"""One rollout's life: agent, limits, deadline, reward, failures, and the one record it leaves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest

from agentcore_rl.codec import decode_record, encode_record
from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.entrypoint import Entrypoint, RolloutLife
from agentcore_rl.recorder.scope import current_recorder, current_scope
from agentcore_rl.recorder.turns_so_far import RolloutData
from agentcore_rl.recorder.wire import clients, openai_arguments
from agentcore_rl.reward import Reward, RewardFunction
from agentcore_rl.rollout import FailureKind, Limits, Rollout, RolloutRequest, Status, StopReason
from agentcore_rl.settings import Settings
from agentcore_rl.testing import Answer, Drop, ScriptedModel, Timeout
from agentcore_rl.testing import Status as HTTPStatus

MODEL = openai.OpenAI(**openai_arguments(agent="main", timeout_s=30), http_client=clients()[0])  # type: ignore[arg-type]
"""Made at import, shared by every rollout here, as users do it."""


def ask(text: str = "hello", **parameters: Any) -> str:
    """One model call."""
    answer = MODEL.chat.completions.create(
        model="policy", messages=[{"role": "user", "content": text}], **parameters
    )
    return str(answer.choices[0].message.content)


def request_to(base_url: str | None, *, payload: Any = None, **changes: Any) -> RolloutRequest:
    """A request whose model is at this url."""
    endpoint = Endpoint(base_url, "real-model") if base_url else None
    fields: dict[str, Any] = {"run": "r", "task": "t", "sample": 0, "session": "s" * 33, "input_id": "t.0"}
    return RolloutRequest(
        **{**fields, "endpoint": endpoint, "payload": payload or {"prompt": "hello"}, **changes}
    )


def live(
    request: RolloutRequest,
    function: Callable[..., Any],
    *,
    reward: Callable[..., Any] | None = None,
    declared: bool = True,
    secrets: tuple[Secret, ...] = (),
    settings: Settings | None = None,
) -> Rollout:
    """Run one rollout to its record, which goes through the codec and back."""
    kept: list[Rollout] = []
    ready = threading.Event()

    def keep(rollout: Rollout) -> None:
        kept.append(rollout)
        ready.set()

    life = RolloutLife(
        request,
        Entrypoint.of(function, reward, declared=declared),
        settings=settings or Settings.from_environment({"AGENTCORE_RL_MODEL_RETRIES": "1"}),
        secrets=secrets,
        keep=keep,
    )
    life.start()
    assert ready.wait(20)
    assert life.join(20)
    assert len(kept) == 1
    return decode_record(encode_record(kept[0], bucket="", key=request.key, secrets=secrets))


def test_a_rollout_is_recorded_judged_and_succeeds() -> None:
    """The handler's answer is the output, its call a turn, the reward function gets all three."""
    seen: list[Any] = []

    def judge(payload: Any, output: Any, rollout: Rollout) -> float:
        seen.append((payload, output, rollout.turns[0].answer))
        return 0.5

    with ScriptedModel([Answer("hi")]) as model:
        rollout = live(request_to(model.base_url), lambda payload: ask(payload["prompt"]), reward=judge)
    assert rollout.status is Status.SUCCEEDED
    assert rollout.stop_reason is StopReason.FINISHED
    assert rollout.output == "hi"
    assert rollout.reward == Reward(0.5)
    assert rollout.turns[0].messages == [
        {"role": "user", "content": "hello"},
        rollout.turns[0].answer,
    ]
    assert seen[0][0] == {"prompt": "hello"}
    assert seen[0][1] == "hi"
    assert seen[0][2]["content"] == "hi"
    assert rollout.suspect == []
    assert rollout.usage.completion_tokens == 3
    assert rollout.timings.total_s >= rollout.timings.handler_s > 0
    assert rollout.software["agentcore-rl"]


@pytest.mark.parametrize("kind", ["async", "generator", "async generator"])
def test_handlers_of_every_kind_run(kind: str) -> None:
    """Coroutines are awaited on the rollout's own loop; generators are read to their end."""

    async def coroutine(payload: Any) -> str:
        assert current_recorder() is not None
        return await asyncio.to_thread(ask)

    def generator(payload: Any) -> Any:
        yield "a"
        yield ask()

    async def async_generator(payload: Any) -> Any:
        yield "a"
        yield await asyncio.to_thread(ask)

    functions = {"async": coroutine, "generator": generator, "async generator": async_generator}
    with ScriptedModel([Answer("hi")]) as model:
        rollout = live(request_to(model.base_url), functions[kind])
    assert rollout.output == ("hi" if kind == "async" else ["a", "hi"])
    assert len(rollout.turns) == 1


def test_a_second_parameter_of_any_name_gets_the_context() -> None:
    """Not only a parameter that is called `context`."""
    assert Entrypoint.of(lambda payload, ctx: None, None, declared=True).takes_context
    assert not Entrypoint.of(lambda payload, *, ctx=None: None, None, declared=True).takes_context


def test_an_agent_that_raises_leaves_a_failed_record_with_its_turns() -> None:
    """Failure kind agent, with the traceback; the reward function is not called."""

    def solve(payload: Any) -> None:
        ask()
        raise KeyError("broken tool table")

    with ScriptedModel([Answer("hi")]) as model:
        rollout = live(request_to(model.base_url), solve, reward=lambda *_: pytest.fail("called"))
    assert rollout.status is Status.FAILED
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.AGENT
    assert "broken tool table" in str(rollout.failure.traceback)
    assert not rollout.failure.retryable
    assert rollout.reward is None
    assert len(rollout.turns) == 1


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_what_is_no_exception_is_a_failure_too(error: BaseException) -> None:
    """Some frameworks raise SystemExit from within an agent; the process goes on."""

    def solve(payload: Any) -> None:
        raise error

    rollout = live(request_to(None), solve)
    assert rollout.failure is not None
    assert rollout.failure.type == type(error).__name__


@pytest.mark.parametrize(
    ("lines", "retryable"),
    [([Drop(), Drop()], True), ([HTTPStatus(503)] * 2, True), ([HTTPStatus(400)], False)],
)
def test_a_model_that_fails_is_a_model_failure(lines: list[Any], retryable: bool) -> None:
    """An infrastructure failure only when the endpoint gave no answer after the transport's retries."""
    with ScriptedModel(lines) as model:
        rollout = live(request_to(model.base_url), lambda payload: ask())
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.MODEL
    assert rollout.failure.retryable is retryable
    assert len(rollout.turns[0].stored.http) == len(lines)
    assert "no_answer" in rollout.suspect


def test_a_swallowed_model_failure_succeeds_but_is_suspect() -> None:
    """Frameworks swallow failed calls and carry on; the record says so."""

    def solve(payload: Any) -> str:
        try:
            ask()
        except openai.APIError:
            return "I could not reach the model."
        return "unreachable"

    with ScriptedModel([HTTPStatus(500)]) as model:
        rollout = live(request_to(model.base_url), solve, reward=lambda *_: 0.0)
    assert rollout.status is Status.SUCCEEDED
    assert rollout.suspect == ["no_answer"]


@pytest.mark.parametrize("handler_raises", [True, False])
def test_max_turns_refuses_the_next_call_and_the_reward_is_called(handler_raises: bool) -> None:
    """Whatever the framework makes of the refusal: succeeded, turn limit, judged."""

    def solve(payload: Any) -> str:
        for _ in range(5):
            try:
                ask()
            except openai.PermissionDeniedError:
                if handler_raises:
                    raise
        return "done"

    limits = Limits(max_turns=2)
    with ScriptedModel([Answer("hi")] * 2) as model:
        rollout = live(request_to(model.base_url, limits=limits), solve, reward=lambda *_: 1.0)
        assert len(model.calls) == 2
    assert rollout.status is Status.SUCCEEDED
    assert rollout.stop_reason is StopReason.TURN_LIMIT
    assert rollout.output == (None if handler_raises else "done")
    assert rollout.reward == Reward(1.0)
    assert rollout.counts["refused_calls"] == (1 if handler_raises else 3)


def test_max_tokens_counts_what_was_sampled() -> None:
    """The call after the one that used the budget up is refused."""

    def solve(payload: Any) -> None:
        for _ in range(5):
            ask()

    with ScriptedModel([Answer("hi", usage={"prompt_tokens": 1, "completion_tokens": 6})] * 2) as model:
        rollout = live(request_to(model.base_url, limits=Limits(max_tokens=10)), solve)
    assert rollout.stop_reason is StopReason.TOKEN_LIMIT
    assert len(rollout.turns) == 2


def test_a_deadline_stores_the_record_at_once_and_closes_the_scope() -> None:
    """Failure timeout, stop reason time limit, no reward; the thread's later calls are refused."""
    refused: list[str | None] = []
    released = threading.Event()

    def solve(payload: Any) -> str:
        ask()
        released.wait(10)
        try:
            ask()
        except openai.PermissionDeniedError as error:
            refused.append(error.code)
        return "late"

    kept: list[tuple[float, Rollout]] = []
    with ScriptedModel([Answer("hi")]) as model:
        life = RolloutLife(
            request_to(model.base_url, limits=Limits(deadline_s=0.4)),
            Entrypoint.of(solve, lambda *_: pytest.fail("called"), declared=True),
            settings=Settings.from_environment({}),
            keep=lambda rollout: kept.append((time.monotonic(), rollout)),
        )
        started = time.monotonic()
        life.start()
        while not kept and time.monotonic() - started < 10:
            time.sleep(0.01)
        at, rollout = kept[0]
        released.set()
        assert life.join(10)
    assert 0.4 <= at - started < 5
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.TIMEOUT
    assert rollout.stop_reason is StopReason.TIME_LIMIT
    assert rollout.reward is None
    assert len(rollout.turns) == 1
    assert len(kept) == 1
    assert refused == ["rollout_closed"]


def test_a_deadline_cancels_a_coroutine() -> None:
    """An async handler does not go on for nobody."""
    cancelled = threading.Event()

    async def solve(payload: Any) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    rollout = live(request_to(None, limits=Limits(deadline_s=0.2)), solve)
    assert rollout.stop_reason is StopReason.TIME_LIMIT
    assert cancelled.is_set()


def test_a_deadline_in_a_model_call_keeps_the_unfinished_turn() -> None:
    """The call that never came back is a turn without an answer."""
    with ScriptedModel([Timeout(5)]) as model:
        kept: list[Rollout] = []
        life = RolloutLife(
            request_to(model.base_url, limits=Limits(deadline_s=0.3)),
            Entrypoint.of(lambda payload: ask(), None, declared=True),
            settings=Settings.from_environment({}),
            keep=kept.append,
        )
        life.start()
        assert life.join(20)
    assert kept[0].suspect == ["unfinished_call"]
    assert kept[0].turns[0].answer is None


def circular() -> dict[str, Any]:
    """A value that holds itself."""
    value: dict[str, Any] = {"kept": 1}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    "output",
    [float("nan"), b"bytes", {1, 2}, object(), circular(), {"payload": 1}, {"status_code": 200}, {1: "x"}],
    ids=["nan", "bytes", "set", "object", "circular", "payload key", "status_code key", "int key"],
)
def test_an_output_that_cannot_be_stored_is_a_contract_failure_that_keeps_the_rest(output: Any) -> None:
    """Turns and what can be kept of the output stay; the reward is not called."""

    def solve(payload: Any) -> Any:
        ask()
        return output

    with ScriptedModel([Answer("hi")]) as model:
        rollout = live(request_to(model.base_url), solve, reward=lambda *_: pytest.fail("called"))
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.CONTRACT
    assert len(rollout.turns) == 1
    assert rollout.output is not None


@pytest.mark.parametrize("value", [float("nan"), True, "1.0", [1.0], {"scores": {"a": float("inf")}}])
def test_a_reward_that_is_no_finite_number_is_a_reward_failure(value: Any) -> None:
    """Turns and output are kept, the reward is None."""
    rollout = live(request_to(None), lambda payload: "out", reward=lambda *_: value)
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.REWARD
    assert rollout.output == "out"
    assert rollout.reward is None


def test_a_reward_function_that_raises_is_a_reward_failure() -> None:
    """And an async one is awaited."""

    async def judge(payload: Any, output: Any, rollout: Rollout) -> float:
        await asyncio.sleep(0)
        raise ZeroDivisionError("no turns")

    rollout = live(request_to(None), lambda payload: "out", reward=judge)
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.REWARD
    assert rollout.failure.type == "ZeroDivisionError"


def test_a_judges_own_model_calls_are_no_turns() -> None:
    """The reward function runs outside the rollout's scope, on the deployment's endpoint."""
    with ScriptedModel([Answer("hi")]) as policy, ScriptedModel([Answer("0.25")]) as judge_model:
        settings = Settings.from_environment({"BASE_URL": judge_model.base_url, "MODEL_ID": "judge"})
        rollout = live(
            request_to(policy.base_url),
            lambda payload: ask(),
            reward=lambda *_: float(ask("judge this")),
            settings=settings,
        )
    assert rollout.reward == Reward(0.25)
    assert len(rollout.turns) == 1


class Strict(RewardFunction):
    """Raises for what it cannot judge."""

    def reward(self, text: str) -> float:
        """1.0 for "right"."""
        if text == "broken":
            raise ValueError("cannot judge")
        return float(text == "right")


def test_the_bare_form_takes_rewards_and_rollout_data_from_the_return_value() -> None:
    """The data is stored once: as the turns themselves."""

    def solve(payload: Any) -> dict[str, Any]:
        text = ask()
        return {"rollout_data": RolloutData(current_recorder()), "rewards": Strict()(text), "note": "kept"}

    with ScriptedModel([Answer("right")]) as model:
        rollout = live(request_to(model.base_url), solve, declared=False)
    assert rollout.reward == Reward(1.0)
    assert rollout.output["note"] == "kept"
    data = rollout.output["rollout_data"]
    assert len(data) == 1
    assert data[0]["formatted_request"]["messages"][-1]["content"] == "right"


def test_an_exception_of_a_reward_function_inside_the_handler_is_a_reward_failure() -> None:
    """Any other exception there is the agent's."""

    def solve(payload: Any) -> dict[str, Any]:
        return {"rewards": Strict()("broken")}

    rollout = live(request_to(None), solve, declared=False)
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.REWARD


@pytest.mark.parametrize(
    ("rewards", "value"), [(1, 1.0), ([0.5], 0.5), ({"scores": {"a": 1, "b": 0.5}}, 1.5), (None, None)]
)
def test_returned_rewards_are_numbers_scores_or_none(rewards: Any, value: float | None) -> None:
    """None means not judged."""
    rollout = live(request_to(None), lambda payload: {"rewards": rewards}, declared=False)
    assert rollout.status is Status.SUCCEEDED
    assert (rollout.reward.value if rollout.reward else None) == value


@pytest.mark.parametrize("rewards", [True, "1.0", [0.1, 0.2], float("inf")])
def test_returned_rewards_of_another_kind_are_a_contract_failure(rewards: Any) -> None:
    """Bool and str are no numbers, and a list has one number for each turn."""
    rollout = live(request_to(None), lambda payload: {"rewards": rewards}, declared=False)
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.CONTRACT


def test_one_reward_per_turn_is_kept_and_summed() -> None:
    """A list with as many numbers as turns."""

    def solve(payload: Any) -> dict[str, Any]:
        ask("one")
        ask("two")
        return {"rewards": [0.25, 0.5]}

    with ScriptedModel([Answer("a"), Answer("b")]) as model:
        rollout = live(request_to(model.base_url), solve, declared=False)
    assert rollout.reward is not None
    assert rollout.reward.value == 0.75
    assert list(rollout.reward.turn_rewards or ()) == [0.25, 0.5]


def test_the_handler_cannot_change_what_was_asked() -> None:
    """The record has the payload as it came."""

    def solve(payload: Any) -> None:
        payload["prompt"] = "changed"
        payload["self"] = payload

    assert live(request_to(None), solve).payload == {"prompt": "hello"}


def test_a_handler_that_returns_its_payload_is_stored() -> None:
    """A self-reference cannot come about."""
    rollout = live(request_to(None), lambda payload: payload)
    assert rollout.output == {"prompt": "hello"}


def test_secrets_enter_neither_turns_nor_failures() -> None:
    """Wherever they stand, tracebacks and outputs included; the rollout says so."""
    key = Secret("sk-planted-0123456789")

    def solve(payload: Any) -> str:
        ask(f"use {key.reveal()}")
        raise RuntimeError(f"bad key {key.reveal()}")

    with ScriptedModel([Answer("hi")]) as model:
        rollout = live(request_to(model.base_url), solve, secrets=(key,))
    assert key.reveal() not in repr(rollout)
    assert rollout.turns[0].prompt[0]["content"] == "use ***"
    assert "redacted" in rollout.suspect


def test_stopping_makes_one_record_that_says_stopped() -> None:
    """A shutdown ends what runs; a new attempt is worth making."""
    kept: list[Rollout] = []
    started, release = threading.Event(), threading.Event()

    def solve(payload: Any) -> None:
        started.set()
        release.wait(10)

    life = RolloutLife(
        request_to(None),
        Entrypoint.of(solve, None, declared=True),
        settings=Settings.from_environment({}),
        keep=kept.append,
    )
    life.start()
    assert started.wait(10)
    life.stop("the app was shut down")
    life.stop("again")
    release.set()
    assert life.join(10)
    assert [rollout.stop_reason for rollout in kept] == [StopReason.STOPPED]
    assert kept[0].failure is not None
    assert kept[0].failure.retryable


def test_the_scope_ends_with_the_rollout() -> None:
    """Nothing of it is left in the thread that started it."""
    live(request_to(None), lambda payload: None)
    assert current_scope() is None
    assert current_recorder() is None


def test_a_framework_that_raises_at_a_cut_answer_is_judged() -> None:
    """The answer was poor, the agent is not broken: stop reason token limit, reward called."""

    def solve(payload: Any) -> None:
        ask()
        raise RuntimeError("max_tokens reached")

    with ScriptedModel([Answer("hi", finish_reason="length")]) as model:
        rollout = live(request_to(model.base_url), solve, reward=lambda *_: 0.0)
    assert rollout.status is Status.SUCCEEDED
    assert rollout.stop_reason is StopReason.TOKEN_LIMIT
    assert rollout.reward == Reward(0.0)
