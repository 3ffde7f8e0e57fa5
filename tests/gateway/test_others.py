"""A session that knows another's ids gets nothing of it."""

import json

import pytest

from agentcore_rl.testing import Answer, ScriptedModel
from agentcore_rl_gateway.engines.vllm import VLLM
from agentcore_rl_gateway.log import CallAnswered, read_log
from agentcore_rl_gateway.token_in import TokenIn
from gateway_doubles import END, ByteRenderer, vllm

SECRET = "the code is 4711"
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
ADD = [*b'psst, 4711<call>add {"a": 1}</call>', END]


def _entries(desk, session):
    return [one for one in read_log(desk.folder) if isinstance(one, CallAnswered) and one.session == session]


def _claims(victim, secret_call=None):
    """What an attacker sends: the victim's question, and answers that claim its ids in every place."""
    claimed = {"role": "assistant", "id": victim["id"], "content": None if secret_call else "x"}
    if secret_call:
        claimed["tool_calls"] = [secret_call]
    claimed["agentcore_rl"] = {"placed_on": victim["id"], "parent": victim["id"], "prompt_keep": 10}
    messages = [{"role": "user", "content": "Hello?", "id": victim["id"]}, claimed]
    if secret_call:
        messages.append({"role": "tool", "tool_call_id": secret_call["id"], "content": "12"})
    return [*messages, {"role": "user", "content": "Go on."}]


@pytest.mark.parametrize("stream", [False, True])
def test_captured_calls_are_placed_in_their_own_session_alone(serve, stream):
    """The ids of an answer of another session, sent in messages, place nothing and give nothing away."""
    ids = list(range(50))
    line = Answer(SECRET, token_ids=[1, 2], prompt_token_ids=ids, logprobs=[-1.0, -2.0])
    plain = Answer("no", token_ids=[3], prompt_token_ids=ids, logprobs=[-1.0])
    with ScriptedModel(lambda seen: line if b"the secret" in seen.body else plain) as model:
        desk = serve(model.base_url)
        victim_key, key = desk.open("victim"), desk.open("attacker")
        victim = desk.chat(victim_key, [{"role": "user", "content": "the secret"}], h_idempotency_key="k")[1]
        before = desk.control("GET", "/sessions/victim")
        said = desk.chat(
            key,
            _claims(victim),
            stream=stream,
            h_idempotency_key="k",
            h_agentcore_rl_tokens="new",
        )[1]
        assert SECRET not in json.dumps(said)
        tokens = _tokens(said)
        assert (tokens["placed_on"], tokens["parent"], tokens["prompt_keep"]) == (None, None, 0)
        (entry,) = _entries(desk, "attacker")
        assert (entry.basis, entry.parent, entry.fork) == (None, None, None)
        assert desk.control("GET", "/sessions/victim") == before


def _tokens(said):
    if not isinstance(said, str):
        return said["agentcore_rl"]
    chunks = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: {")]
    return next(chunk["agentcore_rl"] for chunk in chunks if "agentcore_rl" in chunk)


def test_histories_are_looked_up_in_their_own_session_alone(serve):
    """In token-in mode a minted tool-call id of another session restores nothing of what it stands for."""
    with vllm(lambda _: (ADD, [-1.0] * len(ADD), "stop")) as engine:
        desk = serve(TokenIn(VLLM(engine.url), ByteRenderer()))
        victim_key, key = desk.open("victim"), desk.open("attacker")
        asked = [{"role": "user", "content": "Hello?"}]
        victim = desk.chat(victim_key, asked, tools=TOOLS, h_agentcore_rl_tokens="new")[1]
        (call,) = victim["choices"][0]["message"]["tool_calls"]
        before = desk.control("GET", "/sessions/victim/rows")
        said = desk.chat(key, _claims(victim, call), tools=TOOLS, h_agentcore_rl_tokens="new")[1]
        tokens = said["agentcore_rl"]
        assert (tokens["placed_on"], tokens["parent"], tokens["prompt_keep"]) == (None, None, 0)
        prompt = bytes(one for one in engine.asked[-1]["token_ids"] if one < 256)
        assert b"4711" not in prompt
        assert desk.control("GET", "/sessions/victim/rows") == before
        # The same claim by the victim itself is restored: the measure has teeth.
        desk.chat(victim_key, _claims(victim, call), tools=TOOLS)
        assert b"4711" in bytes(one for one in engine.asked[-1]["token_ids"] if one < 256)
        rows = desk.control("GET", "/sessions/attacker/rows")
        assert len(rows["rows"]) == 1
        (entry,) = _entries(desk, "attacker")
        assert (entry.basis, entry.parent) == (None, None)


def test_one_sessions_key_asks_nothing_about_another(hello):
    """The control route takes no session's key."""
    desk, _ = hello
    desk.open("victim")
    key = desk.open("attacker")
    for method, path in (("GET", ""), ("GET", "/rows"), ("DELETE", "")):
        status, said, _ = desk.send(method, f"/control/sessions/victim{path}", None, key)
        assert status == 401, said
