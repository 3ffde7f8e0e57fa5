"""Models that find their endpoint at each call, on real HTTP."""

import asyncio
import contextvars
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from crewai import Agent, Crew, Task

from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.rollout import Limits, StopReason, Turns
from agentcore_rl.testing import Answer, CutStream, Drop, ScriptedModel, Status, ToolCall
from agentcore_rl_crewai import CrewAIRolloutCollector, adapter, create_openai_compatible_model

# As users have them: made at import, shared by every rollout of the process.
WHOLE: Any = create_openai_compatible_model()
STREAMED: Any = create_openai_compatible_model(stream=True)


def agent(model: Any, **more: Any) -> Agent:
    """An agent as a user declares it."""
    return Agent(role="Solver", goal="Solve it.", backstory="You add.", llm=model, **more)


def test_sampling_reaches_the_wire():
    """OpenAI's parameters go as they are, others into the body, and the endpoint's win."""
    model = create_openai_compatible_model(
        temperature=0.7,
        max_tokens=50,
        stop=["X"],
        n=1,
        reasoning_effort="low",
        top_k=5,
        min_p=0.1,
        extra_body={"guided": True},
        seed=None,
    )
    recorder = Recorder()
    with ScriptedModel([Answer("okX")]) as server:
        endpoint = Endpoint(server.base_url, "policy-7", Secret("k-123456789"), {"temperature": 1.0})
        with rollout_scope(Scope(endpoint, recorder)):
            assert agent(model).kickoff("Begin.").raw == "okX"
        [call] = server.calls
    body = call.json
    assert body["model"] == "policy-7"
    assert body["temperature"] == 1.0
    assert (body["max_tokens"], body["stop"], body["n"]) == (50, ["X"], 1)
    assert (body["reasoning_effort"], body["top_k"], body["min_p"], body["guided"]) == ("low", 5, 0.1, True)
    assert not body.get("stream")
    assert "seed" not in body
    assert call.header("authorization") == "Bearer k-123456789"
    assert not [name for name, _ in call.headers if name.startswith("x-agentcore-rl")]
    [turn] = Turns(recorder.transcript())
    assert turn.stored.asked == {"temperature": 0.7}


@pytest.mark.parametrize("name", ["messages", "model", "tools"])
def test_what_is_no_sampling_is_refused(name: str):
    """Messages, tools and the model's id are not the model object's to fix."""
    with pytest.raises(ConfigurationError, match=f"^{name} cannot be fixed"):
        create_openai_compatible_model(**{name: "x"})


@pytest.mark.parametrize("label", ["", "zwölf", "two\nlines"])
def test_a_label_is_printable_ascii(label: str):
    """It travels in a header."""
    with pytest.raises(ConfigurationError, match="label"):
        create_openai_compatible_model(agent=label)


def test_timeouts_are_given_to_the_sdk_as_seconds():
    """The environment's by default, the author's if given, and no retries beside our transport's."""
    os.environ["AGENTCORE_RL_MODEL_TIMEOUT_S"] = "17"
    model: Any = create_openai_compatible_model()
    assert (model.timeout, model.max_retries) == (17.0, 0)
    assert create_openai_compatible_model(timeout=5).timeout == 5.0  # type: ignore[attr-defined]


def test_making_a_model_opens_no_clients():
    """CrewAI makes two for each model, 50 ms; ours share one pair."""
    started = time.process_time()
    for _ in range(20):
        create_openai_compatible_model()
    assert (time.process_time() - started) / 20 < 0.01


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
            assert agent(create_openai_compatible_model(stream=asked)).kickoff("Begin.").raw == "ok"
        assert server.calls[0].json.get("stream", False) is streams


def test_outside_a_rollout_the_environments_endpoint_is_used():
    """The same model serves production, where nothing is recorded."""
    with ScriptedModel([Answer("ok")]) as server:
        os.environ.update(BASE_URL=server.base_url, MODEL_ID="prod", API_KEY="k-987654321")
        with CrewAIRolloutCollector().listening():
            assert agent(WHOLE).kickoff("Begin.").raw == "ok"
        assert server.calls[0].json["model"] == "prod"
        assert server.calls[0].header("authorization") == "Bearer k-987654321"


def test_without_an_endpoint_the_error_says_what_to_set():
    """Not a connection error to some default host."""
    with pytest.raises(Exception, match="set BASE_URL"):
        agent(WHOLE).kickoff("Begin.")


@pytest.mark.parametrize("model_id", ["org/o1-distill", "repo1/step-10", "gpt-5", "claude-x", "gemini/x"])
def test_the_endpoints_model_id_does_not_matter_to_crewai(model_id: str):
    """Some names switch its tools off or choose another provider; it sees an alias."""
    with ScriptedModel([Answer("ok", expect={"model": model_id})]) as server:
        with rollout_scope(Scope(Endpoint(server.base_url, model_id), Recorder())):
            built = adapter.build_agent(WHOLE, [_add_tool()], "Be brief.")
            assert asyncio.run(adapter.run_agent(built, "Begin.")) == "ok"
        body = server.calls[0].json
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["tools"]


def test_long_prompts_and_tool_results_are_sent_as_they_are(play):
    """CrewAI takes an unknown model's window for 8,192 tokens and would summarise, or hide the result."""
    tool = _add_tool(answer="12345 " * 20_000)
    prompt = "Begin. " * 20_000

    def handler() -> Any:
        built = adapter.build_agent(WHOLE, [tool], "Be brief.", collector=adapter.collector())
        return adapter.run_agent(built, prompt)

    played = play([Answer(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), Answer("ok")], handler)
    first, second = played.turns
    assert first.prompt[1]["content"] == prompt
    assert second.prompt[3]["content"] == "12345 " * 20_000
    assert second.tools == first.tools
    assert played.agreement == (2, 0, 0, 0)


def test_a_model_is_copied_with_its_clients():
    """CrewAI copies agents and their models."""
    with ScriptedModel([Answer("ok")]) as server:
        os.environ["BASE_URL"] = server.base_url
        by = agent(WHOLE)
        crew = Crew(agents=[by], tasks=[Task(description="{x}", expected_output="Words.", agent=by)])
        [output] = crew.kickoff_for_each(inputs=[{"x": "Begin."}])
        assert output.raw == "ok"


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
@pytest.mark.parametrize("status", [500, 400, 429, 404])
def test_an_error_of_the_server_ends_the_agent(play, status: int, stream: bool):
    """One turn without an answer: CrewAI's own three tries, and its other API, are off."""
    played = play([Status(status, message="no luck")], stream=stream, retries=0)
    assert "no luck" in str(played.error)
    [turn] = played.turns
    assert turn.answer is None
    assert [http.status for http in turn.stored.http] == [status]
    assert "no luck" in turn.stored.http[0].error
    assert played.agreement == (1, 0, 0, 0)
    assert played.recording.suspect == ["no_answer"]
    assert played.recording.last_call_failed


@pytest.mark.parametrize("limits", [Limits(max_turns=1), Limits(max_tokens=1)])
def test_a_limit_ends_the_agent_at_once(play, limits: Limits):
    """The refusal is neither tried again nor taken for a prompt that is too long."""
    started = time.monotonic()
    played = play([Answer(tool_calls=[ToolCall("add", {"a": 1, "b": 2})])], limits=limits)
    assert played.error is not None
    assert played.recording.stop_reason in (StopReason.TURN_LIMIT, StopReason.TOKEN_LIMIT)
    assert len(played.turns) == 1
    assert time.monotonic() - started < 1


def test_asynchronous_calls_go_the_same_way(play):
    """`acall`, which CrewAI uses for summaries: retries, errors and the answer."""

    async def handler() -> Any:
        with CrewAIRolloutCollector().listening():
            return await create_openai_compatible_model().acall("Begin.")

    played = play([Status(429, retry_after=0), Answer("ok")], handler)
    assert played.output == "ok"
    assert played.agreement == (1, 0, 0, 0)
    failed = play([Status(429)], handler, retries=0)
    assert failed.error is not None
    assert failed.agreement == (1, 0, 0, 0)


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
        with rollout_scope(scope), agent.collector.listening():
            return number, recorder, str(agent.agent.kickoff(f"Begin {number}.").raw)

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


def _add_tool(answer: str | None = None) -> Any:
    from agentcore_rl.tools import Tool

    def add(a: int, b: int) -> str:
        """Add."""
        return answer or str(a + b)

    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    return Tool("add", "Add.", schema, add)
