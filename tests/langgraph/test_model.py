"""Models that find their endpoint at each call."""

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_aws import ChatBedrockConverse
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.exceptions import ConfigurationError, MissingDependencyError
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.rollout import Turns
from agentcore_rl.testing import Answer, CutStream, Drop, ScriptedModel, Status, ToolCall
from agentcore_rl.tools import Tool
from agentcore_rl_langgraph import LangGraphRolloutCollector, adapter, create_openai_compatible_model

# As users have them: made at import, shared by every rollout of the process.
WHOLE = create_openai_compatible_model()
STREAMED = create_openai_compatible_model(stream=True)


def test_sampling_reaches_the_wire():
    """Every parameter under its own name, `max_tokens` too; the endpoint's win."""
    model = create_openai_compatible_model(
        temperature=0.7,
        max_tokens=50,
        stop=["X"],
        top_k=5,
        min_p=0.1,
        metadata={"k": "v"},
        extra_headers={"x-own": "1"},
        extra_body={"guided": True},
        seed=None,
    )
    recorder = Recorder()
    with ScriptedModel([Answer("ok")]) as server:
        endpoint = Endpoint(server.base_url, "policy-7", Secret("k-123456789"), {"temperature": 1.0})
        with rollout_scope(Scope(endpoint, recorder)):
            assert model.invoke("Begin.").text == "ok"
        [call] = server.calls
    body = call.json
    assert body["model"] == "policy-7"
    assert body["temperature"] == 1.0
    assert (body["max_tokens"], body["stop"], body["stream"]) == (50, ["X"], False)
    assert (body["top_k"], body["min_p"], body["guided"]) == (5, 0.1, True)
    assert body["metadata"] == {"k": "v"}
    assert not {"seed", "max_completion_tokens"} & set(body)
    assert call.header("authorization") == "Bearer k-123456789"
    assert call.header("x-own") == "1"
    assert not [name for name, _ in call.headers if name.startswith("x-agentcore-rl")]
    [turn] = Turns(recorder.transcript())
    assert turn.stored.asked == {"temperature": 0.7}


@pytest.mark.parametrize("name", ["messages", "model", "tools"])
def test_what_is_no_sampling_is_refused(name: str):
    """Messages, tools and the model's id are not the model object's to fix."""
    with pytest.raises(ConfigurationError, match=f"^{name} cannot be fixed"):
        create_openai_compatible_model(**{name: "x"})


def test_timeouts_are_given_to_the_sdk_as_seconds():
    """The environment's by default, the author's if given, and no retries beside our transport's."""
    os.environ["AGENTCORE_RL_MODEL_TIMEOUT_S"] = "17"
    model: Any = create_openai_compatible_model()
    assert (model.request_timeout, model.stream_chunk_timeout, model.max_retries) == (17.0, 17.0, 0)
    model = create_openai_compatible_model(timeout=5)
    assert (model.root_client.timeout, model.root_async_client.timeout) == (5.0, 5.0)
    assert isinstance(model.request_timeout, float)


def test_the_environment_of_openais_service_changes_nothing():
    """A proxy, a gateway or a base url that is set for other clients does not lead ours astray."""
    os.environ.update(
        OPENAI_PROXY="http://proxy.invalid:1",
        OPENAI_API_BASE="http://other.invalid/v1",
        OPENAI_BASE_URL="http://other.invalid/v1",
        HTTPS_PROXY="http://proxy.invalid:1",
        HTTP_PROXY="http://proxy.invalid:1",
    )
    with ScriptedModel([Answer("ok")]) as server, rollout_scope(Scope(Endpoint(server.base_url))):
        assert create_openai_compatible_model().invoke("Begin.").text == "ok"


@pytest.mark.parametrize(
    ("requested", "asked", "streams"),
    [(None, None, False), (None, True, True), (True, None, True), (False, True, False)],
)
def test_streaming_is_the_requests_then_the_authors(
    requested: bool | None, asked: bool | None, streams: bool
):
    """A model that is made in a rollout streams as its request says; else as its author says, else not."""
    with ScriptedModel([Answer("ok")]) as server:
        with rollout_scope(Scope(Endpoint(server.base_url), Recorder(), stream=requested)):
            assert create_openai_compatible_model(stream=asked).invoke("Begin.").text == "ok"
        assert server.calls[0].json["stream"] is streams


def test_a_caller_who_streams_the_graph_does_not_change_the_wire(play):
    """`stream_mode="messages"` and `.stream()` of the model leave `stream` as it was fixed."""

    async def handler() -> str:
        graph = create_agent(create_openai_compatible_model(), [])
        said = [part async for part, _ in graph.astream(_asked("One?"), stream_mode="messages")]
        said += list(create_openai_compatible_model().stream("Two?"))
        return "".join(part.text for part in said)

    played = play([Answer("one "), Answer("two")], handler)
    assert played.output == "one two"
    assert [call.json["stream"] for call in played.calls] == [False, False]


def test_a_streamed_call_asks_for_usage(play):
    """Which LangChain leaves out with a base url of one's own."""
    played = play([Answer("ok")], stream=True)
    [turn] = played.turns
    assert turn.stored.usage is not None
    assert played.calls[0].json["stream_options"] == {"include_usage": True}


def test_a_cached_answer_is_no_sample(play):
    """A process-wide cache of LangChain's is not asked."""
    set_llm_cache(InMemoryCache())
    try:
        model = create_openai_compatible_model()
        played = play([Answer("a"), Answer("b")], lambda: [model.invoke("Begin.").text for _ in range(2)])
    finally:
        set_llm_cache(None)
    assert played.output == ["a", "b"]


def test_outside_a_rollout_the_environments_endpoint_is_used():
    """The same model serves production, where nothing is recorded."""
    with ScriptedModel([Answer("ok")]) as server:
        os.environ.update(BASE_URL=server.base_url, MODEL_ID="prod", API_KEY="k-987654321")
        agent = create_agent(WHOLE, []).with_config(callbacks=[LangGraphRolloutCollector()])
        assert agent.invoke(_asked())["messages"][-1].text == "ok"
        assert server.calls[0].json["model"] == "prod"
        assert server.calls[0].header("authorization") == "Bearer k-987654321"


def test_without_an_endpoint_the_error_says_what_to_set():
    """Not a connection error to some default host."""
    with pytest.raises(Exception, match="set BASE_URL"):
        WHOLE.invoke("Begin.")


def test_a_hosted_model_is_bedrocks():
    """`provider_model_id` gives a ChatBedrockConverse, the sampling in its words."""
    model: Any = create_openai_compatible_model(
        provider_model_id="us.amazon.nova-lite-v1:0",
        max_completion_tokens=9,
        stop="X",
        stream=False,
        top_k=3,
        temperature=0.5,
    )
    assert isinstance(model, ChatBedrockConverse)
    assert model.model_id == "us.amazon.nova-lite-v1:0"
    assert (model.max_tokens, model.stop_sequences, model.temperature) == (9, ["X"], 0.5)
    assert model.disable_streaming is True
    assert model.additional_model_request_fields == {"top_k": 3}


def test_a_hosted_model_may_be_another_providers():
    """`provider:model`, as LangChain's own `init_chat_model` takes it."""
    model = create_openai_compatible_model(provider_model_id="openai:gpt-x", api_key="k", temperature=0.5)
    assert isinstance(model, ChatOpenAI)
    assert (model.model_name, model.temperature) == ("gpt-x", 0.5)


def test_a_missing_providers_package_is_named():
    """One sentence with what to install."""
    with pytest.raises(MissingDependencyError, match=r"pip install.*langchain-anthropic"):
        create_openai_compatible_model(provider_model_id="anthropic:claude-x")
    code = """if True:
        import sys
        sys.modules["langchain_aws"] = None
        from agentcore_rl_langgraph import create_openai_compatible_model
        try:
            create_openai_compatible_model(provider_model_id="amazon.nova-lite-v1:0")
        except Exception as error:
            print(type(error).__name__, error)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    assert done.stdout == (
        "MissingDependencyError LangChain's Bedrock model is not installed here. "
        'Install it with: pip install "agentcore-rl-langgraph[bedrock]"\n'
    )


@pytest.mark.parametrize("stream", [False, True])
def test_the_transport_alone_retries(play, stream: bool):
    """Two refusals and an answer are three HTTP attempts of one turn."""
    played = play([Status(429, retry_after=0), Drop(), Answer("ok")], stream=stream)
    assert played.output == "ok"
    [turn] = played.turns
    assert [(http.status, http.complete) for http in turn.stored.http] == [
        (429, False),
        (None, False),
        (200, True),
    ]
    assert played.agreement == (1, 0, 0, 0)
    assert played.recording.suspect == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [500, 400, 429])
def test_an_error_of_the_server_ends_the_agent(play, status: int, stream: bool):
    """One turn without an answer; nobody retries behind our back."""
    played = play([Status(status, message="no luck")], stream=stream, retries=0)
    assert "no luck" in str(played.error)
    [turn] = played.turns
    assert turn.answer is None
    assert [http.status for http in turn.stored.http] == [status]
    assert "no luck" in turn.stored.http[0].error
    assert played.agreement == (1, 0, 0, 0)
    assert played.recording.suspect == ["no_answer"]
    assert played.recording.last_call_failed


def test_a_cut_stream_keeps_what_came(play):
    """The agent fails; the part of the answer is in the record, marked; both witnesses say that it broke."""
    played = play([CutStream(Answer("one two three four"), after_chunks=3)], stream=True)
    assert played.error is not None
    [turn] = played.turns
    assert turn.answer is not None
    assert "one two three four".startswith(turn.answer["content"])
    assert played.recording.suspect == ["cut_answer"]
    assert played.agreement == (1, 0, 0, 0)


class Sum(BaseModel):
    total: int


# The SDK's own dump of a parsed answer.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_is_recorded(play, method: str):
    """The schema is on the wire, the answer in the record."""
    answers = {
        "json_schema": Answer('{"total": 3}'),
        "function_calling": Answer(tool_calls=[ToolCall("Sum", {"total": 3})]),
    }
    model = create_openai_compatible_model().with_structured_output(Sum, method=method)

    def handler() -> Any:
        with LangGraphRolloutCollector().listening():
            return model.invoke("1+2?")

    played = play([answers[method]], handler)
    assert played.output == Sum(total=3)
    assert ("response_format" in played.calls[0].json) == (method == "json_schema")
    assert played.agreement == (1, 0, 0, 0)
    assert played.recording.suspect == []


@pytest.mark.parametrize(("text", "reason"), [("nope", "stop"), ('{"total": 1', "length")])
def test_an_answer_that_does_not_parse_is_a_sample(play, text: str, reason: str):
    """The agent gets an exception and callbacks an error; both witnesses have the answer all the same."""
    model = create_openai_compatible_model().with_structured_output(Sum, method="json_schema")

    def handler() -> Any:
        with LangGraphRolloutCollector().listening():
            return model.invoke("1+2?")

    played = play([Answer(text, finish_reason=reason)], handler)
    assert played.error is not None
    [turn] = played.turns
    assert turn.answer == {"role": "assistant", "content": text}
    assert turn.stored.finish_reason == reason
    assert played.agreement == (1, 0, 0, 0)
    assert played.recording.suspect == []


def test_a_hundred_rollouts_share_two_global_models():
    """Half in threads and half on one loop, half streaming: labels, prompts and answers stay apart."""

    def script(number: int) -> list[Answer]:
        call = ToolCall("ask", {"question": f"{number}?"})
        return [
            Answer(f"I ask {number}.", tool_calls=[call]),
            Answer(f"inner {number}"),
            Answer(f"done {number} ✓"),
        ]

    def make(number: int) -> tuple[Recorder, Any, Scope]:
        """An agent with a sub-agent in its tool, which is called without a config."""
        recorder, model = Recorder(), STREAMED if number % 2 else WHOLE
        mark = f"[[conversation:{number}]]"
        inner = create_agent(model, [], name=f"inner-{number}", system_prompt=mark)

        def ask(question: str) -> str:
            return str(inner.invoke(_asked(question))["messages"][-1].text)

        async def aask(question: str) -> str:
            return str((await inner.ainvoke(_asked(question)))["messages"][-1].text)

        schema = {"type": "object", "properties": {"question": {"type": "string"}}}
        agent = adapter.build_agent(
            model,
            [Tool("ask", "Ask.", schema, ask if number < 75 else aask)],
            mark,
            collector=adapter.collector(),
            name=f"agent-{number}",
        )
        return recorder, agent, Scope(Endpoint(server.base_url, f"policy-{number}"), recorder)

    def in_thread(number: int) -> tuple[int, Recorder, str]:
        recorder, agent, scope = make(number)
        with rollout_scope(scope):
            return number, recorder, agent.invoke(_asked())["messages"][-1].text

    async def on_loop(number: int) -> tuple[int, Recorder, str]:
        recorder, agent, scope = make(number)
        with rollout_scope(scope):
            return number, recorder, await adapter.run_agent(agent, f"Begin {number}.")

    async def all_on_loop() -> list[tuple[int, Recorder, str]]:
        return await asyncio.gather(*(on_loop(number) for number in range(50, 100)))

    with ScriptedModel({str(number): script(number) for number in range(100)}) as server:
        with ThreadPoolExecutor(25) as pool:
            threads = [pool.submit(contextvars.Context().run, in_thread, number) for number in range(50)]
            ended = asyncio.run(all_on_loop()) + [thread.result() for thread in threads]
        served: dict[str | None, list[Any]] = {}
        for call in server.calls:
            assert call.json["model"] == f"policy-{call.conversation}"
            served.setdefault(call.conversation, []).append(call.json["messages"])
    assert len(ended) == 100
    for number, recorder, output in ended:
        assert output == f"done {number} ✓"
        recording = recorder.finish()
        assert recording.suspect == []
        assert recording.crosscheck.matched == 3
        paths = {path.agent: (path.parent, len(path.turns)) for path in recording.transcript.trajectories}
        assert paths == {
            f"agent-{number}": (None, 2),
            f"inner-{number}": (f"agent-{number}", 1),
        }
        turns = Turns(recording.transcript)
        assert sorted(map(str, (turn.prompt for turn in turns))) == sorted(map(str, served[str(number)]))
        [executed] = [execution for turn in turns for execution in turn.stored.executions]
        assert executed.arguments == {"question": f"{number}?"}


def test_a_call_from_a_raw_thread_belongs_to_the_only_rollout():
    """Threads started without the rollout's variables: the one rollout that runs, marked as inferred."""
    recorder = Recorder()
    with ScriptedModel([Answer("ok")]) as server, rollout_scope(Scope(Endpoint(server.base_url), recorder)):
        agent = adapter.build_agent(WHOLE, [], "", collector=adapter.collector())
        thread = threading.Thread(target=lambda: agent.invoke(_asked()))
        thread.start()
        thread.join()
    [turn] = Turns(recorder.transcript())
    assert turn.stored.scope == "inferred"
    assert recorder.finish().crosscheck.matched == 1


def _asked(text: str = "Begin.") -> dict[str, Any]:
    return {"messages": [("user", text)]}
