"""Models that find their endpoint at each call."""

import asyncio
import contextvars
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import openai
import PIL.Image
import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import MultiModalMessage
from autogen_core import Image
from autogen_core.models import CreateResult, UserMessage

from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.exceptions import ConfigurationError, MissingDependencyError
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.rollout import Turns, Usage
from agentcore_rl.testing import Answer, CutStream, Drop, ScriptedModel, Status, ToolCall
from agentcore_rl_autogen import adapter, create_openai_compatible_model

# As users have them: made at import, shared by every rollout of the process.
WHOLE = create_openai_compatible_model()
STREAMED = create_openai_compatible_model(stream=True)


def test_sampling_reaches_the_wire():
    """OpenAI's parameters go as they are, others into the body, and the endpoint's win."""
    model = create_openai_compatible_model(
        temperature=0.7,
        max_tokens=50,
        stop=["X"],
        top_k=5,
        min_p=0.1,
        extra_body={"guided": True},
        extra_headers={"x-mine": "1"},
        extra_query={"q": "2"},
        seed=None,
    )
    recorder = Recorder()
    with ScriptedModel([Answer("ok")]) as server:
        endpoint = Endpoint(server.base_url, "policy-7", Secret("k-123456789"), {"temperature": 1.0})
        with rollout_scope(Scope(endpoint, recorder)):
            adapter_agent = adapter.build_agent(model, [], "")
            asyncio.run(adapter.run_agent(adapter_agent, "Begin."))
        [call] = server.calls
    body = call.json
    assert body["model"] == "policy-7"
    assert body["temperature"] == 1.0
    assert (body["max_tokens"], body["stop"], body["stream"]) == (50, ["X"], False)
    assert (body["top_k"], body["min_p"], body["guided"]) == (5, 0.1, True)
    assert "seed" not in body
    assert call.header("authorization") == "Bearer k-123456789"
    assert call.header("x-mine") == "1"
    assert call.path.endswith("?q=2")
    assert not [name for name, _ in call.headers if name.startswith("x-agentcore-rl")]
    [turn] = Turns(recorder.transcript())
    assert turn.stored.asked == {"temperature": 0.7}


@pytest.mark.parametrize("name", ["messages", "model", "tools"])
def test_what_is_no_sampling_is_refused(name: str):
    """Messages, tools and the model's id are not the model object's to fix."""
    with pytest.raises(ConfigurationError, match=f"^{name} cannot be fixed"):
        create_openai_compatible_model(**{name: "x"})


def test_what_autogen_cannot_read_is_refused():
    """It takes one answer per call."""
    with pytest.raises(ConfigurationError, match="does not take n:"):
        create_openai_compatible_model(n=2)


@pytest.mark.parametrize("label", ["", "zwölf", "two\nlines"])
def test_a_label_is_printable_ascii(label: str):
    """It travels in a header."""
    with pytest.raises(ConfigurationError, match="label"):
        create_openai_compatible_model(agent=label)


def test_timeouts_are_given_to_the_sdk_as_seconds():
    """The environment's by default, the author's if given, and no retries beside our transport's."""
    os.environ["AGENTCORE_RL_MODEL_TIMEOUT_S"] = "17"
    sdk = create_openai_compatible_model()._client  # type: ignore[attr-defined]
    assert (sdk.timeout, sdk.max_retries) == (17.0, 0)
    assert create_openai_compatible_model(timeout=5)._client.timeout == 5.0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("requested", "asked", "streams"),
    [(None, None, False), (None, True, True), (True, None, True), (False, True, False)],
)
def test_streaming_is_the_requests_then_the_authors(
    requested: bool | None, asked: bool | None, streams: bool
):
    """The agent's code is the same: whether it is streamed on the wire is the client's to decide."""
    with ScriptedModel([Answer("ok")]) as server:
        with rollout_scope(Scope(Endpoint(server.base_url), Recorder(), stream=requested)):
            assert run_plain(create_openai_compatible_model(stream=asked)) == "ok"
        assert server.calls[0].json["stream"] is streams
        assert ("stream_options" in server.calls[0].json) is streams


def test_an_agent_that_streams_always_streams():
    """`model_client_stream=True` is the agent's own wish; `stream_options` are the author's if given."""

    async def parts(model: Any) -> list[Any]:
        return [part async for part in model.create_stream([UserMessage(content="Begin.", source="user")])]

    with ScriptedModel([Answer("one two"), Answer("three")]) as server:
        with rollout_scope(Scope(Endpoint(server.base_url), Recorder(), stream=False)):
            *texts, result = asyncio.run(parts(WHOLE))
            assert "".join(texts) == "one two"
            assert isinstance(result, CreateResult)
            asyncio.run(parts(create_openai_compatible_model(stream_options={"include_usage": False})))
        assert server.calls[0].json["stream_options"] == {"include_usage": True}
        assert server.calls[1].json["stream_options"] == {"include_usage": False}


def test_images_reach_the_wire():
    """AutoGen takes them out of prompts, silently, for a client that says it cannot see."""
    image = Image.from_pil(PIL.Image.new("RGB", (1, 1)))
    with ScriptedModel([Answer("ok")]) as server:
        with rollout_scope(Scope(Endpoint(server.base_url), Recorder())):
            message = MultiModalMessage(content=["look", image], source="user")
            asyncio.run(AssistantAgent("solver", WHOLE).run(task=message))
        [_, user] = server.calls[0].json["messages"]
    assert [part["type"] for part in user["content"]] == ["text", "image_url"]


def test_outside_a_rollout_the_environments_endpoint_is_used():
    """The same model serves production, where nothing is recorded."""
    with ScriptedModel([Answer("ok")]) as server:
        os.environ.update(BASE_URL=server.base_url, MODEL_ID="prod", API_KEY="k-987654321")
        assert run_plain(WHOLE) == "ok"
        assert server.calls[0].json["model"] == "prod"
        assert server.calls[0].header("authorization") == "Bearer k-987654321"


def test_without_an_endpoint_the_error_says_what_to_set():
    """Not a connection error to some default host."""
    with pytest.raises(Exception, match="set BASE_URL"):
        run_plain(WHOLE)


def test_a_hosted_model_needs_an_extra():
    """AutoGen reaches Anthropic's models on Bedrock, with their SDK; others not at all."""
    try:
        import anthropic  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match=r'pip install "agentcore-rl-autogen\[bedrock\]"'):
            create_openai_compatible_model(provider_model_id="us.anthropic.claude-sonnet-4-v1:0")
    with pytest.raises(ConfigurationError, match=r"'amazon\.nova-lite-v1:0' is none"):
        create_openai_compatible_model(provider_model_id="amazon.nova-lite-v1:0")


def test_a_hosted_models_calls_are_recorded_as_autogen_has_them(play, monkeypatch):
    """They do not pass our transport: messages, tools and usage are AutoGen's, and marked so."""
    pytest.importorskip("anthropic")
    answers: list[dict[str, Any]] = [
        {"stop_reason": "tool_use", "content": [{"type": "text", "text": "Let me."}, {"type": "tool_use"}]},
        {"stop_reason": "end_turn", "content": [{"type": "text", "text": "3"}]},
    ]
    answers[0]["content"][1] |= {"id": "t1", "name": "add", "input": {"a": 1, "b": 2}}

    class Bedrock(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            usage = {"input_tokens": 3, "output_tokens": 2}
            body = {"id": "m", "type": "message", "role": "assistant", "model": "x", "usage": usage}
            content = json.dumps({**body, **answers.pop(0)}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Bedrock)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("ANTHROPIC_BEDROCK_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    name = "us.anthropic.claude-x"
    try:
        played = play([], lambda: adapter.run_agent(one_agent(provider_model_id=name, stop="X"), "Begin."))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert played.output == "3"
    first, second = played.turns
    assert [message["role"] for message in second.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert first.answer["content"] == "Let me."
    assert [tool["function"]["name"] for tool in first.tools] == ["add"]
    stored = first.stored
    assert (stored.source, stored.model, stored.finish_reason) == ("callbacks", name, "tool_calls")
    assert stored.usage == Usage(3, 2)
    assert [run.outcome for run in stored.executions] == ["succeeded"]
    assert played.agreement == (0, 0, 2, 0)
    assert played.recording.suspect == ["callback_only"]


def test_the_transport_alone_retries(play):
    """Two refusals and an answer are three HTTP attempts of one turn."""
    played = play([Status(429, retry_after=0), Drop(), Answer("ok")])
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
    """One turn without an answer; the agent sees the SDK's error."""
    played = play([Status(status, message="no luck")], stream=stream, retries=0)
    assert "no luck" in str(played.error)
    assert isinstance(played.error, openai.APIStatusError)
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


def test_a_hundred_rollouts_share_two_global_models():
    """Half in threads and half on one loop, half streaming: labels, prompts and answers stay apart."""

    def script(number: int) -> list[Answer]:
        call = ToolCall("add", {"a": number, "b": 1})
        return [Answer(f"I add {number}.", tool_calls=[call]), Answer(f"done {number} ✓")]

    def make(number: int) -> tuple[Recorder, Any, Scope]:
        recorder = Recorder()
        agent = adapter.build_agent(
            STREAMED if number % 2 else WHOLE,
            [_add_tool()],
            f"[[conversation:{number}]]",
            collector=adapter.collector(),
            name=f"agent-{number}",
        )
        return recorder, agent, Scope(Endpoint(server.base_url, f"policy-{number}"), recorder)

    def in_thread(number: int) -> tuple[int, Recorder, str]:
        recorder, agent, scope = make(number)
        with rollout_scope(scope):
            return number, recorder, asyncio.run(adapter.run_agent(agent, f"Begin {number}."))

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
        assert recording.crosscheck.matched == 2
        [path] = recording.transcript.trajectories
        assert path.agent == f"agent-{number}"
        turns = Turns(recording.transcript)
        assert [turn.prompt for turn in turns] == served[str(number)]
        assert turns[1].answer["content"] == f"done {number} ✓"
        assert [run.arguments for run in turns[0].stored.executions] == [{"a": number, "b": 1}]


def test_a_call_from_a_raw_thread_belongs_to_the_only_rollout():
    """Threads started without the rollout's variables: the one rollout that runs, marked as inferred."""
    recorder = Recorder()
    with ScriptedModel([Answer("ok")]) as server, rollout_scope(Scope(Endpoint(server.base_url), recorder)):
        agent = adapter.build_agent(WHOLE, [], "", collector=adapter.collector())
        thread = threading.Thread(target=lambda: asyncio.run(adapter.run_agent(agent, "Begin.")))
        thread.start()
        thread.join()
    [turn] = Turns(recorder.transcript())
    assert turn.stored.scope == "inferred"
    assert recorder.finish().crosscheck.matched == 1


def one_agent(**sampling: Any) -> Any:
    """An agent with a tool and a collector, made by the adapter."""
    model = adapter.create_openai_compatible_model(**sampling)
    return adapter.build_agent(model, [_add_tool()], "Be brief.", collector=adapter.collector())


def run_plain(model: Any) -> str:
    """An agent as users make it, asked once."""
    return asyncio.run(AssistantAgent("solver", model).run(task="Begin.")).messages[-1].to_text()


def _add_tool() -> Any:
    from agentcore_rl.tools import Tool

    def add(a: int, b: int) -> str:
        """Add."""
        return str(a + b)

    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    return Tool("add", "Add.", schema, add)
