"""The contract of a framework's adapter as tests: subclass it, name your adapter, run pytest.

    class TestMyFramework(AdapterConformance):
        name = "myframework"

A server that plays scripts is the oracle: what it was asked and what it said is compared with what
the record has, with what the agent returned, and with what the adapter declares.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest

from agentcore_rl.adapter import ADAPTERS, AgentBuilder, Deviations, FrameworkAdapter
from agentcore_rl.endpoint import Endpoint
from agentcore_rl.messages import Message
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope, scoped
from agentcore_rl.rollout import Limits, StopReason
from agentcore_rl.testing.adapter_conformance_comparison import differences, recorded_conversation, script_for
from agentcore_rl.testing.adapter_conformance_deviations import HiddenCall, measure_deviations
from agentcore_rl.testing.adapter_conformance_player import (
    TOOLS,
    Played,
    Player,
    Way,
    record_in_app,
    said,
)
from agentcore_rl.testing.adapter_conformance_process import Seen, look
from agentcore_rl.testing.script import (
    Answer,
    CutBody,
    CutStream,
    Drop,
    Line,
    Stall,
    Status,
    Timeout,
    ToolCall,
)
from agentcore_rl.testing.scripted_model import ScriptedModel
from agentcore_rl.testing.served_call import ServedCall
from agentcore_rl.tools import Tool

__all__ = ["AdapterConformance"]

ADD = ToolCall("add", {"a": 1, "b": 2}, id="call_add")
BASIC = (Answer(tool_calls=[ADD]), Answer("3"))

each_way = pytest.mark.parametrize("way", ["async", "sync", "app"])
streaming = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class AdapterConformance:
    """What every adapter does, with the framework that is installed."""

    name: str = ""
    """Name of the adapter's entry point."""

    adapter: Any = None
    """The adapter itself, where it has no entry point."""

    place: str = ""
    """`module:attribute` of an adapter without an entry point, for tests that need a new process."""

    hidden_call: HiddenCall | None = None
    """Where the adapter declares `hidden_calls`: given an agent, makes the framework call the model where
    no callback sees it, by the framework's own means. The model answers `{}` to everything."""

    run_sync: Callable[[Any, str], str] | None = None
    """The framework's own synchronous call of an agent, as a static method; None where it has none."""

    rollouts = 100
    """How many rollouts run at once, in the test of that."""

    exit_s = 2.0
    """Seconds for which a process may wait before it ends."""

    def _adapter(self) -> Any:
        return ADAPTERS.require(self.name) if self.adapter is None else self.adapter

    def _player(self) -> Player:
        return Player(self._adapter(), self.run_sync)

    def _play(self, script: Sequence[Line] | Any, *args: Any, **options: Any) -> Played:
        """Play a script; what holds for all of them is checked here."""
        played = asyncio.run(self._player().play(script, *args, **options))
        if played.broken and played.error is not None:
            raise AssertionError("; ".join(played.broken)) from played.error
        assert played.broken == [], "the script is played as written: no line left, no call too many"
        assert played.labels == set(), "no label of ours reaches the server"
        return played

    # ---- what it is

    def test_it_has_both_protocols(self) -> None:
        """It is an adapter and a builder of agents, found under its own name, with plain fields."""
        adapter = self._adapter()
        assert isinstance(adapter, FrameworkAdapter), "it is a FrameworkAdapter"
        assert isinstance(adapter, AgentBuilder), "it is an AgentBuilder"
        assert adapter.name == (self.name or adapter.name), "its name is its entry point's"
        assert isinstance(adapter.deviations, Deviations), "its deviations are core's Deviations"

    def test_loading_it_imports_no_framework(self, tmp_path: Path) -> None:
        """What must be set before the framework is imported can be read without importing it."""
        seen = self._look("loading", tmp_path)
        assert seen.report.get("brought") == [], f"nothing but our own packages is imported: {seen}"

    def test_a_missing_framework_is_one_sentence(self, tmp_path: Path) -> None:
        """Whatever needs the framework says that it is missing, and the command that installs it."""
        told = self._look("missing", tmp_path).report.get("sentences", {})
        silent = [verb for verb in ("create_openai_compatible_model", "build_agent") if not told.get(verb)]
        assert silent == [], "a model and an agent need the framework"
        for verb, sentence in told.items():
            one = sentence is None or ("\n" not in sentence and 'Install it with: pip install "' in sentence)
            assert one, f"{verb} says how to install the framework: {sentence!r}"

    def test_it_talks_to_nobody_else(self, tmp_path: Path) -> None:
        """A new process with a terminal: no other socket, no question, no print, a quick exit."""
        with ScriptedModel(BASIC) as model:
            seen = self._look("talking", tmp_path, model.base_url)
        assert seen.report.get("answer") == "3", f"the agent answers in a new process: {seen}"
        assert seen.report["strangers"] == [], "no socket but the endpoint's is opened"
        assert seen.report["asked"] == [], "nobody is asked at the terminal"
        assert seen.printed == "", "nothing is printed"
        assert seen.exit_s < self.exit_s, "the process ends soon"

    def _look(self, what: str, place: Path, *further: str) -> Seen:
        return look(what, self.place or self.name, place, *further)

    # ---- its deviations

    @pytest.mark.parametrize("deviation", [field.name for field in dataclasses.fields(Deviations)])
    def test_a_deviation_is_declared_iff_observed(self, deviation: str) -> None:
        """Each field has the value that this very release of the framework shows."""
        observed = getattr(self._measured(), deviation)
        declared = getattr(self._adapter().deviations, deviation)
        assert declared == observed, f"{deviation} is declared as it is observed"

    def _measured(self) -> Deviations:
        """Measured once for a class of tests."""
        kept: Deviations | None = type(self).__dict__.get("_kept")
        if kept is None:
            hidden_call = type(self).hidden_call
            kept = asyncio.run(measure_deviations(self._adapter(), hidden_call=hidden_call))
            type(self)._kept = kept  # type: ignore[attr-defined]
        return kept

    # ---- the record is the wire

    @each_way
    @streaming
    def test_the_record_is_the_wire(self, way: Way, stream: bool) -> None:
        """Prompts byte for byte, answers, tools, executions: as the server saw and said them."""
        played = self._play(BASIC, way=way, stream=stream)
        assert played.answer == "3", "the agent's answer is the model's last"
        assert played.recorded == played.sent, "each prompt is recorded byte for byte"
        assert [turn.tools for turn in played.turns] == [
            call.json["tools"] for call in played.calls if call.json is not None
        ], "the tools on offer are recorded"
        assert [turn.answer for turn in played.turns] == [said(line) for line in BASIC], (
            "each answer is recorded as the script has it"
        )
        assert [call.streamed for call in played.calls] == [stream, stream], "answers are streamed if asked"
        assert played.agents == {"main": (None, 2)}, "both calls are the agent's"
        assert played.agreement == (2, 0, 0, 0), "callbacks saw what the wire saw"
        assert played.recording.suspect == [], "nothing is suspect"
        done = [(run.call_id, run.name, run.arguments, run.outcome, run.error) for run in played.executions]
        assert done == [("call_add", "add", {"a": 1, "b": 2}, "succeeded", None)], (
            "the tool's run is recorded"
        )

    @pytest.mark.parametrize("way", ["async", "sync"])
    def test_an_app_stores_the_record(self, way: Way, tmp_path: Path) -> None:
        """A rollout entrypoint behind AgentCore's API, sync or async: the record is the wire as well."""
        player = self._player()

        async def awaited(payload: Any) -> str:
            return await player.ask(player.build(), payload["prompt"])

        def called(payload: Any) -> str:
            return asyncio.run(player.ask(player.build(), payload["prompt"], way="sync"))

        with ScriptedModel(BASIC) as model:
            request = {"exp_id": "run", "input_id": "task.0", "base_url": model.base_url, "stream": True}
            handler = awaited if way == "async" else called
            rollout = asyncio.run(record_in_app(handler, request, tmp_path))
            calls = model.calls
        assert (rollout.output, rollout.failure) == ("3", None), "the handler's answer is recorded"
        assert [turn.prompt for turn in rollout.turns] == [(call.json or {})["messages"] for call in calls], (
            "the stored prompts are the wire's"
        )
        assert [call.streamed for call in calls] == [True, True], "the request decides whether to stream"
        assert (rollout.crosscheck.matched, list(rollout.suspect)) == (2, []), "callbacks saw both calls"

    @streaming
    def test_the_conversation_is_the_scripts(self, stream: bool) -> None:
        """Odd texts, reasoning, parallel calls, a raising tool: sampled, recorded and sent back alike."""
        deviations = self._adapter().deviations
        script = script_for(deviations)
        played = self._play(script, stream=stream)
        assert [_whole(turn.answer) for turn in played.turns] == [_whole(said(line)) for line in script], (
            "each answer is recorded as it was sampled"
        )
        odd = [
            difference
            for difference in differences(recorded_conversation(played), deviations, script)
            if difference.deviation is None
        ]
        assert odd == [], "prompts differ from the script only as declared"
        assert [turn.stored.parent for turn in played.turns] == [None, *range(len(script) - 1)], (
            "each turn continues the one before"
        )
        assert played.recording.suspect == [], "no turn forks, none is hidden or differs"

    @streaming
    @pytest.mark.parametrize("content", ["", None], ids=["empty", "null"])
    def test_an_empty_answer_is_an_answer(self, content: str | None, stream: bool) -> None:
        """The agent returns it as it is, or ends with an error if declared; nobody asks again."""
        played = self._play([Answer(content)], stream=stream)
        raises = self._adapter().deviations.empty_raises
        assert (played.error is not None) == raises, "an empty answer raises as declared"
        assert played.answer == (None if raises else ""), "it is an empty text"
        assert played.agreement == (1, 0, 0, 0), "callbacks saw it"

    @streaming
    def test_tool_calls_at_once(self, stream: bool) -> None:
        """Parallel calls are answered in their order, one that raises and one of no tool included."""
        raising = [ToolCall("fail", {"text": "kaputt"}, id="call_b")]
        answered = self._adapter().deviations.tool_exception == "answered"
        calls = [
            ToolCall("echo", {"text": "one"}, id="call_a"),
            *(raising if answered else []),
            ToolCall("nosuch", {"x": "ß"}, id="call_c"),
            ToolCall("echo", {"text": "two"}, id="call_d"),
        ]
        played = self._play([Answer("At once.", tool_calls=calls), Answer("so be it")], stream=stream)
        told = [message for message in played.turns[1].prompt if message["role"] == "tool"]
        assert [message["tool_call_id"] for message in told] == [call.id for call in calls], (
            "each call is answered, in the order of the calls"
        )
        assert [message["content"] for message in (told[0], told[-1])] == ["one", "two"], (
            "a tool's answer stands behind its own call"
        )
        outcomes = {run.call_id: run.outcome for run in played.executions}
        expected = {
            "call_a": "succeeded",
            "call_b": "failed",
            "call_c": "unknown_tool",
            "call_d": "succeeded",
        }
        assert outcomes == {call.id: expected[str(call.id)] for call in calls}, (
            "each run's outcome is recorded"
        )
        errors = [run.error for run in played.executions if run.outcome == "failed"]
        assert all("kaputt" in str(error) for error in errors), "a failed run has its error"
        assert played.answer == "so be it", "the agent goes on"

    @streaming
    def test_what_was_sampled_is_kept(self, stream: bool) -> None:
        """Usage, finish reason, token ids and logprobs are the script's."""
        line = Answer(
            "two",
            finish_reason="stop",
            usage={"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
            token_ids=[7, 300, 9],
            prompt_token_ids=[1, 2, 3, 4, 5],
            logprobs=[-0.5, -0.25, -2.0],
        )
        asked = {"extra_body": {"return_token_ids": True, "logprobs": True}}
        played = self._play([line], stream=stream, endpoint=asked)
        [turn] = played.turns
        tokens, usage = turn.stored.tokens, turn.stored.usage
        assert tokens is not None, "the server's token ids are kept"
        assert (turn.prompt_ids, turn.answer_ids) == ([1, 2, 3, 4, 5], [7, 300, 9]), "they are the script's"
        assert list(tokens.logprobs or ()) == [-0.5, -0.25, -2.0], "logprobs are the script's"
        assert usage is not None, "usage is kept"
        assert (usage.prompt_tokens, usage.completion_tokens) == (5, 3), "usage is the script's"
        assert turn.stored.finish_reason == "stop", "so is the finish reason"

    def test_sampling_reaches_the_wire(self) -> None:
        """Under its own names, also what the OpenAI API does not know; the endpoint's own wins."""
        asked = {"temperature": 0.25, "top_p": 0.5, "seed": 7, "max_tokens": 99, "stop": ["X"], "top_k": 3}
        given = {"sampling": {"temperature": 0.75}}
        played = self._play([Answer("ok")], endpoint=given, **asked)
        body = played.calls[0].json or {}
        assert {name: body.get(name) for name in asked} == {**asked, "temperature": 0.75}, (
            "sampling is sent as asked for"
        )
        assert body["model"] == "policy-7", "the model is the endpoint's"
        assert dict(played.turns[0].stored.asked) == {"temperature": 0.25}, "what lost is recorded"

    # ---- when the server fails

    @streaming
    def test_the_transport_alone_retries(self, stream: bool) -> None:
        """What was refused or lost before its first byte is tried again, as attempts of one turn."""
        script = [Status(429, retry_after=0), Drop(), Answer("ok")]
        played = self._play(script, stream=stream)
        assert played.answer == "ok", "the agent hears nothing of it"
        assert _attempts(played) == [[(429, False), (None, False), (200, True)]], "each attempt is recorded"
        assert played.agreement == (1, 0, 0, 0), "callbacks saw one call"

    @streaming
    @pytest.mark.parametrize("status", [400, 429, 500])
    def test_an_error_of_the_server_ends_the_agent(self, status: int, stream: bool) -> None:
        """Nothing above the transport asks again."""
        played = self._play([Status(status, message="no luck")], stream=stream, retries=0)
        assert played.error is not None, "the error reaches whoever runs the agent"
        assert _attempts(played) == [[(status, False)]], "one turn with one attempt is recorded"
        assert played.recording.suspect == ["no_answer"], "the turn is known to have no answer"
        assert played.agreement == (1, 0, 0, 0), "callbacks saw the call end without an answer"

    @streaming
    def test_a_silent_server_is_given_up(self, stream: bool) -> None:
        """After the model's timeout, once."""
        started = time.monotonic()
        played = self._play([Timeout(20)], stream=stream, timeout=0.3)
        assert played.error is not None, "the timeout reaches whoever runs the agent"
        assert time.monotonic() - started < 10, "the model's timeout counts"
        assert _attempts(played) == [[(None, False)]], "the attempt is recorded, and is the only one"

    @streaming
    def test_a_cut_answer_is_marked(self, stream: bool) -> None:
        """What was sampled is not sampled again: the agent ends, the record has what came."""
        answer = Answer("one two three four")
        cut = CutStream(answer, after_chunks=3) if stream else CutBody(answer, after_bytes=20)
        played = self._play([cut], stream=stream)
        assert played.error is not None, "the cut reaches whoever runs the agent"
        [turn] = played.turns
        assert turn.stored.suspect == ["cut_answer" if stream else "no_answer"], "the turn is marked"
        came = str((turn.answer or {}).get("content") or "")
        assert bool(came) == stream, "what came of a stream is kept"
        assert played.agreement == (1, 0, 0, 0), "callbacks saw the call break off"

    @streaming
    def test_a_cancelled_run_ends(self, stream: bool) -> None:
        """Whoever cancels an agent waits for nothing; the call that was under way is in the record."""
        took: list[float] = []
        asked: list[Callable[[], object]] = []

        def line(call: ServedCall) -> Line:
            for tell in asked:
                tell()
            return Stall(10, Answer("late"))

        async def run() -> None:
            loop, arrived = asyncio.get_running_loop(), asyncio.Event()
            asked.append(lambda: loop.call_soon_threadsafe(arrived.set))
            player = self._player()
            task = asyncio.ensure_future(player.ask(player.build()))
            async with asyncio.timeout(10):
                await arrived.wait()
            started = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            took.append(time.monotonic() - started)

        played = self._play(line, run, stream=stream)
        assert played.error is None, "the agent is cancelled"
        assert max(took) < 2, "at once"
        assert [turn.answer for turn in played.turns] == [None], "the call is recorded, without an answer"
        assert len(played.calls) == 1, "nothing more is sent"

    def test_a_refused_call_is_refused_once(self) -> None:
        """At a limit the next call is not sent; nothing above the transport tries it again."""
        played = self._play([BASIC[0]], limits=Limits(max_turns=1))
        assert played.recording.stop_reason is StopReason.TURN_LIMIT, "the limit is reached"
        assert dict(played.recording.counts) == {"refused_calls": 1}, "one call is refused"
        assert played.agreement == (1, 0, 0, 0), "callbacks count no call that was not sent"

    # ---- whose call it is

    @each_way
    def test_agents_of_one_model_are_told_apart(self, way: Way) -> None:
        """Two agents share a model and a collector, and run at once: each call is its own agent's."""
        player = self._player()

        async def run() -> None:
            model, collector = player.adapter.create_openai_compatible_model(), player.adapter.collector()
            agents = [
                player.build(model=model, collector=collector, name=name, instructions=name)
                for name in ("planner", "solver")
            ]
            await asyncio.gather(*(player.ask(agent, way=way) for agent in agents))

        script = dict.fromkeys(("planner", "solver"), BASIC)
        played = self._play(script, run, way=way, key=_instructions)
        assert played.agents == {"planner": (None, 2), "solver": (None, 2)}, "each agent has its own turns"
        assert {(turn.stored.agent, turn.prompt[0]["content"]) for turn in played.turns} == {
            ("planner", "planner"),
            ("solver", "solver"),
        }, "no call has another's label"
        assert played.recording.suspect == [], "nothing is suspect"

    def test_a_models_label_wins(self) -> None:
        """A label that was given to the model names its calls, whatever the agent is called."""
        player = self._player()

        async def run() -> None:
            await player.ask(player.build(agent="critic", name="somebody"))

        assert set(self._play([Answer("ok")], run).agents) == {"critic"}, "the model's label wins"

    @streaming
    @pytest.mark.parametrize("inside", ["async", "sync"])
    def test_an_agent_in_a_tool_has_a_caller(self, inside: Way, stream: bool) -> None:
        """An agent that runs in another's tool, awaited or called: each call is its own."""
        player = self._player()

        async def ask(text: str) -> str:
            return await player.ask(player.build(name="expert", instructions="expert"), text)

        def call(text: str) -> str:
            inner = player.build(name="expert", instructions="expert")
            return str(asyncio.run(player.ask(inner, text, way="sync")))

        tool = dataclasses.replace(TOOLS[1], name="ask", function=ask if inside == "async" else call)

        async def run() -> Any:
            return await player.ask(player.build(tools=[tool], instructions="main"))

        script = {
            "main": [Answer(tool_calls=[ToolCall("ask", {"text": "1+2?"}, id="call_ask")]), Answer("so 3")],
            "expert": BASIC,
        }
        played = self._play(script, run, stream=stream, key=_instructions)
        assert played.answer == "so 3", "the tool's answer comes back"
        assert played.agents == {"main": (None, 2), "expert": ("main", 2)}, "the inner agent has a caller"
        assert played.recording.suspect == [], "no call is hidden, lost or inferred"

    # ---- many at once, none at all

    def test_many_rollouts_at_once_stay_apart(self) -> None:
        """One model of each kind, made outside of any rollout, serves them all, on a loop and in threads."""
        player, count = self._player(), self.rollouts
        models = [player.adapter.create_openai_compatible_model(stream=stream) for stream in (False, True)]

        def script(number: int) -> list[Answer]:
            call = ToolCall("add", {"a": number, "b": 1}, id=f"call_{number}")
            return [Answer(tool_calls=[call]), Answer(f"done {number} ✓")]

        async def rollout(number: int, way: Way) -> tuple[int, Recorder, str]:
            recorder = Recorder()
            with rollout_scope(Scope(Endpoint(server.base_url, f"policy-{number}"), recorder)):
                agent = player.build(
                    model=models[number % 2],
                    name=f"agent-{number}",
                    instructions=f"[[conversation:{number}]]",
                )
                return number, recorder, await player.ask(agent, f"Begin {number}.", way=way)

        async def on_one_loop() -> list[tuple[int, Recorder, str]]:
            return await asyncio.gather(*(rollout(number, "async") for number in range(count // 2, count)))

        def in_thread(number: int) -> tuple[int, Recorder, str]:
            return asyncio.run(rollout(number, "sync"))

        with ScriptedModel({str(number): script(number) for number in range(count)}) as server:
            with ThreadPoolExecutor(25) as pool:
                threads = [pool.submit(Context().run, in_thread, number) for number in range(count // 2)]
                ended = asyncio.run(on_one_loop()) + [thread.result() for thread in threads]
            calls = server.calls
        seen: list[tuple[Any, ...]] = []
        for number, recorder, answer in ended:
            recording = recorder.finish()
            own = [call for call in calls if call.conversation == str(number)]
            played = Played(answer, None, recording, own, [])
            runs = [run.arguments for run in played.executions]
            assert played.recorded == played.sent, "each rollout has its own prompts"
            assert {call.json["model"] for call in own if call.json} == {f"policy-{number}"}, (
                "each call goes to its own rollout's endpoint"
            )
            assert played.answer == f"done {number} ✓", "each agent has its own answer"
            seen.append((played.agents, played.agreement, recording.suspect, runs))
        assert seen == [
            ({f"agent-{number}": (None, 2)}, (2, 0, 0, 0), [], [{"a": number, "b": 1}])
            for number, _, _ in ended
        ], "no call is mislabelled, none lost, none hidden"
        leftover = [weakref.ref(recorder) for _, recorder, _ in ended]
        del ended, recorder, threads
        gc.collect()
        assert [recorder for recorder in leftover if recorder() is not None] == [], "nothing keeps a rollout"

    def test_an_agent_starts_afresh(self) -> None:
        """What an earlier agent said is not in a later one's prompt."""
        player = self._player()

        async def run() -> None:
            model = player.adapter.create_openai_compatible_model()
            for _ in range(2):
                await player.ask(player.build(model=model))

        played = self._play([Answer("one"), Answer("two")], run)
        assert [len(prompt) for prompt in played.sent] == [2, 2], "instructions and prompt, nothing else"

    def test_the_collector_has_the_turns(self) -> None:
        """In a rollout it gives the turns so far as full histories; in a plain request none."""
        player = self._player()
        collected: list[Any] = []

        async def run() -> None:
            collector = player.adapter.collector()
            await player.ask(player.build(collector=collector))
            collected.extend(collector.get_rollout_data())

        played = self._play(BASIC, run)
        histories = [turn["formatted_request"]["messages"] for turn in collected]
        assert histories == [turn.messages for turn in played.turns], "the collector gives full histories"
        with ScriptedModel([Answer("ok")]) as server, scoped(Scope(Endpoint(server.base_url))):
            collector = player.adapter.collector()
            answer = asyncio.run(player.ask(player.build(collector=collector)))
            kept = list(collector.get_rollout_data())
        assert (answer, kept) == ("ok", []), "outside of a rollout the agent works and nothing is collected"

    # ---- the other verbs

    def test_tools_can_be_read_back(self) -> None:
        """An agent's tools are those that it was given, and those that the model is offered."""
        nested = {
            "type": "object",
            "properties": {
                "city": {"type": "string", "enum": ["Zürich", "Bern"], "description": "Which city."},
                "days": {"type": "array", "items": {"type": "integer"}, "description": "Which days."},
            },
            "required": ["city", "days"],
        }
        given = [*TOOLS[:1], Tool("weather_now", "The weather – 天気.", nested, lambda city, days: "12")]
        player = self._player()
        read: list[Tool] = []

        async def run() -> None:
            agent = player.build(tools=given)
            read.extend(player.adapter.extract_tools(agent))
            await player.ask(agent)

        played = self._play([Answer("ok")], run)
        assert [(tool.name, tool.description) for tool in read] == [
            (tool.name, tool.description) for tool in given
        ], "names and descriptions come back"
        assert all(_has(back.parameters, tool.parameters) for back, tool in zip(read, given, strict=True)), (
            "schemas come back, with nothing taken away"
        )
        offered = [Tool.from_openai(declared) for declared in played.turns[0].tools]
        assert offered == read, "they are what the model is offered"

    @pytest.mark.parametrize("native", [object(), [object()], 17], ids=["object", "list", "number"])
    def test_an_unknown_message_is_refused(self, native: Any) -> None:
        """What is no message of the framework raises TypeError; nothing is passed over in silence."""
        with pytest.raises(TypeError):
            self._adapter().to_openai_messages(native)

    @pytest.mark.parametrize("prompt", [[{"text": "hi"}], None, b"hi"], ids=["blocks", "none", "bytes"])
    def test_a_prompt_is_a_string(self, prompt: Any) -> None:
        """Anything else is refused before the model is asked: content blocks could run a tool without it."""
        player = self._player()

        async def run() -> None:
            with pytest.raises(TypeError):
                await player.adapter.run_agent(player.build(), prompt)

        assert self._play([], run).error is None, "it raises TypeError"

    def test_a_tool_without_a_function_is_refused(self) -> None:
        """A declaration alone is for reading."""
        with pytest.raises(TypeError):
            self._player().build(tools=[Tool("add")])


def _instructions(call: ServedCall) -> str | None:
    """The conversation that a call belongs to: its system prompt."""
    messages = (call.json or {}).get("messages") or [{}]
    content = messages[0].get("content")
    return content if isinstance(content, str) else None


def _whole(message: Message | None) -> Message | None:
    """A message without what is absent; texts and arguments stay as they are."""
    return message and {name: value for name, value in message.items() if value not in (None, "")}


def _attempts(played: Played) -> list[list[tuple[int | None, bool]]]:
    """Of each turn, its HTTP attempts: status, and whether the answer was whole."""
    return [[(http.status, http.complete) for http in turn.stored.http] for turn in played.turns]


def _has(schema: Any, declared: Any) -> bool:
    """Whether a schema says all that was declared; what a framework adds to it is not looked at."""
    if isinstance(declared, dict):
        return isinstance(schema, dict) and all(
            name in schema and _has(schema[name], value) for name, value in declared.items()
        )
    return bool(schema == declared)
