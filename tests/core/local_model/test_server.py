import asyncio
import hashlib
import json
from importlib.resources import files

import httpx2
import openai
import pytest

from agentcore_rl.demo.math import SYSTEM_PROMPT, GSM8KReward, calculator, load_tasks
from agentcore_rl.local_model import find_model

TOOL = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Evaluate an arithmetic expression and return its value.",
        "strict": True,  # OpenAI's stream helper takes no other
        "parameters": {
            "type": "object",
            "properties": {"expression": {"type": "string"}},
            "required": ["expression"],
        },
    },
}
SUM = [
    {"role": "system", "content": SYSTEM_PROMPT},
    {"role": "user", "content": "Kim had 31 stamps and lost 7. How many stamps remain?"},
]


@pytest.fixture
def client(local_model):
    """OpenAI's SDK, which retries nothing."""
    with openai.OpenAI(base_url=local_model.base_url, api_key="none", max_retries=0, timeout=30) as sdk:
        yield sdk


@pytest.fixture
def post(local_model):
    """A bare POST: status and JSON of a chat completion."""

    def send(**body):
        answer = httpx2.post(f"{local_model.base_url}/chat/completions", json=body, timeout=30)
        return answer.status_code, answer.json()

    return send


def _greedy(**more):
    return {
        "model": "smollm2",
        "messages": [{"role": "user", "content": "Say hello."}],
        "temperature": 0,
        **more,
    }


def test_two_models_are_listed(client, local_model):
    """The ids are those that requests may name."""
    assert [model.id for model in client.models.list()] == ["smollm2", "smollm2-tools"]
    assert local_model.model_ids == ("smollm2", "smollm2-tools")


def test_a_plain_answer_carries_no_ids(post):
    """Ids and logprobs come only when asked for; the model's name is the one that was asked for."""
    status, answer = post(**_greedy(max_tokens=4))
    assert status == 200
    assert answer["model"] == "smollm2"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 4
    assert "prompt_token_ids" not in answer
    assert "token_ids" not in answer["choices"][0]
    assert answer["choices"][0]["logprobs"] is None


def test_ids_are_those_that_were_sampled(post):
    """As many as the server counts, in prompt and answer, with one logprob each, end token included."""
    _, answer = post(**_greedy(max_tokens=60, return_token_ids=True, logprobs=True, top_logprobs=2))
    choice, usage = answer["choices"][0], answer["usage"]
    assert choice["finish_reason"] == "stop"
    assert len(choice["token_ids"]) == usage["completion_tokens"]
    assert len(answer["prompt_token_ids"]) == usage["prompt_tokens"]
    entries = choice["logprobs"]["content"]
    assert [entry["id"] for entry in entries] == choice["token_ids"]
    assert "".join(entry["token"] for entry in entries) == choice["message"]["content"]
    assert all(entry["logprob"] <= 0 and len(entry["top_logprobs"]) == 2 for entry in entries)


@pytest.mark.parametrize("stream", [False, True])
def test_characters_split_over_tokens_keep_their_ids(client, stream):
    """Every id is given, streamed or not; those inside a character have no logprob, in order of the rest."""
    body = {"grammar": 'root ::= "日本語🙂é"', "return_token_ids": True}
    asked = _greedy(logprobs=True, extra_body=body)
    if stream:
        chunks = list(client.chat.completions.create(**asked, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        ids = [number for chunk in chunks for number in getattr(chunk.choices[0], "token_ids", None) or []]
        entries = [
            e for chunk in chunks if chunk.choices[0].logprobs for e in chunk.choices[0].logprobs.content
        ]
        assert chunks[0].prompt_token_ids
    else:
        choice = client.chat.completions.create(**asked).choices[0]
        text, ids, entries = choice.message.content, choice.token_ids, choice.logprobs.content
    assert text == "日本語🙂é"
    assert len(ids) == 13
    rest = iter(ids)
    assert all(entry.id in rest for entry in entries)
    assert 5 <= len(entries) < 13


def test_the_tuned_model_calls_the_tool_and_answers(client):
    """Two turns through OpenAI's SDK: a call that the calculator evaluates, then the number after ####."""
    asked = {"model": "smollm2-tools", "tools": [TOOL], "temperature": 0}
    first = client.chat.completions.create(messages=SUM, **asked).choices[0]
    assert first.finish_reason == "tool_calls"
    assert first.message.content is None
    call = first.message.tool_calls[0]
    assert call.function.name == "calculator"
    value = calculator(**json.loads(call.function.arguments))
    assert value == "24"
    told = {"role": "tool", "tool_call_id": call.id, "content": value}
    history = [*SUM, first.message.model_dump(exclude_none=True), told]
    last = client.chat.completions.create(messages=history, **asked).choices[0]
    assert last.message.content == "#### 24"


def test_the_next_prompt_extends_the_last_answer(post):
    """What was sampled, ids and all, is the beginning of the next turn's prompt."""
    asked = {"model": "smollm2-tools", "tools": [TOOL], "temperature": 0, "return_token_ids": True}
    _, first = post(messages=SUM, **asked)
    message = first["choices"][0]["message"]
    told = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "24"}
    _, second = post(messages=[*SUM, message, told], **asked)
    known = first["prompt_token_ids"] + first["choices"][0]["token_ids"]
    assert second["prompt_token_ids"][: len(known)] == known


def test_a_stream_spells_the_same_answer(client):
    """Text, tool call, finish reason and usage of a streamed answer are those of the whole one."""
    asked = {"model": "smollm2-tools", "tools": [TOOL], "temperature": 0, "messages": SUM}
    with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
        streamed = stream.get_final_completion()
    whole = client.chat.completions.create(**asked)
    assert streamed.choices[0].finish_reason == whole.choices[0].finish_reason == "tool_calls"
    calls = [one.choices[0].message.tool_calls[0].function for one in (streamed, whole)]
    assert calls[0].arguments == calls[1].arguments
    assert streamed.usage.completion_tokens == whole.usage.completion_tokens


def test_the_base_model_is_not_the_tuned_one(post):
    """Each answers as itself, whatever the other answered before; adapters do not leak between requests."""
    said = {}
    for model in ("smollm2", "smollm2-tools", "smollm2", "smollm2-tools"):
        _, answer = post(model=model, messages=SUM, tools=[TOOL], temperature=0, max_tokens=48)
        said.setdefault(model, []).append(bool(answer["choices"][0]["message"].get("tool_calls")))
    assert said == {"smollm2": [False, False], "smollm2-tools": [True, True]}


def test_a_default_answer_is_sampled(post):
    """At temperature 1 seeds give different texts, the same seed the same one."""
    body = _greedy(max_tokens=12) | {"temperature": None}
    texts = [post(**body, seed=seed)[1]["choices"][0]["message"]["content"] for seed in (1, 2, 3, 1)]
    assert len(set(texts)) == 3
    assert texts[0] == texts[3]


async def test_calls_at_once_are_all_answered(local_model):
    """More calls than slots, both models, streamed and not: each gets its own sum."""
    async with openai.AsyncOpenAI(base_url=local_model.base_url, api_key="none", max_retries=0) as sdk:

        async def ask(left: int) -> str:
            text = f"Kim had {left + 20} stamps and lost {left}. How many stamps remain?"
            asked = {
                "model": "smollm2-tools",
                "messages": [SUM[0], {"role": "user", "content": text}],
                "tools": [TOOL],
                "temperature": 0,
            }
            async with sdk.chat.completions.stream(**asked) as stream:
                answer = await stream.get_final_completion()
            return json.loads(answer.choices[0].message.tool_calls[0].function.arguments)["expression"]

        asked = range(31, 37)
        assert await asyncio.gather(*map(ask, asked)) == [f"{left + 20} - {left}" for left in asked]


@pytest.mark.parametrize(
    "history",
    [
        [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Well,"}],
        [
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{broken"}}
                ],
            },
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "Error"}]},
        ],
    ],
    ids=["developer", "parts", "assistant last", "broken arguments"],
)
def test_histories_of_frameworks_are_served(post, history):
    """Roles, parts and broken calls that frameworks send are rendered, not refused."""
    status, answer = post(model="smollm2", messages=history, tools=[TOOL], max_tokens=2)
    assert status == 200, answer


def test_an_unknown_model_is_not_found(client):
    """OpenAI's SDK sees its own error."""
    with pytest.raises(openai.NotFoundError, match="smollm2 and smollm2-tools") as caught:
        client.chat.completions.create(**_greedy() | {"model": "gpt-4"})
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"temperature": "hot"}, "temperature"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "image",
        ),
    ],
)
def test_what_llama_cpp_refuses_is_a_bad_request(post, change, says):
    """Its own words come through, as an error of the client's."""
    status, answer = post(**_greedy(max_tokens=2) | change)
    assert status == 400
    assert says in answer["error"]["message"]


def test_a_prompt_beyond_the_bound_is_refused(post):
    """Each slot has 4096 tokens."""
    status, answer = post(**_greedy() | {"messages": [{"role": "user", "content": "word " * 5000}]})
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")


def test_a_body_that_is_no_json_is_refused(local_model):
    """Broken JSON is a 400 with a sentence, not a stack trace."""
    answer = httpx2.post(f"{local_model.base_url}/chat/completions", content=b"{")
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "The request is not JSON.")


def test_the_figures_of_the_adapter_meet_their_bar():
    """They were measured on these very files, on enough held-out problems of the easiest level."""
    folder = files("agentcore_rl.local_model")
    figures = json.loads((folder / "smollm2-tools.json").read_text())
    easiest = figures["heldout"]["smollm2-tools"]["1"]
    assert easiest["tasks"] >= 50
    assert easiest["well_formed_calls"] >= 0.9
    assert easiest["reward"] >= 0.5
    assert figures["sampling"] == {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    adapter, template = (
        (folder / name).read_bytes() for name in ("smollm2-tools.lora.gguf", "chat_template.jinja")
    )
    assert len(adapter) <= 6_000_000
    assert figures["adapter_sha256"] == hashlib.sha256(adapter).hexdigest()
    assert figures["template_sha256"] == hashlib.sha256(template).hexdigest()
    assert figures["base_sha256"] == hashlib.sha256(find_model().read_bytes()).hexdigest()


def test_heldout_problems_are_solved_as_the_figures_say(client):
    """Four held-out problems under plain sampling with fixed seeds: a smoke test, not a measurement."""
    rewards = []
    for seed, task in enumerate(load_tasks("heldout", 1)[:4]):
        messages = [SUM[0], {"role": "user", "content": task["prompt"]}]
        asked = {"model": "smollm2-tools", "tools": [TOOL], "seed": seed, "max_tokens": 100}
        call = client.chat.completions.create(messages=messages, **asked).choices[0].message
        value = calculator(**json.loads(call.tool_calls[0].function.arguments))
        told = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": value}
        messages += [call.model_dump(exclude_none=True), told]
        text = client.chat.completions.create(messages=messages, **asked).choices[0].message.content
        rewards.append(GSM8KReward()(task, text, None))
    assert sum(rewards) >= 2
