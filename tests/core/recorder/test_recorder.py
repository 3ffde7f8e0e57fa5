"""One rollout's calls: turns, tokens, callbacks, limits, secrets, and how little is kept."""

import gc
import itertools
import json
import logging
import threading
import time
import tracemalloc
from array import array
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.exceptions import LimitReached, RolloutClosed
from agentcore_rl.recorder.calls import Answer, Ask, prepare
from agentcore_rl.recorder.exchange import Exchange
from agentcore_rl.recorder.recorder import Native, Recorder, calling
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.recorder.turns_so_far import RolloutData
from agentcore_rl.rollout import HTTPAttempt, Limits, StopReason, ToolExecution, Usage
from agentcore_rl.testing import Answer as Line
from agentcore_rl.testing import ScriptedModel, Timeout, ToolCall
from recording import ended, recording_from, sync_sdk, turns_of

HERE = Endpoint("http://127.0.0.1/v1")
MESSAGES: list[Any] = [{"role": "user", "content": "q"}]
KEY = "sk-planted-1234567890"


def asked(*messages: Any, **fields: Any) -> Ask:
    """A request with these messages (texts are a user's)."""
    spelled = [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages]
    ask = prepare(json.dumps({"messages": spelled, **fields}).encode(), HERE)
    assert ask is not None
    return ask


def said(text: str, **fields: Any) -> Answer:
    """A whole answer."""
    message = {"role": "assistant", "content": text}
    return Answer(json.dumps(message).encode(), "stop", "id", complete=True, **fields)


def turn(recorder: Recorder, *messages: Any, answer: Answer | None = None, **labels: Any) -> int:
    """One call from its beginning to its end; the turn's id."""
    call = recorder.begin(asked(*messages), labels=labels, inferred=False)
    recorder.end(call, answer or said("a"))
    return call.placement.turn


def reply(text: str = "a") -> dict[str, Any]:
    """An answer as a framework sends it back."""
    return {"role": "assistant", "content": text}


# ---- limits and the end


def test_max_turns_refuses_the_next_call_before_it_is_sent():
    """The SDK sees a 403 that it does not retry; the server sees nothing; the stop reason says why."""
    with ScriptedModel([Line("a"), Line("b")]) as model:
        with recording_from(model.base_url, limits=Limits(max_turns=2)) as recorder:
            sdk = sync_sdk().with_options(max_retries=3)
            for _ in range(2):
                sdk.chat.completions.create(model="m", messages=MESSAGES)
            for _ in range(2):
                with pytest.raises(openai.PermissionDeniedError, match="max_turns is used up") as refused:
                    sdk.chat.completions.create(model="m", messages=MESSAGES, stream=True)
                assert refused.value.code == "limit_reached"
                assert refused.value.type == "agentcore_rl_refused"
            recording = ended(recorder)
        assert len(model.calls) == 2
    assert recording.stop_reason is StopReason.TURN_LIMIT
    assert recording.counts == {"refused_calls": 2}
    assert len(turns_of(recording)) == 2


def test_max_tokens_counts_what_was_sampled():
    """By usage, else by the number of ids; the call that crosses the limit is whole, the next is refused."""
    recorder = Recorder(limits=Limits(max_tokens=5))
    turn(recorder, "q", answer=said("a", usage=Usage(100, 3)))
    turn(recorder, "q", answer=said("a", answer_ids=array("I", [1, 2])))
    with pytest.raises(LimitReached, match="max_tokens is used up"):
        recorder.begin(asked("q"), labels={}, inferred=False)
    assert recorder.limit_reached is StopReason.TOKEN_LIMIT
    assert ended(recorder).stop_reason is StopReason.TOKEN_LIMIT


def test_a_closed_rollout_takes_nothing_more():
    """Later calls are refused, what still runs is not kept, and nothing said later changes the record."""
    recorder = Recorder()
    first = turn(recorder, "q")
    running = recorder.begin(asked("q", reply(), "r"), labels={}, inferred=False)
    recorder.close("its deadline has passed")
    recorder.close("again")
    with pytest.raises(RolloutClosed, match="its deadline has passed"):
        recorder.begin(asked("s"), labels={}, inferred=False)
    with pytest.raises(RolloutClosed):
        recorder.refuse_if_over()
    recording = recorder.finish()
    recorder.attempted(running, HTTPAttempt(0, 0))
    recorder.end(running, said("late"))
    recorder.tool_executed(ToolExecution("c", "f"))
    again = recorder.finish()
    assert again.transcript.messages == recording.transcript.messages
    [one, other] = turns_of(again)
    assert (one.stored.id, one.stored.suspect) == (first, [])
    assert other.answer is None
    assert other.stored.suspect == ["unfinished_call"]
    assert other.stored.http == ()
    assert again.suspect == ["unfinished_call"]
    assert again.counts == {"refused_calls": 2}
    assert recorder.closing.is_set()


def test_a_call_under_way_at_the_end_is_not_kept():
    """Over the wire: the deadline comes while the server is silent, and the thread goes on alone."""
    with ScriptedModel([Timeout(0.4)]) as model:
        with recording_from(model.base_url, retries=0) as recorder:
            failed: list[BaseException] = []

            def ask() -> None:
                try:
                    sync_sdk().chat.completions.create(model="m", messages=MESSAGES)
                except openai.OpenAIError as error:
                    failed.append(error)

            thread = threading.Thread(target=ask)
            thread.start()
            until = time.monotonic() + 5
            while not model.calls and time.monotonic() < until:
                time.sleep(0.01)
            recording = ended(recorder)
            thread.join()
        assert len(failed) == 1
    [only] = turns_of(recording)
    assert only.stored.suspect == ["inferred_scope", "unfinished_call"]
    assert recorder.finish().transcript.trajectories[0].turns[0].http == ()


@pytest.mark.parametrize(
    ("attempts", "silent"),
    [([None], True), ([429, 503], True), ([500], True), ([None, 400], False), ([200], False), ([403], False)],
)
def test_a_silent_endpoint_is_told_from_one_that_refuses(attempts: list[int | None], silent: bool):
    """Only the first is infrastructure, worth a new attempt."""
    recorder = Recorder()
    call = recorder.begin(asked("q"), labels={}, inferred=False)
    for status in attempts:
        recorder.attempted(call, HTTPAttempt(0, 0, status, "broken"))
    recorder.end(call, Answer())
    recording = ended(recorder)
    assert recording.last_call_failed
    assert recording.endpoint_silent is silent
    assert recording.suspect == ["no_answer"]


# ---- tokens


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 9), max_size=4),
            st.lists(st.integers(0, 9), max_size=4),
            st.sampled_from(["all", "answer", "none"]),
            st.booleans(),
        ),
        max_size=6,
    )
)
def test_token_ids_expand_to_what_the_server_gave(steps: list[tuple[list[int], list[int], str, bool]]):
    """Whatever turns give ids, and whether or not a prompt continues the last one: each expands exactly."""
    recorder = Recorder()
    history: list[Any] = []
    ids: list[int] = []
    expected: list[tuple[list[int] | None, list[int] | None]] = []
    for number, (new, sampled, gives, continues) in enumerate(steps):
        ids = [*ids, *new] if continues else list(new)
        history.append(f"q{number}")
        answer = said(f"a{number}")
        if gives != "none":
            answer.answer_ids = array("I", sampled)
        if gives == "all":
            answer.prompt_ids = array("I", ids)
        turn(recorder, *history, answer=answer)
        history.append(reply(f"a{number}"))
        expected.append((ids if gives == "all" else None, sampled if gives != "none" else None))
        ids = [*ids, *sampled]
    found = [(turned.prompt_ids, turned.answer_ids) for turned in turns_of(ended(recorder))]
    assert found == expected


def test_prompt_ids_are_stored_once():
    """In a line of turns each id is kept once, and a turn says how many it shares with its parent."""
    recorder = Recorder()
    turn(recorder, "q", answer=said("a", prompt_ids=array("I", [1, 2]), answer_ids=array("I", [3])))
    turn(
        recorder,
        "q",
        reply(),
        "r",
        answer=said("b", prompt_ids=array("I", [1, 2, 3, 4]), answer_ids=array("I")),
    )
    stored = ended(recorder).transcript.trajectories[0].turns[1].tokens
    assert stored is not None
    assert stored.prompt_keep == 3
    assert list(stored.prompt_new or ()) == [4]


# ---- callbacks


def test_callbacks_name_the_agent_and_are_joined():
    """The wire's calls in a callback's context are its; both witnesses agree."""
    recorder = Recorder()
    recorder.attach_collector()
    recorder.callback_started("k1", agent="planner", parent="main", labels={"node": "plan"})
    number = turn(recorder, "q", agent="main")
    recorder.callback_ended("k1", answer={"role": "assistant", "content": [{"type": "text", "text": "a"}]})
    assert calling.get() is None
    recording = ended(recorder)
    [path] = recording.transcript.trajectories
    assert (path.agent, path.parent) == ("planner", "main")
    assert path.turns[number].labels == {"node": "plan"}
    assert recording.crosscheck.matched == 1
    assert recording.suspect == []


def test_a_sub_agent_that_is_called_again_may_begin_anew():
    """A conversation for each turn of its caller's; within one, what is forgotten is a fork still."""
    recorder = Recorder()

    def heard(agent: str, parent: str | None, *messages: Any) -> None:
        key = f"k{next(numbers)}"
        recorder.callback_started(key, agent=agent, parent=parent)
        turn(recorder, *messages)
        recorder.callback_ended(key, answer=reply())

    numbers = itertools.count()
    heard("desk", None, "help")
    heard("expert", "desk", "one")
    heard("expert", "desk", "one", reply(), "go on")
    heard("desk", None, "help", reply(), "the expert's answer")
    heard("expert", "desk", "two")
    heard("expert", "desk", "two", reply(), "go on")
    assert recorder.finish().suspect == []
    heard("expert", "desk", "two")
    [_, expert] = recorder.finish().transcript.trajectories
    assert [step.parent for step in expert.turns] == [None, 1, None, 4, None]
    assert ["forked" in step.suspect for step in expert.turns] == [False] * 4 + [True]


def test_sub_agents_of_one_name_that_one_turn_calls_at_once_do_not_fork():
    """Two tool calls of a turn begin two conversations of the same agent, side by side; a third is a fork."""
    recorder = Recorder()
    recorder.attach_collector()
    numbers = itertools.count()

    def heard(agent: str, parent: str | None, *messages: Any, answer: dict[str, Any]) -> None:
        key = f"k{next(numbers)}"
        recorder.callback_started(key, agent=agent, parent=parent)
        turn(recorder, *messages, answer=Answer(json.dumps(answer).encode(), "stop", complete=True))
        recorder.callback_ended(key, answer=answer)

    calls = [
        {"id": f"c{at}", "type": "function", "function": {"name": "expert", "arguments": "{}"}}
        for at in range(2)
    ]
    heard("desk", None, "help", answer={"role": "assistant", "content": None, "tool_calls": calls})
    said = {name: {"role": "assistant", "content": f"of {name}"} for name in ("one", "two")}
    for name in ("one", "two"):
        heard("expert", "desk", name, answer=said[name])
    for name in ("one", "two"):
        heard("expert", "desk", name, said[name], "go on", answer=said[name])
    assert recorder.finish().suspect == []
    heard("expert", "desk", "three", answer=reply())
    assert recorder.finish().suspect == ["forked"]


def test_a_label_on_the_model_names_the_agent():
    """A model made for one agent says so; it wins over the callback's name."""
    recorder = Recorder()
    recorder.callback_started("k", agent="planner")
    turn(recorder, "q", agent="critic")
    recorder.callback_ended("k", answer=reply())
    assert [path.agent for path in ended(recorder).transcript.trajectories] == ["critic"]


def test_hidden_differing_and_bypassing_calls_are_told():
    """Each leaves its remark: on the turn where there is one, on the rollout else."""
    recorder = Recorder()
    turn(recorder, "hidden")
    recorder.callback_started("k1", agent="main")
    turn(recorder, "q")
    recorder.callback_ended("k1", answer=reply("something else"))
    recorder.callback_started("k2", agent="main")
    recorder.callback_ended("k2", answer=reply())
    recording = ended(recorder)
    hidden, differing = turns_of(recording)
    assert "wire_only" in hidden.stored.suspect
    assert "differing" in differing.stored.suspect
    assert {"callback_only", "wire_only", "differing"} <= set(recording.suspect)
    counts = recording.crosscheck
    assert (counts.matched, counts.wire_only, counts.callback_only, counts.differing) == (0, 1, 1, 1)


@pytest.mark.parametrize(("told", "counts"), [("a", (1, 0)), ("b", (0, 1)), ("\ud800", (0, 1))])
def test_a_framework_may_tell_less_than_the_whole_answer(told: str, counts: tuple[int, int]):
    """What it does not tell is no difference; what it tells otherwise still is one."""
    recorder = Recorder()
    recorder.callback_started("k", agent="main")
    turn(recorder, "q", {**reply("a"), "refusal": "untold"})
    recorder.callback_ended(
        "k", answer=reply(told), same=lambda said, heard: said["content"] == heard["content"]
    )
    crosscheck = ended(recorder).crosscheck
    assert (crosscheck.matched, crosscheck.differing) == counts


def test_without_a_collector_nothing_is_hidden():
    """The counts mean nothing then, and nobody is suspect for it."""
    recorder = Recorder()
    turn(recorder, "q")
    recording = ended(recorder)
    assert recording.crosscheck.collected is False
    assert recording.suspect == []


def test_calls_inside_a_call_give_the_place_back():
    """A model that asks a model: the outer call's later requests are the outer's again."""
    recorder = Recorder()
    recorder.callback_started("outer", agent="main")
    recorder.callback_started("inner", agent="inner")
    turn(recorder, "i")
    recorder.callback_ended("inner", answer=reply())
    assert calling.get() == "outer"
    turn(recorder, "o")
    recorder.callback_ended("outer", answer=reply())
    recording = ended(recorder)
    assert [(t.stored.agent, t.stored.suspect) for t in turns_of(recording)] == [("inner", []), ("main", [])]
    assert recording.crosscheck.matched == 2


def test_a_call_that_ended_elsewhere_gets_no_more_turns():
    """A callback that ends in another context leaves its key in this one; what comes then is not its."""
    recorder = Recorder()
    recorder.callback_started("k", agent="main")
    turn(recorder, "q")
    thread = threading.Thread(target=lambda: recorder.callback_ended("k", answer=reply()))
    thread.start()
    thread.join()
    assert calling.get() == "k"
    turn(recorder, "q", reply(), "tool's own call")
    recorder.callback_ended("unknown", answer=None)
    recording = ended(recorder)
    assert [t.stored.suspect for t in turns_of(recording)] == [[], ["wire_only"]]
    assert recording.crosscheck.matched == 1
    calling.set(None)


def test_a_refused_call_is_no_bypassed_one():
    """A callback whose call met a limit saw no answer because there was none."""
    recorder = Recorder(limits=Limits(max_turns=1))
    turn(recorder, "q")
    recorder.callback_started("k", agent="main")
    with pytest.raises(LimitReached):
        recorder.begin(asked("q"), labels={}, inferred=False)
    recorder.callback_ended("k", answer=None)
    assert ended(recorder).crosscheck.callback_only == 0


def test_tool_executions_find_their_turn():
    """By the id of the call in the answer, the latest with that id; unknown ones are counted."""
    recorder = Recorder()
    message = {"role": "assistant", "tool_calls": [{"id": "c1", "function": {}}, {"id": None}, {"id": 7}]}
    for text in ("q", "r"):
        turn(recorder, text, answer=Answer(json.dumps(message).encode(), complete=True))
    recorder.tool_executed(ToolExecution("c1", "add", {"a": 1}))
    recorder.tool_executed(ToolExecution("c9", "add"))
    recording = ended(recorder)
    assert [len(t.stored.executions) for t in turns_of(recording)] == [0, 1]
    assert recording.counts == {"unplaced_tool_executions": 1}


@pytest.mark.parametrize(
    "answer", [{"content": "\ud800"}, {"content": float("nan")}, {"x": object(), 3: 1}, {"content": {1, 2}}]
)
def test_callbacks_may_say_anything(answer: Any):
    """What a framework holds in a message never breaks it."""
    recorder = Recorder()
    recorder.callback_started("k", agent="main")
    recorder.callback_ended("k", answer=answer)
    assert ended(recorder).crosscheck.callback_only == 1


def test_a_call_that_only_callbacks_saw_is_their_turn():
    """A model that cannot carry our transport: the framework's messages are the record, and marked so."""
    recorder = Recorder()
    native = Native(MESSAGES, [{"type": "function", "function": {"name": "f"}}], "bedrock", {"top_p": 1})
    recorder.callback_started("k", agent="main", prompt=lambda: native)
    recorder.callback_ended("k", answer=reply(), finish_reason="stop", usage=Usage(3, 2))
    turn(recorder, "q", reply(), "r")
    recording = ended(recorder)
    first, second = turns_of(recording)
    assert (first.stored.source, first.prompt, first.answer) == ("callbacks", MESSAGES, reply())
    assert (first.stored.model, first.stored.usage, first.stored.finish_reason) == (
        "bedrock",
        Usage(3, 2),
        "stop",
    )
    assert second.stored.parent == 0
    assert recording.crosscheck.callback_only == 1


def test_an_adapter_that_fails_on_a_message_breaks_no_call(caplog: pytest.LogCaptureFixture):
    """The rollout is suspect, and the log has no value."""

    def broken() -> Native:
        raise KeyError(KEY)

    recorder = Recorder()
    recorder.callback_started("k", agent="main", prompt=broken)
    recorder.callback_ended("k", answer=reply())
    assert "unreadable_callback" in ended(recorder).suspect
    assert KEY not in caplog.text


# ---- secrets


def test_secrets_stand_nowhere_in_the_transcript():
    """In prompts, tools and answers, in every spelling, streamed or not; the turns say `redacted`."""
    spelled = json.dumps({"key": KEY, "number": 12345678})
    function = {"name": "f", "arguments": spelled}
    messages: list[Any] = [
        {"role": "system", "content": f"use {KEY}"},
        {"role": "user", "content": "".join(f"\\u{ord(char):04x}" for char in KEY)},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c", "content": '{"key": "' + KEY + '"}'},
    ]
    tools: list[Any] = [{"type": "function", "function": {"name": "f", "description": f"needs {KEY}"}}]
    with ScriptedModel(
        [Line(f"it is {KEY}"), Line("clean"), Line(tool_calls=[ToolCall("f", spelled)])]
    ) as model:
        with recording_from(model.base_url, secrets=[KEY, "12345678", "short"]) as recorder:
            sdk = sync_sdk()
            sdk.chat.completions.create(model="m", messages=messages, tools=tools)
            sdk.chat.completions.create(model="m", messages=MESSAGES)
            list(sdk.chat.completions.create(model="m", messages=MESSAGES, stream=True))
            data = list(RolloutData(recorder))
            recording = ended(recorder)
        assert KEY.encode() in model.calls[0].body  # the server gets what the agent said
    kept = b"".join(map(bytes, [*recording.transcript.messages, *recording.transcript.tools])).decode()
    for text in (kept, str(data), repr(recorder), repr(recording)):
        assert KEY not in text
        assert "12345678" not in text
        assert json.dumps(KEY)[1:-1] not in text
    assert "***" in kept
    assert [json.loads(bytes(raw)) for raw in recording.transcript.messages]
    suspects = [turned.stored.suspect for turned in turns_of(recording)]
    assert [("redacted" in suspect) for suspect in suspects] == [True, False, True]


def test_what_is_redacted_is_the_same_path():
    """A secret in the history does not make forks: each prompt continues the turn before."""
    recorder = Recorder(secrets=[Secret(KEY)])
    history: list[Any] = [f"the key is {KEY}"]
    for number in range(3):
        turn(recorder, *history, answer=said(f"{number} {KEY}"))
        history += [reply(f"{number} {KEY}"), "next"]
    assert [t.stored.parent for t in turns_of(ended(recorder))] == [None, 0, 1]


def test_an_exchange_shows_no_key(caplog: pytest.LogCaptureFixture):
    """Neither in its repr nor in the log of a recording that fails."""
    caplog.set_level(logging.DEBUG)
    endpoint = Endpoint("http://127.0.0.1/v1", "m", Secret(KEY))
    with rollout_scope(Scope(endpoint, Recorder(secrets=[Secret(KEY)]))):
        body = json.dumps({"messages": MESSAGES}).encode()
        exchange = Exchange("POST", "http://x/v1/chat/completions", [], body)
        assert ("Authorization", f"Bearer {KEY}") in exchange.headers
        assert KEY not in f"{exchange!r} {exchange} {vars(exchange)['_scope']!r}"
    assert KEY not in caplog.text


# ---- recording never breaks a call


class Refusing(Recorder):
    """A recorder with a fault."""

    def begin(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError(KEY)


class Forgetful(Recorder):
    """A recorder that fails when a call ends."""

    def end(self, *args: Any, **kwargs: Any) -> None:
        raise ValueError(KEY)


@pytest.mark.parametrize("kind", [Refusing, Forgetful])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_fault_of_ours_does_not_reach_the_agent(
    kind: type[Recorder], streamed: bool, caplog: pytest.LogCaptureFixture
):
    """The call goes on, the rollout is suspect, the log says where and no value."""
    with ScriptedModel([Line("a")]) as model:
        recorder = kind()
        with rollout_scope(Scope(Endpoint(model.base_url), recorder)):
            answer = sync_sdk().chat.completions.create(model="m", messages=MESSAGES, stream=streamed)
            if streamed:
                assert "".join(chunk.choices[0].delta.content or "" for chunk in answer) == "a"
            else:
                assert answer.choices[0].message.content == "a"
    assert "recording_failed" in ended(recorder).suspect
    assert "could not be recorded (ValueError)" in caplog.text
    assert KEY not in caplog.text


# ---- what the agent gets back


def test_rollout_data_is_the_history_so_far():
    """Full OpenAI-style histories, expanded on access, of turns that end later too."""
    recorder = Recorder()
    data = RolloutData(recorder)
    assert len(data) == 0
    turn(recorder, "q")
    turn(recorder, "q", reply(), "r", answer=said("b"))
    assert [entry["turn_id"] for entry in data] == [0, 1]
    assert data[-1]["formatted_request"]["messages"] == [
        *MESSAGES,
        reply(),
        {"role": "user", "content": "r"},
        reply("b"),
    ]
    assert data[0:1] == [data[0]]
    assert data.belongs_to(recorder)
    assert not data.belongs_to(Recorder())
    assert list(RolloutData(None)) == []


@settings(max_examples=20)
@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_turns_stand_in_trajectories_by_agent(agents: list[str]):
    """Each agent's turns in order; ids count over all."""
    recorder = Recorder()
    for number, agent in enumerate(agents):
        turn(recorder, f"{number}", agent=agent)
    transcript = ended(recorder).transcript
    for path in transcript.trajectories:
        assert [t.id for t in path.turns] == [n for n, agent in enumerate(agents) if agent == path.agent]


# ---- memory


def test_what_is_kept_is_linear():
    """200 turns growing to 100k tokens: at most 3 times the last prompt, 4 bytes per id, 8 per logprob."""
    turns, per_turn = 200, 500
    filler = "x" * (per_turn * 4 - 120)

    def run(recorder: Recorder) -> tuple[int, int, int]:
        history: list[bytes] = [b'{"role":"system","content":"be brief"}']
        ids: list[int] = list(range(20))
        sampled = per_turn // 2
        for number in range(turns):
            text = f"{number} {filler[: len(filler) // 2]}"
            history.append(json.dumps({"role": "user", "content": text}).encode())
            ids += [number] * (per_turn - sampled)
            body = b'{"model":"m","temperature":1.0,"messages":[' + b",".join(history) + b"]}"
            ask = prepare(body, HERE)
            assert ask is not None
            call = recorder.begin(ask, labels={"agent": "main"}, inferred=False)
            recorder.attempted(call, HTTPAttempt(0.5, 0.5, 200, None, True))
            message = json.dumps(reply(f"{number} {filler[len(filler) // 2 :]}")).encode()
            answer_ids = array("I", [number] * sampled)
            recorder.end(
                call,
                Answer(
                    message,
                    "stop",
                    f"chatcmpl-{number}",
                    Usage(len(ids), sampled),
                    array("I", ids),
                    answer_ids,
                    array("d", [-0.5] * sampled),
                    complete=True,
                ),
            )
            history.append(message)
            ids += answer_ids
        return len(body), len(ids), turns * sampled

    run(Recorder())  # what is made once
    gc.collect()
    tracemalloc.start()
    try:
        recorder = Recorder()
        before = tracemalloc.get_traced_memory()[0]
        prompt_bytes, ids, logprobs = run(recorder)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert ids > 100_000
    limit = 3 * prompt_bytes + 4 * ids + 8 * logprobs
    print(f"{kept / limit:.2f} of what is allowed")
    assert kept <= limit, f"{kept} bytes are kept, {limit} allowed"
    assert len(turns_of(ended(recorder))) == turns
