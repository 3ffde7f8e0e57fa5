"""F2 to F6 and F9: conversations of agents, as the engine's log has them and as the record has them."""

import json
import random
from pathlib import Path

import pytest

import agentcore_rl.local_model
from agentcore_rl_gateway.engines.vllm import VLLM
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.rendering.library import FromLibrary
from agentcore_rl_gateway.rendering.template import FromTemplate
from agentcore_rl_gateway.token_in import TokenIn
from gateway_doubles import vllm
from gateway_fidelity import SCALE, TOOL, EngineLog, Talk, bench, branches, count_bench, differing
from made_vocabulary import FRAMEWORKS, made_vocabulary, sampled

VOCABULARY = made_vocabulary()
TEMPLATE = (Path(agentcore_rl.local_model.__file__).parent / "chat_template.jinja").read_text()
RENDERERS = {
    "chatml": lambda: ChatMLHermes(VOCABULARY),
    "qwen3 of the library": lambda: FromLibrary("qwen3", VOCABULARY),
    "template": lambda: FromTemplate(TEMPLATE, VOCABULARY),
}


class Script:
    """What the engine is to say next; a test fills it before each call."""

    def __init__(self, seed=0):
        self.next, self.draw = [], random.Random(seed)
        self.log = EngineLog(lambda _: self.next.pop(0))

    def say(self, content="", calls=(), reasoning=None, **more):
        """Another answer, split as no tokenizer would."""
        reason = more.pop("reason", "stop")
        self.next.append((sampled(VOCABULARY, content, calls, reasoning, draw=self.draw, **more), reason))


@pytest.fixture
def script():
    """What the engine says."""
    return Script()


@pytest.fixture
def desk(serve, script):
    """A gateway in front of it."""
    with vllm(script.log) as server:
        yield serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))


def test_f2_ids_that_drift_stay_as_sampled(desk, script):
    """Twenty turns whose ids the tokenizer would not make of their text: one row, and none is made anew."""
    with bench(desk, script.log) as done:
        talk = Talk(framework="langgraph", tools=[TOOL])
        for turn in range(20):
            calls = [("write", '{"path": "in the other"}')] if turn % 2 else []
            script.say(f"the other inner thing is in there {turn}", calls)
            talk.turn()
        again = sum(
            differing(VOCABULARY.encode(VOCABULARY.tokenizer.decode(a.ids[:-1])), a.ids[:-1])
            for a in script.log.answers
        )
        assert again > 100  # the test has teeth: encoding anew would have been seen
        count_bench("F2", done, 1, note=f"{again} ids would differ when encoded anew")


@pytest.mark.parametrize("renderer", RENDERERS)
def test_f3_families_and_frameworks(serve, script, renderer):
    """Thoughts or none, tools or none, each framework: one row, though most send less than was said."""
    with vllm(script.log) as server:
        desk = serve(TokenIn(VLLM(server.url), RENDERERS[renderer]()))
        for framework in FRAMEWORKS:
            for thinks in (False, True):
                for tools in ([], [TOOL]):
                    _play_f3(desk, script, framework, thinks, tools, 10 if SCALE > 1 else 4)


def _play_f3(desk, script, framework, thinks, tools, turns):
    with bench(desk, script.log, f"{framework}-{thinks}-{len(tools)}") as done:
        talk = Talk(framework=framework, tools=tools)
        for turn in range(turns):
            calls = (
                [("write", '{"path":"/a",  "content": "é"}')] * (1 + turn % 2) if tools and turn % 3 else []
            )
            script.say(f" so {turn} ", calls, f"thought {turn}" if thinks else None)
            talk.turn()
        count_bench("F3", done, 1, note="policy keep; there is no policy strip")
        assert done.forks() == {}


ARGUMENTS = [
    '{"b": 1, "a": 2}',
    '{ "a" :\t1 ,"b":[ 1,2 ] }',
    '{"a": "\\u00e9\\ud83d\\ude42", "b": "é🙂"}',
    '{"a": 1.0, "b": 1e3, "c": -0.0, "d": 12345678901234567890}',
    '{"a": 1, "a": 2}',
    '{"a": {"c": [{"z": 1, "y": {"x": null}}], "b": true}}',
    '{"a": "line\\nbreak \\"quoted\\" \\/ </tool_cal"}',
    "{}",
]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_f4_arguments_in_any_spelling(desk, script, framework):
    """The agent gets the arguments as they were sampled, and however it spells them again it is one row."""
    with bench(desk, script.log) as done:
        talk = Talk(framework=framework, tools=[TOOL])
        for arguments in ARGUMENTS:
            script.say("", [("write", arguments)])
            (call,) = talk.turn().tool_calls
            assert call.function.arguments == arguments
            assert json.loads(call.function.arguments) == json.loads(arguments)
        count_bench("F4", done, 1)


def _edit(messages):
    messages[2] = {"role": "assistant", "content": "I never said that."}


def _truncate(messages):
    del messages[1:3]


def _summarise(messages):
    messages[1:-1] = [{"role": "user", "content": "In short: nothing."}]


@pytest.mark.parametrize(
    ("edit", "reason"), [(_edit, "client_edit"), (_truncate, "compaction"), (_summarise, None)]
)
def test_f5_real_edits_fork_and_lose_nothing(desk, script, edit, reason):
    """A past message that was changed, dropped or summed up: two rows, and every sampled id trains once."""
    with bench(desk, script.log) as done:
        talk = Talk()
        for turn in range(6):
            if turn == 3:
                edit(talk.messages)
            script.say(f"answer {turn}")
            talk.turn()
        assert sum(sum(row.mask) for row in done.rows()) == script.log.sampled
        count_bench("F5", done, 2)
        assert done.forks() == ({reason: 1} if reason else {})


@pytest.mark.parametrize("seed", range(4))
def test_f6_nothing_is_lost(desk, script, seed):
    """Edits, summaries, retries and answers that are cut: sampled = trained + masked + partial."""
    draw = random.Random(seed)
    with bench(desk, script.log) as done:
        talk = Talk(framework=draw.choice(list(FRAMEWORKS)), tools=[TOOL])
        for turn in range(12):
            kind = draw.choice(["plain", "edit", "truncate", "summary", "retry", "length", "call"])
            change = {"edit": _edit, "truncate": _truncate, "summary": _summarise}.get(kind)
            if change is not None and len(talk.messages) > 4:
                change(talk.messages)
            before = list(talk.messages)
            if kind == "length":
                script.say(f"cut {turn}", end=None, reason="length")
            else:
                script.say(f"said {turn}", [("write", '{"a": 1}')] if kind == "call" else [])
            talk.turn()
            if kind == "retry":
                talk.messages = before
                script.say(f"again {turn}")
                talk.turn()
        told, account = done.told(), done.account()
        assert told["sampled"] == script.log.sampled == account.sampled
        assert told["kept"] + told["partial"] + sum(told["masked"].values()) == script.log.sampled
        assert account.trained + account.partial + sum(account.masked.values()) == script.log.sampled
        assert account.trained == sum(sum(row.mask) for row in done.rows())
        assert "unaccounted_tokens 0" in desk.send("GET", "/metrics")[1]
        count_bench("F6", done, branches(script.log.answers))


def test_f9_any_order_of_arrival_gives_the_same_rows(desk, script):
    """Three sub-agents in one session, mixed in ten ways: three rows each time, and always the same."""
    found = set()
    for seed in range(10):
        order = [at for at in range(3) for _ in range(4)]
        random.Random(seed).shuffle(order)
        with bench(desk, script.log, f"mixed-{seed}") as done:
            talks = [Talk(framework=kind, system=f"You are {kind}.") for kind in ("sdk", "strands", "crewai")]
            turns = [0, 0, 0]
            for at in order:
                script.draw = random.Random(f"{at} {turns[at]}")
                script.say(f"part {at} {turns[at]}", reasoning="hm")
                talks[at].turn()
                turns[at] += 1
            count_bench("F9", done, 3)
            found.add(json.dumps([[list(row.ids), list(row.mask)] for row in done.rows()]))
    assert len(found) == 1
