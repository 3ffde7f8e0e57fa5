"""The table of facts about openai's SDK: every way in which a call may go, with the server as the oracle."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from agentcore_rl.recorder.wire import AsyncWireClient, WireClient, clients
from agentcore_rl.testing import (
    Answer,
    CutBody,
    CutStream,
    Drop,
    Line,
    Raw,
    ScriptedModel,
    Stall,
    Status,
    StreamStyle,
    Timeout,
    ToolCall,
)
from recording import (
    async_sdk,
    ended,
    forwarded_names,
    recording_from,
    request_of,
    spelled,
    sync_sdk,
    turns_of,
)

MESSAGES: list[Any] = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "2 + 2? é 🙂"}]
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
]
FOUR = Answer("It is four. 🙂", chunks=8)
LONG = Answer("word " * 200, chunks=128, reasoning="let me see")
CALLS = Answer(tool_calls=[ToolCall("add", {"a": 2, "b": 2}), ToolCall("add", '{"a": 1,')], content="so")
BUSY = Status(429, retry_after=0)
BROKEN = Status(500)

# The two rows in which the SDK's majors differ: openai 3 translates what breaks a stream.
OPENAI_2 = openai.__version__.startswith("2.")
CUT = "RemoteProtocolError" if OPENAI_2 else "APIConnectionError"
STALLED = "ReadTimeout" if OPENAI_2 else "APITimeoutError"


@dataclass(frozen=True)
class Case:
    """One row: what the server plays, how the SDK is asked, what must come of it."""

    lines: Sequence[Line]
    error: str | None = None
    statuses: Sequence[int | None] = (200,)
    suspect: Sequence[str] = ()
    how: str = "create"
    timeout_s: float = 5.0
    streamed: Sequence[bool] = (False, True)
    asked: dict[str, Any] = field(default_factory=dict)


CASES: dict[str, Case] = {
    "plain": Case([FOUR]),
    "tool call": Case([CALLS], asked={"tools": TOOLS, "tool_choice": "auto"}),
    "128 chunks": Case([LONG]),
    "usage and ids": Case(
        [FOUR],
        asked={"logprobs": True, "extra_body": {"return_token_ids": True}},
    ),
    "usage on each chunk": Case(
        [
            Answer(
                "é🙂 four",
                style=StreamStyle(newline="\r\n", comments=True, usage_each_chunk=True, piece_bytes=3),
            )
        ],
        streamed=[True],
        asked={"stream_options": {"include_usage": True}},
    ),
    "with_raw_response": Case([FOUR], how="raw"),
    "with_streaming_response": Case([FOUR], how="streaming"),
    "stream helper": Case([FOUR], how="helper", streamed=[True]),
    "early close": Case([LONG], how="early", streamed=[True], suspect=["cut_answer"]),
    "429 once": Case([BUSY, FOUR], statuses=[429, 200]),
    "429 once, until a date": Case(
        [
            Status(429, retry_after=format_datetime(datetime.now(UTC) - timedelta(seconds=1), usegmt=True)),
            FOUR,
        ],
        statuses=[429, 200],
    ),
    "503 once": Case([Status(503, retry_after=0), FOUR], statuses=[503, 200]),
    "429 for ever": Case([BUSY] * 3, "RateLimitError", [429] * 3, ["no_answer"]),
    "429 until too late": Case([Status(429, retry_after=3600)], "RateLimitError", [429], ["no_answer"]),
    "500 once": Case([BROKEN], "InternalServerError", [500], ["no_answer"]),
    "400": Case([Status(400)], "BadRequestError", [400], ["no_answer"]),
    "401": Case([Status(401)], "AuthenticationError", [401], ["no_answer"]),
    "dropped once": Case([Drop(), FOUR], statuses=[None, 200]),
    "reset once": Case([Drop(reset=True), FOUR], statuses=[None, 200]),
    "dropped for ever": Case([Drop()] * 3, "APIConnectionError", [None] * 3, ["no_answer"]),
    "cut body": Case([CutBody(FOUR, 40)], "APIConnectionError", suspect=["no_answer"], streamed=[False]),
    "cut stream": Case([CutStream(FOUR, 4)], CUT, suspect=["cut_answer"], streamed=[True]),
    "stream ends too soon": Case([CutStream(FOUR, 4, clean=True)], suspect=["cut_answer"], streamed=[True]),
    "no DONE": Case([Answer("x", style=StreamStyle(done=False))], streamed=[True]),
    "slow answer": Case([Answer("x", delay_s=0.2)]),
    "silence": Case([Timeout(30)], "APITimeoutError", [None], ["no_answer"], timeout_s=0.3),
    "stalled stream": Case(
        [Stall(30, FOUR, 3)], STALLED, suspect=["cut_answer"], timeout_s=0.3, streamed=[True]
    ),
    "wrong content type": Case([Answer("x", headers={"content-type": "text/plain"})], streamed=[True]),
    "redirect": Case(
        [Raw(302, {"location": "http://127.0.0.1:9/v1"})], "APIStatusError", [302], ["no_answer"]
    ),
}
ROWS = [
    pytest.param(case, streamed, id=f"{name}-{'stream' if streamed else 'whole'}")
    for name, case in CASES.items()
    for streamed in case.streamed
]


def ask_sync(sdk: openai.OpenAI, case: Case, streamed: bool) -> list[Any]:
    """Asks in the row's manner; what the caller sees, as plain data."""
    asked = {"model": "policy", "messages": MESSAGES, **case.asked}
    completions = sdk.chat.completions
    if case.how == "helper":
        with completions.stream(**asked) as events:
            return [events.get_final_completion().model_dump()]
    if streamed:
        asked["stream"] = True
    if case.how == "raw":
        raw = completions.with_raw_response.create(**asked)
        parsed = raw.parse()
        return [chunk.model_dump() for chunk in parsed] if streamed else [raw.text, parsed.model_dump()]
    if case.how == "streaming":
        with completions.with_streaming_response.create(**asked) as response:
            return list(response.iter_lines())
    answer = completions.create(**asked)
    if not streamed:
        return [answer.model_dump()]
    if case.how == "early":
        first = next(iter(answer)).model_dump()
        answer.close()
        return [first]
    return [chunk.model_dump() for chunk in answer]


async def ask_async(sdk: openai.AsyncOpenAI, case: Case, streamed: bool) -> list[Any]:
    """The same for the asynchronous client."""
    asked = {"model": "policy", "messages": MESSAGES, **case.asked}
    completions = sdk.chat.completions
    if case.how == "helper":
        async with completions.stream(**asked) as events:
            return [(await events.get_final_completion()).model_dump()]
    if streamed:
        asked["stream"] = True
    if case.how == "raw":
        raw = await completions.with_raw_response.create(**asked)
        parsed = raw.parse()
        if streamed:
            return [chunk.model_dump() async for chunk in parsed]
        return [raw.text, parsed.model_dump()]
    if case.how == "streaming":
        async with completions.with_streaming_response.create(**asked) as response:
            return [line async for line in response.iter_lines()]
    answer = await completions.create(**asked)
    if not streamed:
        return [answer.model_dump()]
    if case.how == "early":
        first = (await anext(aiter(answer))).model_dump()
        await answer.close()
        return [first]
    return [chunk.model_dump() async for chunk in answer]


def plain_outcome(case: Case, streamed: bool) -> Any:
    """What the SDK alone, with its own client, makes of the line that ends the call."""
    with (
        ScriptedModel([case.lines[-1]]) as model,
        openai.OpenAI(base_url=model.base_url, api_key="k", max_retries=0, timeout=case.timeout_s) as sdk,
    ):
        return outcome_of(lambda: ask_sync(sdk, case, streamed))


def outcome_of(ask: Callable[[], list[Any]]) -> Any:
    """What came of it; an error as its name, status and body."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - whatever it raises is the outcome
        return [type(error).__name__, getattr(error, "status_code", None), getattr(error, "body", None)]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(("case", "streamed"), ROWS)
def test_every_way_in_which_a_call_may_go(mode: str, case: Case, streamed: bool):
    """The SDK sees what it would see without us, and the record says what was on the wire."""
    with ScriptedModel(case.lines) as model:
        with recording_from(model.base_url) as recorder:
            if mode == "sync":
                sdk = sync_sdk(timeout_s=case.timeout_s)
                outcome = outcome_of(lambda: ask_sync(sdk, case, streamed))
            else:
                outcome = outcome_of(
                    lambda: asyncio.run(ask_async(async_sdk(timeout_s=case.timeout_s), case, streamed))
                )
        model.settle()
        recording = ended(recorder)
        [turn] = turns_of(recording)
        served = model.calls

    # What the caller sees: names apart (the model id is ours), the SDK's own outcome.
    if case.statuses[-1] != 302:  # the SDK's own client would follow it
        assert seen(outcome) == seen(plain_outcome(case, streamed))
    assert (outcome[0] if case.error else None) == case.error

    # What was sent is what the record says, for every attempt of the one turn.
    assert [attempt.status for attempt in turn.stored.http] == list(case.statuses)
    assert len(served) == len(case.statuses)
    for call in served:
        assert call.json == request_of(turn)
        assert not {name for name in forwarded_names(call) if name.startswith("x-agentcore-rl")}
        assert call.header("authorization") == "Bearer sk-endpoint-key"
    assert len({call.header("idempotency-key") for call in served}) == 1
    assert served[0].header("idempotency-key")

    # What came back is what the record says.
    said = spelled(served[-1].response_body) if case.statuses[-1] == 200 else None
    if case.how == "early":  # the server has written more than the reader took
        assert turn.answer is not None
        assert said is not None
        assert said["content"].startswith(turn.answer.get("content") or "")
    else:
        assert turn.answer == said
    assert sorted(turn.stored.suspect) == sorted(case.suspect)
    assert turn.stored.http[-1].complete is not bool(case.suspect)
    assert [bool(attempt.error) for attempt in turn.stored.http[:-1]] == [True] * (len(case.statuses) - 1)
    assert recording.last_call_failed is bool(case.suspect)


def seen(outcome: Any) -> Any:
    """The outcome without the model's name, which the endpoint decides, and without minted ids."""
    if isinstance(outcome, dict):
        return {name: seen(value) for name, value in outcome.items() if name not in ("model", "id")}
    if isinstance(outcome, list):
        return [seen(value) for value in outcome]
    return outcome.replace('"real-id"', '"policy"') if isinstance(outcome, str) else outcome


@pytest.mark.parametrize("streamed", [False, True])
def test_bytes_pass_untouched(streamed: bool):
    """Below the SDK, the bytes of the answer are those that the server sent, in chunks as they came."""
    body = {"model": "policy", "messages": MESSAGES, "stream": streamed}
    answer = Answer("é🙂 four", style=StreamStyle(newline="\r\n", comments=True, piece_bytes=7))
    with ScriptedModel([answer, answer]) as model, recording_from(model.base_url):
        with clients()[0].stream("POST", "http://x/v1/chat/completions", json=body) as response:
            received = b"".join(response.iter_raw())

        async def ask() -> bytes:
            request = clients()[1].stream("POST", "http://x/v1/chat/completions", json=body)
            async with request as response:
                return b"".join([chunk async for chunk in response.aiter_raw()])

        received_async = asyncio.run(ask())
        assert received == model.calls[0].response_body
        assert received_async == model.calls[1].response_body


@pytest.mark.parametrize("lines", [[Answer("x", delay_s=5)], [Stall(5, FOUR, 3)]], ids=["waiting", "reading"])
def test_a_cancelled_call_is_recorded_as_cut(lines: list[Line]):
    """Cancelling a call, before its answer or inside its stream, ends the turn and says so."""
    taken = []

    async def ask() -> None:
        stream = await async_sdk().chat.completions.create(model="m", messages=MESSAGES, stream=True)
        async for chunk in stream:
            taken.append(chunk)  # noqa: PERF401 - looked at while it grows

    async def cancelled() -> None:
        task = asyncio.create_task(ask())
        while not model.calls or (isinstance(lines[0], Stall) and not taken):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with ScriptedModel(lines) as model, recording_from(model.base_url) as recorder:
        asyncio.run(cancelled())
        model.settle()
        [turn] = turns_of(ended(recorder))
        [call] = model.calls
    assert "unfinished_call" not in turn.stored.suspect
    assert turn.stored.http[-1].error is not None
    if turn.answer is not None:
        said = spelled(call.response_body)
        assert said is not None
        # The server may have sent more than was read when the call was cancelled.
        assert said["content"].startswith(turn.answer["content"])


def test_label_headers_and_the_sdks_own_stay_here():
    """What the SDK reads for its own service, and what we tell the recorder, never reach the server."""
    os.environ.update(OPENAI_ORG_ID="org-1", OPENAI_PROJECT_ID="proj-1", OPENAI_API_KEY="sk-users-own-key")
    with ScriptedModel([FOUR]) as model, recording_from(model.base_url) as recorder:
        sdk = sync_sdk(agent="planner").with_options(
            default_headers={"x-agentcore-rl-node": "plan", "Cookie": "a=b", "X-Mine": "kept"}
        )
        sdk.chat.completions.create(model="m", messages=MESSAGES)
        [turn] = turns_of(ended(recorder))
        [call] = model.calls
    assert turn.stored.agent == "planner"
    assert turn.stored.labels["node"] == "plan"
    names = forwarded_names(call)
    assert not names & {"openai-organization", "openai-project", "cookie"}
    assert not {name for name in names if name.startswith("x-agentcore-rl")}
    assert call.header("x-mine") == "kept"
    assert call.header("accept-encoding") == "identity"
    assert b"sk-users-own-key" not in call.request_head


def test_an_endpoint_without_a_key_gets_none():
    """Without a key no Authorization is sent, not even the placeholder that the SDK asks for."""
    with ScriptedModel([FOUR]) as model, recording_from(model.base_url, api_key=""):
        sync_sdk().chat.completions.create(model="m", messages=MESSAGES)
        assert model.calls[0].header("authorization") is None


def test_the_endpoint_wins_and_the_record_says_what_was_asked():
    """Model, sampling and extra body fields of the request replace the agent's, also under another name."""
    with (
        ScriptedModel([FOUR]) as model,
        recording_from(
            model.base_url,
            sampling={"temperature": 0.5, "max_completion_tokens": 7, "top_p": 1},
            extra_body={"return_token_ids": True, "messages": [], "stream": True},
        ) as recorder,
    ):
        sync_sdk().chat.completions.create(
            model="gpt", messages=MESSAGES, temperature=0.9, max_tokens=100, top_p=1.0
        )
        [turn] = turns_of(ended(recorder))
        [call] = model.calls
    assert call.json == request_of(turn)
    assert call.json is not None
    assert call.json["messages"] == MESSAGES
    sent = {
        name: call.json.get(name) for name in ("temperature", "max_completion_tokens", "max_tokens", "stream")
    }
    assert sent == {"temperature": 0.5, "max_completion_tokens": 7, "max_tokens": None, "stream": None}
    assert turn.stored.asked == {"model": "gpt", "temperature": 0.9, "max_tokens": 100, "top_p": 1.0}
    assert turn.prompt_ids is not None


def test_other_calls_pass_and_are_told():
    """A list of models and embeddings pass on; another POST leaves a remark, for nothing records it."""
    with ScriptedModel([]) as model, recording_from(model.base_url) as recorder:
        assert [entry.id for entry in sync_sdk().models.list()] == ["scripted"]
        with pytest.raises(openai.NotFoundError):
            sync_sdk().embeddings.create(model="m", input="x")
        assert ended(recorder).suspect == []
    with ScriptedModel([]) as model, recording_from(model.base_url) as recorder:
        with pytest.raises(openai.NotFoundError):
            sync_sdk().responses.create(model="m", input="x")
        assert ended(recorder).suspect == ["unrecorded_call"]


def test_the_clients_survive_being_closed():
    """SDKs and frameworks close what they are given; the next call works all the same."""
    with ScriptedModel([FOUR] * 4) as model, recording_from(model.base_url):
        for _ in range(2):
            with sync_sdk() as sdk:
                sdk.chat.completions.create(model="m", messages=MESSAGES)

        async def ask() -> None:
            async with async_sdk() as sdk:
                await sdk.chat.completions.create(model="m", messages=MESSAGES)

        for _ in range(2):
            asyncio.run(ask())
    assert isinstance(clients()[0], WireClient)
    assert isinstance(clients()[1], AsyncWireClient)
    assert clients() is clients()


def test_the_installed_sdk_takes_our_clients_without_a_warning():
    """Both clients pass the SDK's check of their type."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sync_sdk()
        async_sdk()


def open_files() -> int:
    """File descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def closed_loops() -> list[asyncio.BaseEventLoop]:
    """Event loops that are closed and that somebody still holds."""
    # By type: asking a stand-in of a missing package for its class may raise.
    loops = [found for found in gc.get_objects() if issubclass(type(found), asyncio.BaseEventLoop)]
    return [loop for loop in loops if loop.is_closed()]


def test_short_lived_loops_leave_nothing_open():
    """200 loops, one call each: no descriptor and no loop stays behind."""
    gc.collect()
    earlier = {id(loop) for loop in closed_loops()}  # of other tests in this process
    with ScriptedModel([FOUR] * 200) as model, recording_from(model.base_url):
        sdk = async_sdk()

        async def ask() -> None:
            await sdk.chat.completions.create(model="m", messages=MESSAGES)

        for _ in range(20):
            asyncio.run(ask())
        gc.collect()
        before = open_files()
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            for _ in range(180):
                asyncio.run(ask())
            gc.collect()
        assert open_files() <= before + 2
    gc.collect()
    assert sum(id(loop) not in earlier for loop in closed_loops()) <= 2, "beside the scripted model's own"
    pools = clients()[1]._transport._pools  # type: ignore[attr-defined]
    assert sum(id(loop) not in earlier and loop.is_closed() for loop in pools) <= 1


def test_a_loop_closed_without_ceremony_is_forgotten():
    """A loop that was closed while its generators lived is dropped at the next loop's first call."""
    with ScriptedModel([FOUR] * 2) as model, recording_from(model.base_url):

        async def ask() -> None:
            sdk = async_sdk()
            await sdk.chat.completions.create(model="m", messages=MESSAGES, extra_headers={"connection": "x"})

        loop = asyncio.new_event_loop()
        loop.run_until_complete(ask())
        pools = clients()[1]._transport._pools  # type: ignore[attr-defined]
        [pool] = pools[loop].values()
        loop.run_until_complete(pool.transport.aclose())
        loop.close()
        assert loop in pools
        asyncio.run(ask())
        assert loop not in pools


def test_streams_leave_the_connection_usable():
    """After [DONE] the last bytes are taken in, so that one connection serves stream after stream."""
    with ScriptedModel([FOUR] * 4) as model, recording_from(model.base_url):

        async def ask() -> None:
            for _ in range(4):
                stream = await async_sdk().chat.completions.create(model="m", messages=MESSAGES, stream=True)
                async for _ in stream:
                    pass
            assert len(model._connections) == 1

        asyncio.run(ask())


def test_a_wait_between_retries_ends_with_the_rollout():
    """When the rollout is over, what waits to try again gives up and sends nothing more."""
    for mode in ("sync", "async"):
        with ScriptedModel([Status(429, retry_after=2)]) as model, recording_from(model.base_url) as recorder:

            def close(model: ScriptedModel = model, recorder: Any = recorder) -> None:
                while not model.calls:
                    time.sleep(0.01)
                time.sleep(0.2)
                recorder.close("it is over")

            threading.Thread(target=close).start()
            if mode == "sync":
                with pytest.raises(openai.RateLimitError):
                    sync_sdk().chat.completions.create(model="m", messages=MESSAGES)
            else:
                with pytest.raises(openai.RateLimitError):
                    asyncio.run(async_sdk().chat.completions.create(model="m", messages=MESSAGES))
            assert len(model.calls) == 1
            [turn] = turns_of(recorder_end := recorder.finish())
            assert turn.stored.http[0].status == 429 or recorder_end.suspect


def test_no_retry_is_begun_that_the_deadline_would_cut():
    """A wait that would end behind the deadline is not begun."""
    with ScriptedModel([Status(429, retry_after=5)]) as model, recording_from(model.base_url) as recorder:
        recorder.deadline = time.monotonic() + 2
        with pytest.raises(openai.RateLimitError):
            sync_sdk().chat.completions.create(model="m", messages=MESSAGES)
        assert len(model.calls) == 1


def test_plain_client_follows_no_redirects():
    """The client for everything else records nothing and goes nowhere else."""
    from agentcore_rl.recorder.wire import plain_client

    async def ask() -> int:
        async with plain_client(timeout_s=5) as client:
            response = await client.get(model.base_url + "/models")
            assert isinstance(response, httpx2.Response)
            return response.status_code

    with ScriptedModel([]) as model:
        assert asyncio.run(ask()) == 200


def test_a_process_ends_without_a_word():
    """Connections that were kept for later are closed at its end."""
    code = """
import sys
sys.path.insert(0, "tests/plugins")
from agentcore_rl.testing import Answer, ScriptedModel
from recording import recording_from, sync_sdk
model = ScriptedModel([Answer("a")]).start()
with recording_from(model.base_url):
    sync_sdk().chat.completions.create(model="m", messages=[{"role": "user", "content": "q"}])
"""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    assert done.stderr == ""


def test_a_process_in_which_httpx_is_httpx2_works():
    """Users may alias the one to the other before anything else is imported."""
    code = """
import httpx2
httpx2.alias_httpx()
import sys
sys.path.insert(0, "tests/plugins")
from agentcore_rl.testing import Answer, ScriptedModel
from recording import ended, recording_from, sync_sdk, turns_of
with ScriptedModel([Answer("a")]) as model, recording_from(model.base_url) as recorder:
    sync_sdk().chat.completions.create(model="m", messages=[{"role": "user", "content": "q"}])
    print(turns_of(ended(recorder))[0].answer["content"])
"""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout == "a\n"
