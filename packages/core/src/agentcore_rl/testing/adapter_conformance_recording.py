"""What is recorded of an adapter's agents: the wire's own bytes, in the right rollout, by the right agent."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.messages import Message
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope, scoped
from agentcore_rl.rollout import Usage
from agentcore_rl.testing.adapter_conformance_comparison import differences, recorded_conversation, script_for
from agentcore_rl.testing.adapter_conformance_player import TOOLS, Played, Way, record_in_app, said
from agentcore_rl.testing.adapter_conformance_trial import BASIC, AdapterOnTrial
from agentcore_rl.testing.script import Answer, ToolCall
from agentcore_rl.testing.scripted_model import ScriptedModel
from agentcore_rl.testing.served_call import ServedCall

__all__ = ["RecordingConformance"]

each_way = pytest.mark.parametrize("way", ["async", "sync", "app"])
streaming = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class RecordingConformance(AdapterOnTrial):
    """The record is the wire, and says who made each call."""

    @each_way
    @streaming
    def test_the_record_is_the_wire(self, way: Way, stream: bool) -> None:
        """Prompts byte for byte, answers, tools, executions: as the server saw and said them."""
        played = self._play(BASIC, way=way, stream=stream)
        assert played.answer == "3", "the agent's answer is the model's last"
        assert _recorded(played) == [
            (prompt, (call.json or {})["tools"], said(line))
            for prompt, call, line in zip(played.sent, played.calls, BASIC, strict=True)
        ], "each turn is recorded as it was sent, byte for byte, and as it was answered"
        assert [call.streamed for call in played.calls] == [stream, stream], "answers are streamed if asked"
        assert (played.agents, played.agreement, played.recording.suspect) == (
            {"main": (None, 2)},
            (2, 0, 0, 0),
            [],
        ), "each call is the agent's, callbacks saw what the wire saw, nothing is suspect"
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
            ended = (rollout.output, rollout.failure)
            assert ended == ("3", None), f"the handler's answer is recorded: {rollout.failure}"
            calls = model.calls
        assert [call.streamed for call in calls] == [True, True], "the request decides whether to stream"
        assert [turn.prompt for turn in rollout.turns] == [(call.json or {})["messages"] for call in calls], (
            "the stored prompts are the wire's"
        )
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
        parents = [turn.stored.parent for turn in played.turns]
        assert (parents, played.recording.suspect) == ([None, *range(len(script) - 1)], []), (
            "each turn continues the one before, none forks, is hidden or differs"
        )

    @streaming
    @pytest.mark.parametrize("content", ["", None], ids=["empty", "null"])
    def test_an_empty_answer_is_an_answer(self, content: str | None, stream: bool) -> None:
        """The agent returns it as it is, or ends with an error if declared; nobody asks again."""
        played = self._play([Answer(content)], stream=stream)
        raises = self._adapter().deviations.empty_raises
        assert (played.error is not None) == raises, "an empty answer raises as declared"
        assert played.answer == (None if raises else ""), "it is an empty text"

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
        assert ["kaputt" in str(error) for error in errors] == [answered] * answered, (
            "a failed run has its error"
        )
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
        seen = [
            (
                turn.prompt_ids,
                turn.answer_ids,
                list((turn.stored.tokens and turn.stored.tokens.logprobs) or ()),
                turn.stored.usage,
                turn.stored.finish_reason,
            )
            for turn in played.turns
        ]
        assert seen == [([1, 2, 3, 4, 5], [7, 300, 9], [-0.5, -0.25, -2.0], Usage(5, 3), "stop")], (
            "tokens, logprobs, usage and finish reason are the script's"
        )

    def test_sampling_reaches_the_wire(self) -> None:
        """Under its own names, also what the OpenAI API does not know; the endpoint's own wins."""
        asked = {"temperature": 0.25, "top_p": 0.5, "seed": 7, "max_tokens": 99, "stop": ["X"], "top_k": 3}
        given = {"sampling": {"temperature": 0.75}}
        played = self._play([Answer("ok")], endpoint=given, **asked)
        sent = {name: value for call in played.calls for name, value in (call.json or {}).items()}
        expected = {**asked, "temperature": 0.75, "model": "policy-7"}
        assert {name: sent.get(name) for name in expected} == expected, "sampling is sent as asked for"
        assert [dict(turn.stored.asked) for turn in played.turns] == [{"temperature": 0.25}], (
            "what lost is recorded"
        )

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
        assert (played.agents, played.recording.suspect) == (
            {"planner": (None, 2), "solver": (None, 2)},
            [],
        ), "each agent has its own turns"
        assert {(turn.stored.agent, turn.prompt[0]["content"]) for turn in played.turns} == {
            ("planner", "planner"),
            ("solver", "solver"),
        }, "no call has another's label"

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
        assert (played.agents, played.recording.suspect) == (
            {"main": (None, 2), "expert": ("main", 2)},
            [],
        ), "the inner agent has a caller, and no call is hidden, lost or inferred"

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
            named = {(call.json or {}).get("model") for call in own}
            exact = played.recorded == played.sent
            seen.append((answer, exact, named, played.agents, played.agreement, recording.suspect, runs))
        assert seen == [
            (
                f"done {number} ✓",
                True,
                {f"policy-{number}"},
                {f"agent-{number}": (None, 2)},
                (2, 0, 0, 0),
                [],
                [{"a": number, "b": 1}],
            )
            for number, _, _ in ended
        ], "each has its own prompts, endpoint, answer and label; no call is lost, none hidden"
        leftover = [weakref.ref(recorder) for _, recorder, _ in ended]
        del ended, recorder, threads
        until = time.monotonic() + 5
        while any(recorder() is not None for recorder in leftover):
            assert time.monotonic() < until, "nothing keeps a rollout"
            gc.collect()
            time.sleep(0.05)

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


def _instructions(call: ServedCall) -> str | None:
    """The conversation that a call belongs to: its system prompt."""
    messages = (call.json or {}).get("messages") or [{}]
    content = messages[0].get("content")
    return content if isinstance(content, str) else None


def _whole(message: Message | None) -> Message | None:
    """A message without what is absent; texts and arguments stay as they are."""
    return message and {name: value for name, value in message.items() if value not in (None, "")}


def _recorded(played: Played) -> list[tuple[list[bytes], list[Any], Message | None]]:
    """Of each turn, what the record has: the prompt byte for byte, tools, answer."""
    return [
        (prompt, turn.tools, turn.answer) for prompt, turn in zip(played.recorded, played.turns, strict=True)
    ]
