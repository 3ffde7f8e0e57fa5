import asyncio

import pytest

from agentcore_rl.endpoint import Secret
from agentcore_rl.testing import Answer, ScriptedModel, ToolCall
from agentcore_rl.testing.tokens import prompt_ids
from agentcore_rl.witness import rollout_digest
from recording import async_sdk, ended, recording_from, sync_sdk, turns_of


def _script(call):
    messages = call.json["messages"]
    if messages[-1]["role"] == "user":
        return Answer("let me see", tool_calls=[ToolCall("add", "{}", id=f"c{len(messages)}")])
    return Answer(f"it is {len(messages)}")


@pytest.mark.parametrize("stream", [False, True])
def test_a_record_is_complete(serve, stream):
    """A rollout's record has every id and logprob that the engine gave, and the gateway's digest agrees."""
    with ScriptedModel(_script) as model:
        desk = serve(model.base_url)
        key = desk.open()
        desk.control("POST", "/policy", {"version": 3})
        with recording_from(desk.server.base_url, model="scripted", api_key=Secret(key)) as recorder:
            client = sync_sdk()
            messages = [{"role": "user", "content": "2 + 2? 🙂"}]
            for _ in range(4):
                asked = client.chat.completions.create(model="policy", messages=messages, stream=stream)
                if stream:
                    for _ in asked:
                        continue
                messages = _grown(messages, model.calls[-1].line)
            recording = ended(recorder)
    turns = turns_of(recording)
    for turn in turns:
        assert turn.prompt_ids == prompt_ids({"messages": turn.prompt})
        assert turn.answer_ids is not None
        assert turn.stored.tokens.logprobs is not None
        assert len(turn.stored.tokens.logprobs) == len(turn.answer_ids)
        assert turn.stored.policy_version == 3
        assert turn.stored.suspect == []
    assert rollout_digest(recording.transcript) == desk.server.calls.sessions.find("r1").summary()["digest"]
    # Linear: later turns store what they add.
    assert all(turn.stored.tokens.prompt_keep > 0 for turn in turns[1:])


def _grown(messages, line):
    said = {"role": "assistant", "content": line.content}
    if line.tool_calls:
        name = line.tool_calls[0].id
        function = {"name": "add", "arguments": "{}"}
        said["tool_calls"] = [{"id": name, "type": "function", "function": function}]
        return [*messages, said, {"role": "tool", "tool_call_id": name, "content": "4"}]
    return [*messages, said, {"role": "user", "content": "And more?"}]


def test_conversations_that_part_are_complete_too(serve):
    """Two sub-agents and a prompt that was edited: every turn of the record has all of its ids."""
    with ScriptedModel(lambda call: Answer(f"answer {len(call.json['messages'])}")) as model:
        desk = serve(model.base_url)
        with recording_from(desk.server.base_url, model="m", api_key=Secret(desk.open())) as recorder:
            client = sync_sdk()
            first = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "one"}]
            other = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "two"}]
            more = [{"role": "assistant", "content": "answer 2"}, {"role": "user", "content": "and?"}]
            edited = [{"role": "assistant", "content": "answer 3"}, {"role": "user", "content": "and?"}]
            for messages in (first, other, first + more, other + more, first + edited, other + edited):
                client.chat.completions.create(model="policy", messages=messages)
            recording = ended(recorder)
    for turn in turns_of(recording):
        assert turn.prompt_ids == prompt_ids({"messages": turn.prompt})
        assert set(turn.stored.suspect) <= {"forked"}


async def test_answers_that_are_read_in_another_order_are_complete(serve):
    """A call is told by none that runs beside it: whichever answer is read first, its ids are all there."""
    reached, go_on = asyncio.Event(), asyncio.Event()
    with ScriptedModel(lambda call: Answer(call.json["messages"][-1]["content"])) as model:
        desk = await asyncio.to_thread(serve, model.base_url)
        key = await asyncio.to_thread(desk.open)
        with recording_from(desk.server.base_url, model="m", api_key=Secret(key)) as recorder:
            client = async_sdk()
            system = {"role": "system", "content": "be brief, " * 9}

            async def ask(text, wait):
                said = await client.chat.completions.create(
                    model="policy", messages=[system, {"role": "user", "content": text}], stream=True
                )
                async for _ in said:
                    if wait:  # its first bytes are here, the rest is not read yet
                        reached.set()
                        await go_on.wait()

            slow = asyncio.create_task(ask("one", True))
            await reached.wait()
            while not len(desk.server.calls.sessions.find("r1").lineage):  # noqa: ASYNC110 - another thread's
                await asyncio.sleep(0.01)
            await ask("two", False)
            go_on.set()
            await slow
            recording = ended(recorder)
    for turn in turns_of(recording):
        assert turn.stored.suspect == []
        assert turn.prompt_ids == prompt_ids({"messages": turn.prompt})
