"""Which rollout a model call belongs to: by its context, else by being the only one."""

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from typing import Any

import openai
import pytest

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.exceptions import AmbiguousRollout
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import (
    Scope,
    current_recorder,
    current_scope,
    find_scope,
    rollout_scope,
    scoped,
)
from agentcore_rl.testing import Answer, ScriptedModel
from recording import ended, recording_from, sync_sdk, turns_of

HERE = Endpoint("http://127.0.0.1/v1")
MESSAGES: list[Any] = [{"role": "user", "content": "q"}]


def in_raw_thread(function: Callable[[], Any]) -> Any:
    """What the function returns or raises in a thread that copies no context."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(function())
        except Exception as error:  # noqa: BLE001 - it is the outcome
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]


def ask() -> str | None:
    """One model call."""
    return sync_sdk().chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content


def test_a_scope_is_found_in_copied_contexts():
    """Tasks, threads of asyncio and copied contexts have it; it ends with its block."""
    scope = Scope(HERE, Recorder())

    async def look() -> list[Any]:
        task = asyncio.create_task(asyncio.to_thread(find_scope))
        return [find_scope(), await task]

    with rollout_scope(scope):
        assert current_scope() is scope
        assert current_recorder() is scope.recorder
        assert asyncio.run(look()) == [(scope, False)] * 2
        copied = contextvars.copy_context()
        assert in_raw_thread(lambda: copied.run(find_scope)) == (scope, False)
    assert current_scope() is None
    assert current_recorder() is None


def test_the_inner_scope_counts():
    """A judge's calls inside a rollout are not the rollout's."""
    outer, inner = Scope(HERE, Recorder()), Scope(HERE)
    with rollout_scope(outer), scoped(inner):
        assert find_scope() == (inner, False)
        assert current_recorder() is None
    with rollout_scope(outer), scoped(None):
        assert find_scope() == (outer, True)


def test_a_raw_threads_call_belongs_to_the_only_rollout():
    """It is inferred, and the turn and the rollout say so."""
    with ScriptedModel([Answer("a")]) as model, recording_from(model.base_url) as recorder:
        assert in_raw_thread(ask) == "a"
        recording = ended(recorder)
    [turn] = turns_of(recording)
    assert turn.stored.scope == "inferred"
    assert turn.stored.suspect == ["inferred_scope"]
    assert "inferred_scope" in recording.suspect


def test_with_several_rollouts_a_raw_threads_call_is_refused_and_counted_in_each():
    """It is sent nowhere, and nobody is right to ignore it."""
    with (
        ScriptedModel([]) as model,
        recording_from(model.base_url) as one,
        recording_from(model.base_url) as other,
    ):
        refused = in_raw_thread(ask)
        assert isinstance(refused, openai.PermissionDeniedError)
        assert "while 2 rollouts are running" in str(refused)
        assert refused.code == "ambiguous_rollout"
        assert isinstance(in_raw_thread(find_scope), AmbiguousRollout)
        assert in_raw_thread(current_recorder) is None
        for recorder in (one, other):
            recording = ended(recorder)
            assert recording.counts["ambiguous_calls"] == 2
            assert "ambiguous_calls" in recording.suspect
        assert model.calls == ()


def test_without_a_rollout_the_environment_decides():
    """Its endpoint is used and nothing is recorded; without one the sentence says what to set."""
    with ScriptedModel([Answer("a")]) as model:
        with pytest.raises(openai.PermissionDeniedError, match="set BASE_URL") as refused:
            ask()
        assert refused.value.code == "no_endpoint"
        os.environ.update(BASE_URL=model.base_url, MODEL_ID="env-model", API_KEY="env-key-123")
        assert ask() == "a"
        assert model.calls[0].header("authorization") == "Bearer env-key-123"
        assert (model.calls[0].json or {})["model"] == "env-model"


def test_an_unusable_environment_is_a_refusal():
    """A wrong variable is an answer of 403 with its sentence, not an exception inside the SDK."""
    os.environ["BASE_URL"] = "nonsense"
    with pytest.raises(openai.PermissionDeniedError, match="BASE_URL must be"):
        ask()


def test_a_rollout_without_an_endpoint_says_so():
    """Neither the request nor the deployment names one."""
    with (
        rollout_scope(Scope(None, Recorder())),
        pytest.raises(openai.PermissionDeniedError, match="its request names none"),
    ):
        ask()


def test_a_rollout_that_is_over_is_no_candidate():
    """What ran is forgotten, also when it ends with an error."""

    def failing() -> None:
        with rollout_scope(Scope(HERE, Recorder())):
            raise RuntimeError("the agent broke")

    with pytest.raises(RuntimeError, match="the agent broke"):
        failing()
    scope, inferred = find_scope()
    assert scope.recorder is None
    assert not inferred
