"""A hundred rollouts at once in one process: nothing of one stands in another."""

import asyncio
import contextvars
import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder.recorder import Recorder, Recording
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.testing import Answer, Line, ScriptedModel, ServedCall, ToolCall
from recording import async_sdk, ended, recording_from, request_of, spelled, sync_sdk, turns_of

ROLLOUTS = 100
CALLS = 3

# One model object each for the whole process, as users make them at import.
SYNC = sync_sdk(timeout_s=30)
ASYNC = async_sdk(timeout_s=30)


def line_for(call: ServedCall) -> Line:
    """Answers that differ for every call; the last is text, the others call a tool."""
    body = call.json or {}
    key = body["messages"][0]["content"]
    if len(body["messages"]) < 2 * CALLS - 1:
        return Answer(f"so {key}", tool_calls=[ToolCall("look", {"for": key, "at": len(body["messages"])})])
    return Answer(f"done with {key}", chunks=3)


def next_messages(messages: list[Any], answer: dict[str, Any]) -> list[Any]:
    """The history with the answer and what its tools said."""
    calls = answer.get("tool_calls") or ()
    tools = [{"role": "tool", "tool_call_id": call["id"], "content": f"found {call['id']}"} for call in calls]
    return [*messages, answer, *tools]


def message_of(answer: Any) -> dict[str, Any]:
    """The answer's message as a framework keeps it."""
    message: dict[str, Any] = answer.choices[0].message.model_dump(exclude_none=True)
    return message


async def play_on_loop(key: str, streamed: bool) -> None:
    """A rollout's calls on an event loop, some of them in a task or a thread of it."""
    messages: list[Any] = [{"role": "user", "content": key}]
    for number in range(CALLS):
        asked: Any = {"model": "m", "messages": messages}
        if streamed:
            async with ASYNC.chat.completions.stream(**asked) as events:
                answer: Any = await events.get_final_completion()
        elif number == 1:
            answer = await asyncio.to_thread(SYNC.chat.completions.create, **asked)
        else:
            answer = await asyncio.create_task(ASYNC.chat.completions.create(**asked))
        messages = next_messages(messages, message_of(answer))


def play_in_threads(key: str, streamed: bool) -> None:
    """A rollout's calls in threads: some in an executor with a copied context, some in a loop."""
    messages: list[Any] = [{"role": "user", "content": key}]
    for number in range(CALLS):
        asked: Any = {"model": "m", "messages": messages}
        if streamed:
            with SYNC.chat.completions.stream(**asked) as events:
                answer: Any = events.get_final_completion()
        elif number == 1:
            with ThreadPoolExecutor(1) as pool:
                asking = functools.partial(SYNC.chat.completions.create, **asked)
                answer = pool.submit(contextvars.copy_context().run, asking).result()
        else:
            answer = asyncio.run(ASYNC.chat.completions.create(**asked))
        messages = next_messages(messages, message_of(answer))


def test_a_hundred_rollouts_keep_apart():
    """Half on one loop, half in threads, half streaming: each record has what the server saw of it."""
    recordings: dict[str, Recording] = {}

    with ScriptedModel(line_for) as model:
        endpoint = Endpoint(model.base_url, "m")

        def in_thread(key: str, streamed: bool) -> None:
            recorder = Recorder()
            with rollout_scope(Scope(endpoint, recorder)):
                play_in_threads(key, streamed)
            recordings[key] = ended(recorder)

        async def on_loop(key: str, streamed: bool) -> None:
            recorder = Recorder()
            with rollout_scope(Scope(endpoint, recorder)):
                await play_on_loop(key, streamed)
            recordings[key] = ended(recorder)

        async def all_on_loop() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(0, ROLLOUTS, 2):
                    group.create_task(on_loop(f"rollout {number}", number % 4 == 0))

        with ThreadPoolExecutor(ROLLOUTS // 2) as pool:
            waiting = [
                pool.submit(in_thread, f"rollout {number}", number % 4 == 1)
                for number in range(1, ROLLOUTS, 2)
            ]
            asyncio.run(all_on_loop())
            for future in waiting:
                future.result()
        model.settle()
        served: dict[str, list[ServedCall]] = {}
        for call in model.calls:
            served.setdefault((call.json or {})["messages"][0]["content"], []).append(call)

    assert len(recordings) == len(served) == ROLLOUTS
    for key, recording in recordings.items():
        turns = turns_of(recording)
        assert [request_of(turn) for turn in turns] == [call.json for call in served[key]]
        assert [turn.answer for turn in turns] == [spelled(call.response_body) for call in served[key]]
        assert [turn.stored.parent for turn in turns] == [None, 0, 1]
        assert recording.suspect == []
        assert recording.counts == {}


def test_raw_threads_among_many_rollouts_are_refused_and_hurt_nobody():
    """Those that copy no context are counted everywhere; the rollouts' own calls go on."""
    with ScriptedModel([Answer("a")]) as model:
        with recording_from(model.base_url) as one, recording_from(model.base_url) as two:
            refused: list[Exception] = []

            def stray() -> None:
                try:
                    SYNC.chat.completions.create(model="m", messages=[{"role": "user", "content": "stray"}])
                except openai.PermissionDeniedError as error:
                    refused.append(error)

            threads = [threading.Thread(target=stray) for _ in range(5)]
            for thread in threads:
                thread.start()
            SYNC.chat.completions.create(model="m", messages=[{"role": "user", "content": "two"}])
            for thread in threads:
                thread.join()
        assert len(refused) == 5
        recordings = [ended(one), ended(two)]
        assert [recording.counts for recording in recordings] == [{"ambiguous_calls": 5}] * 2
        assert [len(turns_of(recording)) for recording in recordings] == [0, 1]
        assert [(call.json or {})["messages"][0]["content"] for call in model.calls] == ["two"]


@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_calls_of_one_rollout_are_all_recorded(streamed: bool):
    """An agent that asks twenty things at once: each turn has its own question and answer."""

    async def ask(number: int) -> None:
        messages: Any = [{"role": "user", "content": f"question {number}"}]
        answer = await ASYNC.chat.completions.create(model="m", messages=messages, stream=streamed)
        if streamed:
            async for _ in answer:  # type: ignore[union-attr]
                pass

    async def all_at_once() -> None:
        await asyncio.gather(*map(ask, range(20)))

    def echo(call: ServedCall) -> Line:
        return Answer("answer to " + (call.json or {})["messages"][0]["content"])

    with ScriptedModel(echo) as model, recording_from(model.base_url) as recorder:
        asyncio.run(all_at_once())
        turns = turns_of(ended(recorder))
    assert len(turns) == 20
    assert all((turn.answer or {})["content"] == f"answer to {turn.prompt[0]['content']}" for turn in turns)
