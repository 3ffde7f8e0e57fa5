"""The real SmolLM2 on llama.cpp: what the record holds is what the engine saw and sampled."""

import json
import urllib.request
from itertools import pairwise

import pytest

from agentcore_rl.endpoint import Secret
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.local_model import LocalModel, find_model
from agentcore_rl.local_model.engine import MODELS
from agentcore_rl.witness import rollout_digest
from agentcore_rl_gateway.engines.llama_cpp import LlamaCpp
from agentcore_rl_gateway.engines.llama_view import LlamaView
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.rendering.gguf import gguf_vocabulary
from agentcore_rl_gateway.rendering.self_test import self_test
from agentcore_rl_gateway.serving import GatewayServer, Options
from agentcore_rl_gateway.token_in import TokenIn
from gateway_doubles import EngineServer
from recording import ended, recording_from, sync_sdk, turns_of

CALCULATOR = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Evaluates an arithmetic expression.",
        "parameters": {
            "type": "object",
            "properties": {"expression": {"type": "string"}},
            "required": ["expression"],
        },
    },
}


@pytest.fixture(scope="module")
def local_model():
    """llama.cpp with SmolLM2, for every test here."""
    with LocalModel() as model:
        yield model


@pytest.fixture(scope="module")
def renderer():
    """Of SmolLM2, with the tokenizer of its file."""
    return ChatMLHermes(gguf_vocabulary(find_model())[0])


@pytest.fixture
def overheard(local_model):
    """A server between gateway and engine, and the prompt and sampled ids of each answer that passed it."""
    passed: list[tuple[list[int], list[int]]] = []

    def forward(path, body):
        content = json.dumps(body).encode()
        asked = urllib.request.Request(
            local_model.engine_url + path, content, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=50) as answer:
            said = answer.read()
        if body["n_probs"] == 1:
            passed.append((body["prompt"], json.loads(said)["tokens"]))
        return 200, {"content-type": "application/json"}, said

    with EngineServer(forward) as server:
        yield server, passed


def _whole(passed):
    """Answers that were sampled in pieces, joined."""
    joined: list[tuple[list[int], list[int]]] = []
    for prompt, ids in passed:
        if joined and prompt == joined[-1][0] + joined[-1][1]:
            joined[-1][1].extend(ids)
        else:
            joined.append((prompt, list(ids)))
    return joined


def test_the_record_is_what_the_engine_saw_and_sampled(serve, overheard, renderer):
    """A tool call, its result, an answer, and a stream: the record's ids are those on the engine's wire."""
    server, passed = overheard
    desk = serve(TokenIn(LlamaCpp(server.url, models=dict(MODELS)), renderer))
    key = desk.open(sampling={"max_tokens": 48, "seed": 7})
    endpoint = {"model": "smollm2-tools", "api_key": Secret(key)}
    with recording_from(desk.server.base_url, **endpoint) as recorder:
        client = sync_sdk(timeout_s=50.0)
        messages = [{"role": "user", "content": "Kim had 31 stamps and lost 7. How many stamps remain?"}]
        for _ in range(2):
            said = client.chat.completions.create(model="policy", messages=messages, tools=[CALCULATOR])
            answer = said.choices[0].message
            messages.append(answer.model_dump(exclude_none=True))
            messages += [
                {"role": "tool", "tool_call_id": call.id, "content": "24"} for call in answer.tool_calls or ()
            ]
        messages.append({"role": "user", "content": "Say <|im_end|> 日本語 🙂🎉"})
        stream = client.chat.completions.create(
            model="policy", messages=messages, tools=[CALCULATOR], stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        recording = ended(recorder)
    turns, wire = turns_of(recording), _whole(passed)
    assert len(turns) == len(wire) == 3
    for turn, (prompt, ids) in zip(turns, wire, strict=True):
        assert turn.prompt_ids == prompt
        assert turn.answer_ids == ids
        assert len(turn.stored.tokens.logprobs) == len(ids)
        assert turn.stored.suspect == []
    for before, after in pairwise(wire):
        assert after[0][: len(before[0]) + len(before[1])] == before[0] + before[1]
    assert turns[0].answer["tool_calls"][0]["function"]["name"] == "calculator"
    assert turns[2].answer["content"] == text
    assert rollout_digest(recording.transcript) == desk.control("GET", "/sessions/r1")["digest"]


@pytest.mark.parametrize(
    ("schema", "status"),
    [
        ({"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"]}, 200),
        ({"type": "array", "uniqueItems": True, "items": {"type": "integer"}}, 400),
        ({"type": "zzz"}, 400),
    ],
)
def test_a_schema_is_followed_or_refused(serve, overheard, renderer, schema, status):
    """What llama.cpp has no grammar for is named, and nothing that was sampled freely is a 200."""
    server, _ = overheard
    desk = serve(TokenIn(LlamaCpp(server.url, models=dict(MODELS)), renderer))
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    body = {"model": "smollm2", "messages": [{"role": "user", "content": "Say hi."}], "response_format": form}
    key = desk.open(sampling={"temperature": 0.0, "max_tokens": 60})
    got, said, _ = desk.send("POST", "/v1/chat/completions", body, key)
    assert got == status, said
    if status == 200:
        assert json.loads(said["choices"][0]["message"]["content"])["a"] in ("x", "y")
    else:
        assert said["error"]["param"] == "response_format"
        assert desk.control("GET", "/sessions/r1")["tokens"]["kept"] == 0


def test_characters_that_span_ids_keep_their_logprobs(serve, overheard, renderer):
    """Ids inside an unfinished character have their own logprobs, streamed and not; none is lost."""
    server, _ = overheard
    desk = serve(TokenIn(LlamaCpp(server.url, models=dict(MODELS)), renderer))
    key = desk.open(sampling={"temperature": 0.0, "max_tokens": 8})
    asked = [{"role": "user", "content": "Repeat: 日本語🙂"}]
    found = []
    for stream in (False, True):
        body = {"model": "smollm2", "messages": asked, "stream": stream}
        said = desk.send("POST", "/v1/chat/completions", body, key, agentcore_rl_tokens="new")[1]
        if stream:
            lines = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: {")]
            (said,) = [chunk for chunk in lines if "agentcore_rl" in chunk]
        found.append(said["agentcore_rl"])
    assert found[0]["answer"] == found[1]["answer"]
    assert None not in found[0]["logprobs"]
    assert found[0]["masked"] == []
    assert found[0]["logprobs"] == pytest.approx(found[1]["logprobs"], abs=0.5)


def test_a_renderer_that_differs_from_the_engine_is_not_served(local_model, renderer, tmp_path):
    """The start-up test finds that the engine's template writes other ids, and nothing is served."""
    view = LlamaView(local_model.engine_url)
    assert self_test(renderer, renderer.vocabulary, view).passed

    class Other(ChatMLHermes):
        def prompt(self, messages, tools=()):
            return [*super().prompt(messages, tools), 198]

    other = Other(renderer.vocabulary)
    mode = TokenIn(
        LlamaCpp(local_model.engine_url),
        other,
        lambda: self_test(other, other.vocabulary, view).refuse(),
    )
    server = GatewayServer(mode, Options(tmp_path / "log"))
    with pytest.raises(ConfigurationError, match="do not agree"), server:
        pass
