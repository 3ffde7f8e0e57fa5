"""F7, F12 and F14: logprobs computed anew, records written and read, and one script through every engine."""

import dataclasses
import json
import math
import random
from array import array
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from agentcore_rl.codec import decode_record, encode_record
from agentcore_rl.endpoint import Secret
from agentcore_rl.export import FORMATS, export_run, read_parquet
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Turns
from agentcore_rl.testing import Answer, ScriptedModel
from agentcore_rl.testing.tokens import prompt_ids
from agentcore_rl_gateway.engines.capture import Capture
from agentcore_rl_gateway.engines.llama_cpp import LlamaCpp
from agentcore_rl_gateway.engines.sglang import SGLang
from agentcore_rl_gateway.engines.vllm import VLLM
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.serving import GatewayServer, Options
from agentcore_rl_gateway.token_in import TokenIn
from gateway_desk import Desk
from gateway_doubles import END, ByteRenderer, EngineServer, llama_cpp, sglang, vllm
from gateway_fidelity import (
    TOOL,
    Answered,
    EngineLog,
    Talk,
    bench,
    branches,
    count,
    count_bench,
    in_turn,
    wrong_in_rows,
    wrong_in_turns,
)
from made_branches import stored_run
from made_rollouts import make_rollout
from made_vocabulary import FRAMEWORKS, made_vocabulary, sampled
from recording import ended, recording_from, turns_of

VOCABULARY = made_vocabulary()


# ---- F7


class TinyModel:
    """A recurrent model of 8 numbers: a logprob depends on every id before it and on nothing else."""

    size = 8

    def __init__(self) -> None:
        draw = random.Random(11)
        self.ids = [*range(256), VOCABULARY.control["<|im_end|>"]]
        self.known = {one: at for at, one in enumerate(self.ids)}
        self.mix = [[draw.gauss(0, 0.4) for _ in range(self.size)] for _ in range(self.size)]
        self.read = [[draw.gauss(0, 1) for _ in range(self.size)] for _ in range(400)]
        self.say = [[draw.gauss(0, 1) for _ in range(self.size)] for _ in self.ids]

    def after(self, state, one):
        """The state behind one more id."""
        mixed = (sum(w * x for w, x in zip(line, state, strict=True)) for line in self.mix)
        return [math.tanh(x + y) for x, y in zip(mixed, self.read[one], strict=True)]

    def logprobs(self, state):
        """Of every id that it can sample."""
        logits = [sum(w * x for w, x in zip(line, state, strict=True)) for line in self.say]
        total = math.log(sum(map(math.exp, logits)))
        return [one - total for one in logits]

    def scores(self, ids):
        """The logprob of each id behind those before it; 0 for those that it cannot sample."""
        state, found = [0.0] * self.size, []
        for one in ids:
            found.append(self.logprobs(state)[self.known[one]] if one in self.known else 0.0)
            state = self.after(state, one)
        return found

    def sample(self, prompt, draw):
        """An answer of up to 24 ids."""
        state, ids = [0.0] * self.size, []
        for one in prompt:
            state = self.after(state, one)
        while len(ids) < 24 and (not ids or ids[-1] != self.ids[-1]):
            weights = [math.exp(value) for value in self.logprobs(state)]
            ids += draw.choices(self.ids, weights)
            state = self.after(state, ids[-1])
        return ids, "stop" if ids[-1] == self.ids[-1] else "length"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_f7_a_trainer_computes_the_same_logprobs(serve, framework):
    """A forward pass over each row gives the recorded logprobs at the shifted targets that the mask names."""
    model, draw = TinyModel(), random.Random(framework)
    log = EngineLog(
        lambda prompt: model.sample(prompt, draw),
        # As engines say them: in 32 bits.
        lambda prompt, ids: array("f", model.scores([*prompt, *ids])[len(prompt) :]).tolist(),
    )
    with vllm(log) as server:
        desk = serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        with bench(desk, log) as done:
            talk = Talk(framework=framework)
            for _ in range(4):
                talk.turn()
            (row,) = done.rows()
            # What a trainer does: logits at a position are for the id behind it.
            inputs, targets, mask = row.ids[:-1], row.ids[1:], row.mask[1:]
            again = model.scores([*inputs, targets[-1]])[1:]
            far = max(abs(x - y) for x, y, on in zip(again, row.logprobs[1:], mask, strict=True) if on)
            slipped = max(abs(x - y) for x, y, on in zip(again, row.logprobs[:-1], mask, strict=True) if on)
            assert sum(mask) == log.sampled
            assert far < 1e-3
            assert not slipped < 1e-3
            count_bench("F7", done, 1, note="a tiny recurrent model in 32 bits: below 1e-3")


# ---- F12


def _play(talk, log_script, draw):
    for turn in range(5):
        calls = [("write", '{"path":"é"}')] if turn % 2 else []
        log_script.append(sampled(VOCABULARY, f"the answer {turn}", calls, f"hm {turn}", draw=draw))
        talk.turn()


def test_f12_a_record_reads_back_as_it_was(serve):
    """Prompt, answer and logprobs of each turn, written into a record's bytes and read from them."""
    script: list[list[int]] = []
    log = EngineLog(lambda _: script.pop(0))
    with vllm(log) as server:
        desk = serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        with bench(desk, log) as done:
            _play(Talk(framework="strands", tools=[TOOL]), script, random.Random(3))
            assert done.wrong() == 0
            assert done.recording is not None
            kept = done.recording.transcript
            rollout = make_rollout(messages=kept.messages, tools=kept.tools, trajectories=kept.trajectories)
            content = encode_record(rollout, bucket="b", key="k")
            read = [
                (turn.prompt_ids, turn.answer_ids, turn.stored.tokens.logprobs)
                for turn in Turns(decode_record(content))
            ]
            count(
                "F12",
                calls=len(log.answers),
                sampled=log.sampled,
                wrong=wrong_in_turns(log.answers, read),
                rows=len(done.rows()),
                wanted=1,
                note="records, the gateway's log, exports",
            )


class Trained(NamedTuple):
    """A training row as a trainer's file has it."""

    ids: Sequence[int]
    mask: Sequence[float]
    logprobs: Sequence[float | None]


def _trl(line):
    before = len(line["prompt_ids"])
    logprobs = [None] * before + line["logprobs"]
    return Trained(line["prompt_ids"] + line["completion_ids"], [0] * before + line["env_mask"], logprobs)


def _verl(line):
    before = len(line["prompt_ids"])
    ids = line["prompt_ids"] + line["response_ids"]
    return Trained(ids, [0] * before + line["response_mask"], [0.0] * before + line["response_logprobs"])


def _tinker(line):
    (chunk,) = line["datum"]["model_input"]["chunks"]
    fields = {name: tensor["data"] for name, tensor in line["datum"]["loss_fn_inputs"].items()}
    assert chunk["tokens"][1:] == fields["target_tokens"][:-1]
    ids = chunk["tokens"] + fields["target_tokens"][-1:]
    return Trained(ids, [0.0, *fields["mask"]], [0.0, *fields["logprobs"]])


def _prime_rl(line):
    return Trained(*(line["sample"][name] for name in ("token_ids", "mask", "logprobs")))


READERS = {"trl-rollout": _trl, "verl": _verl, "tinker": _tinker, "prime-rl": _prime_rl, "parquet-rows": None}


def test_f12_every_format_of_rows_is_read_back():
    """One that is added has to be read here."""
    assert {name for name, form in FORMATS.items() if form.unit == "row"} == READERS.keys()


@pytest.mark.parametrize("form", READERS)
def test_f12_an_export_trains_what_was_sampled(serve, tmp_path, form):
    """Ids, mask and logprobs of a trainer's file: the engine's, each sampled id once."""
    script: list[list[int]] = []
    log = EngineLog(lambda _: script.pop(0))
    with vllm(log) as server:
        desk = serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        with bench(desk, log) as done:
            for framework, seed in (("strands", 3), ("crewai", 4)):
                _play(Talk(framework=framework, tools=[TOOL]), script, random.Random(seed))
            kept = done.turns() and done.recording.transcript
            made = make_rollout(messages=kept.messages, tools=kept.tools, trajectories=kept.trajectories)
    made = dataclasses.replace(made, reward=Reward(1.0), suspect=[])
    exported = export_run(stored_run(tmp_path / "store", [made]), to=form, out=tmp_path / "file")
    read = READERS[form]
    rows = (
        [read(json.loads(line)) for line in exported.path.read_text().splitlines()]
        if read
        else list(read_parquet(exported.path))
    )
    count(
        "F12",
        calls=len(log.answers),
        sampled=log.sampled,
        wrong=wrong_in_rows(log.answers, rows),
        rows=len(rows),
        wanted=branches(log.answers),
        note=form,
    )


def test_f12_a_restart_reads_the_same_rows_from_the_log(serve, tmp_path):
    """The rows behind a restart are those before it, and one more turn extends them."""
    log = in_turn([sampled(VOCABULARY, f"the answer {at}", draw=random.Random(at)) for at in range(9)])
    messages = [{"role": "user", "content": "Begin."}]

    def turn(desk, key):
        said = desk.chat(key, messages)[1]["choices"][0]["message"]
        messages.extend([said, {"role": "user", "content": "And?"}])

    with vllm(log) as server:
        mode = lambda: TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY))  # noqa: E731
        with GatewayServer(mode(), Options(tmp_path / "log")) as first:
            desk = Desk(first, tmp_path / "log")
            key = desk.open()
            for _ in range(4):
                turn(desk, key)
        desk = serve(mode(), folder=tmp_path / "log")
        turn(desk, key)
        (row,) = desk.server.calls.sessions.find("r1").memory.history.rows()
    last = log.answers[-1]
    wrong = sum(x != y for x, y in zip(row.ids, last.prompt + last.ids, strict=True))
    lit = [one for one, on in zip(row.ids, row.mask, strict=True) if on]
    wrong += sum(x != y for x, y in zip(lit, [i for a in log.answers for i in a.ids], strict=True))
    count("F12", calls=5, sampled=log.sampled, wrong=wrong, rows=1, wanted=1)


# ---- F14

TEXT = "Hello 日本 🙂, how are you?"


def _scored(prompt, ids):
    return [-(at + 1) / 64 for at in range(len(ids))]


def _sglext(log):
    """SGLang's chat completions with ids beside them."""

    def answer(_, body):
        ids, values, reason = log(prompt_ids(body))
        logprobs = {"content": [{"token": "", "logprob": value} for value in values]}
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": TEXT},
            "finish_reason": reason,
            "logprobs": logprobs,
        }
        said = {"id": f"x{len(log.answers)}", "object": "chat.completion", "created": 1, "choices": [choice]}
        usage = {"prompt_tokens": 1, "completion_tokens": len(ids), "total_tokens": 1 + len(ids)}
        given = {"input_ids": log.answers[-1].prompt, "output_ids": ids}
        body = {**said, "usage": usage} | ({"sglext": given} if body.get("return_output_ids") else {})
        return 200, {"content-type": "application/json"}, json.dumps(body).encode()

    return EngineServer(answer)


class _Chat:
    """vLLM's chat completions with `return_token_ids`, as the scripted model plays them."""

    def __init__(self, log):
        def script(call):
            prompt = prompt_ids(call.json)
            ids, values, _ = log(prompt)
            return Answer(TEXT, token_ids=ids, prompt_token_ids=prompt, logprobs=values, chunks=3)

        self._model = ScriptedModel(script)

    def __enter__(self):
        self._model.start()
        self.url = self._model.base_url.removesuffix("/v1")
        return self

    def __exit__(self, *_):
        self._model.stop()


def _token_in(client):
    return lambda url: TokenIn(client(url), ByteRenderer())


def _capture(url):
    return Capture(url + "/v1")


ENGINES = {
    "vllm generate": (vllm, _token_in(VLLM)),
    "sglang generate": (sglang, _token_in(SGLang)),
    "sglang generate, incremental": (lambda log: sglang(log, incremental=True), _token_in(SGLang)),
    "llama.cpp completion": (llama_cpp, _token_in(LlamaCpp)),
    "vllm chat": (_Chat, _capture),
    "sglang sglext": (_sglext, _capture),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_f14_every_engine_gives_the_same_turns(serve, engine, stream):
    """One script, every engine and mode, streamed and not: the same prompts, answers and logprobs."""
    fake, mode = ENGINES[engine]
    log = EngineLog(lambda _: [*TEXT.encode(), END], _scored)
    messages = [{"role": "user", "content": "Hello?"}]
    wanted = []
    with fake(log) as server:
        desk = serve(mode(server.url))
        log.answers.clear()  # of the probe
        with recording_from(desk.server.base_url, model="m", api_key=Secret(desk.open())) as recorder:
            talk = Talk()
            talk.messages = messages
            for _ in range(3):
                ids = [*TEXT.encode(), END]
                wanted.append(Answered(prompt_ids({"messages": messages}), ids, _scored([], ids)))
                asked = talk.client.chat.completions.create(model="m", messages=messages, stream=stream)
                if stream:
                    for _ in asked:
                        continue
                messages += [{"role": "assistant", "content": TEXT}, {"role": "user", "content": "And?"}]
            turns = turns_of(ended(recorder))
    read = [(turn.prompt_ids, turn.answer_ids, turn.stored.tokens.logprobs) for turn in turns]
    wrong = wrong_in_turns(log.answers, read) + wrong_in_turns(wanted, read)
    # One row: each prompt begins with the one before it and its answer.
    rows = 1 + sum(turn.stored.parent is None for turn in turns[1:])
    count(
        "F14",
        calls=len(log.answers),
        sampled=log.sampled,
        wrong=wrong,
        rows=rows,
        wanted=1,
        note="fakes of vLLM (2 routes), SGLang (2) and llama.cpp; there is no Tinker engine",
    )
