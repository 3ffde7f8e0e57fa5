"""The real SmolLM2 on llama.cpp: random conversations, position by position."""

import json
import random
import urllib.request

import pytest

from agentcore_rl.endpoint import Secret
from agentcore_rl.local_model import LocalModel, find_model
from agentcore_rl.local_model.engine import MODELS
from agentcore_rl.witness import rollout_digest
from agentcore_rl_gateway.engines.llama_cpp import LlamaCpp
from agentcore_rl_gateway.log import CallAnswered, read_log
from agentcore_rl_gateway.past import whole_turns
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.rendering.gguf import gguf_vocabulary
from agentcore_rl_gateway.token_in import TokenIn
from gateway_doubles import EngineServer
from gateway_fidelity import SCALE, Answered, Talk, count, differing, wrong_in_rows
from made_vocabulary import FRAMEWORKS
from recording import ended, recording_from, turns_of

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": told,
            "parameters": {"type": "object", "properties": {field: {"type": "string"}}, "required": [field]},
        },
    }
    for name, told, field in [
        ("calculator", "Evaluates an arithmetic expression.", "expression"),
        ("look_up", "Looks a word up in the dictionary.", "word"),
    ]
]
QUESTIONS = [
    "Kim had 31 stamps and lost 7. How many stamps remain?",
    "A box holds 12 eggs. How many eggs are in 9 boxes?",
    "Repeat after me: 日本語 🙂🎉 é",
    "Repeat after me: 億億 唔 🔔👑 億",
    "Say <|im_end|> and <tool_call>{}</tool_call>, please.",
    "  What is\r\n\tthe word for 'house' in French? ",
]
RESULTS = ["24", "", '{"result": 108.0, "ok": true}', "Error: no such word 'é🙂'", "<|im_start|>user\nStop."]


@pytest.fixture(scope="module")
def local_model():
    """llama.cpp with SmolLM2, for every test here."""
    with LocalModel() as model:
        yield model


@pytest.fixture(scope="module")
def renderer():
    """Of SmolLM2, with the tokenizer of its file."""
    return ChatMLHermes(gguf_vocabulary(find_model())[0])


def _post(url, body):
    asked = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=50) as answer:
        return answer.read()


class Wire:
    """The wire of the engine, written down between gateway and engine.

    Attributes:
        answers: prompt, sampled ids and logprobs of each answer; None where the engine said none.
        scores: what it said of single ids when it was asked for those: (ids before, {id: logprob}).
    """

    def __init__(self, url, vocabulary):
        self.url, self.answers, self.scores = url, [], []
        self.vocabulary = vocabulary

    def server(self):
        """A server that passes everything on."""

        def forward(path, body):
            content = _post(self.url + path, body)
            said = json.loads(content)
            if body["n_probs"] == 1:
                self._heard(body["prompt"], said)
            else:
                (likely,) = said["completion_probabilities"]
                self.scores.append(
                    (body["prompt"], {one["id"]: one["logprob"] for one in likely["top_logprobs"]})
                )
            return 200, {"content-type": "application/json"}, content

        return EngineServer(forward)

    def _heard(self, prompt, said):
        ids, entries = said["tokens"], list(said["completion_probabilities"])
        values = []
        spelled = b""
        for one, piece in zip(ids, self.vocabulary.pieces(ids), strict=True):
            spelled += b"" if self.vocabulary.is_control(one) else piece
            # The engine has an entry for an id that ends on a whole character, and for no other.
            values.append(None if _unfinished(spelled) else entries.pop(0)["logprob"])
        assert not entries
        last = self.answers[-1] if self.answers else None
        if last is not None and prompt == last.prompt + last.ids:  # the next piece of a stream
            last.ids.extend(ids)
            last.logprobs.extend(values)
        else:
            self.answers.append(Answered(prompt, ids, values))

    def whole(self):
        """The answers, with what was said of single ids afterwards at its place."""
        for answer in self.answers:
            for at, value in enumerate(answer.logprobs):
                before = answer.prompt + answer.ids[:at]
                told = [found for asked, found in self.scores if asked == before]
                if told:
                    again = told[0].get(answer.ids[at])
                    assert value is None or abs(value - again) < 0.5  # batches differ a little
                    answer.logprobs[at] = again
        return self.answers


def _unfinished(spelled):
    """Whether these bytes end inside a character."""
    for size in range(1, min(4, len(spelled)) + 1):
        first = spelled[-size]
        if first & 0xC0 != 0x80:
            return size < (2 if first & 0xE0 == 0xC0 else 3 if first & 0xF0 == 0xE0 else 4) and first >= 0xC0
    return False


def _converse(talk, draw):
    """A few turns as an agent has them: questions, tools that answer anything, streams."""
    for _ in range(draw.randint(2, 4)):
        talk.messages[-1] = (
            {**talk.messages[-1], "content": draw.choice(RESULTS)}
            if talk.messages[-1]["role"] == "tool"
            else {"role": "user", "content": draw.choice(QUESTIONS)}
        )
        if draw.random() < 0.3:
            offered = {"tools": talk.tools} if talk.tools else {}
            chunks = talk.client.chat.completions.create(
                model="policy", messages=talk.messages, stream=True, **offered
            )
            deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
            talk.hear(
                "".join(delta.content or "" for delta in deltas),
                [
                    (call.function.name, call.function.arguments, call.id)
                    for delta in deltas
                    for call in delta.tool_calls or ()
                ],
            )
        else:
            talk.turn()


def _clean_pass(url, heard, scale, draw):
    """How far recorded logprobs are from those of the whole prefix, evaluated anew without a cache."""
    far = 0.0
    for _ in range(2):
        answer = draw.choice(heard)
        at = draw.randrange(len(answer.ids))
        if answer.logprobs[at] is None:
            continue
        asked = {
            "prompt": answer.prompt + answer.ids[:at],
            "n_predict": 1,
            "n_probs": 49_152,
            "cache_prompt": False,
            "lora": [{"id": 0, "scale": scale}],
            "grammar": 'root ::= "a"',  # an id inside a character would have no entry
        }
        (said,) = json.loads(_post(url + "/completion", asked))["completion_probabilities"]
        known = {one["id"]: one["logprob"] for one in said["top_logprobs"]}
        far = max(far, abs(known[answer.ids[at]] - answer.logprobs[at]))
    return far


@pytest.mark.parametrize("seed", range(4 if SCALE > 1 else 2))
def test_random_conversations_are_recorded_as_they_were_sampled(serve, local_model, renderer, seed):
    """Each id of prompt and answer, and each logprob, at its position; one row for a conversation."""
    draw = random.Random(seed)
    wire = Wire(local_model.engine_url, renderer.vocabulary)
    with wire.server() as server:
        desk = serve(TokenIn(LlamaCpp(server.url, models=dict(MODELS)), renderer))
        sampling = {"max_tokens": draw.randint(8, 24), "seed": draw.randrange(1000)}
        sampling["temperature"] = draw.choice([0.7, 1.0, 1.3])
        key = desk.open(sampling=sampling)
        model = draw.choice(sorted(MODELS))
        with recording_from(desk.server.base_url, model=model, api_key=Secret(key)) as recorder:
            talk = Talk(
                framework=draw.choice(list(FRAMEWORKS)), tools=draw.choice([TOOLS, TOOLS, TOOLS[:1], []])
            )
            _converse(talk, draw)
            recording = ended(recorder)
        history = desk.server.calls.sessions.find("r1").memory.history
        rows, forks = list(history.rows()), dict(history.forks)
        digest = desk.control("GET", "/sessions/r1")["digest"]
    logged = whole_turns(entry for entry in read_log(desk.folder) if isinstance(entry, CallAnswered))
    turns, heard = turns_of(recording), wire.whole()
    assert len(turns) == len(heard)
    wrong = 0
    for turn, entry, answer in zip(turns, logged, heard, strict=True):
        wrong += differing(turn.prompt_ids, answer.prompt) + differing(turn.answer_ids, answer.ids)
        given = list(entry.logprobs or [None] * len(answer.ids))
        holes = {one for one, value in zip(answer.ids, given, strict=True) if value is None}
        for at, one in enumerate(answer.ids):
            if given[at] is None and answer.ids.count(one) > 1 and one in holes:
                answer.logprobs[at] = None  # which of these equal ids an entry belongs to is not certain
        wrong += differing(given, answer.logprobs)
        if None in answer.logprobs:  # a record has all logprobs of a turn, or none and says so
            assert turn.stored.tokens.logprobs is None
            assert "logprobs_incomplete" in turn.stored.suspect
        else:
            assert "logprobs_incomplete" not in turn.stored.suspect
            wrong += differing(turn.stored.tokens.logprobs, answer.logprobs)
    wrong += wrong_in_rows(heard, rows)
    far = _clean_pass(local_model.engine_url, heard, MODELS[model], draw)
    assert far < 0.25
    count(
        "SmolLM2",
        calls=len(heard),
        sampled=sum(len(answer.ids) for answer in heard),
        wrong=wrong,
        rows=len(rows),
        wanted=1,
        note="logprobs within 0.25 of a pass without the cache",
    )
    assert forks == {}
    assert rollout_digest(recording.transcript) == digest
