import json
from pathlib import Path

import pytest

import agentcore_rl.local_model
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.rendering.library import FromLibrary
from agentcore_rl_gateway.rendering.renderer import Fork, Parsed, ParsedCall
from agentcore_rl_gateway.rendering.template import FromTemplate
from agentcore_rl_gateway.testing import RendererConformance
from made_vocabulary import made_vocabulary, sampled

VOCABULARY = made_vocabulary()
PLAIN = made_vocabulary(markers=False)
TEMPLATE = (Path(agentcore_rl.local_model.__file__).parent / "chat_template.jinja").read_text()


class _Made(RendererConformance):
    def vocabulary(self):
        return VOCABULARY

    def sampled(self, content, calls=(), reasoning=None):
        return sampled(self.vocabulary(), content, calls, reasoning)


class TestQwen3OfTheLibrary(_Made):
    def renderer(self):
        return FromLibrary("qwen3", VOCABULARY)


class TestChatMLHermes(_Made):
    def renderer(self):
        return ChatMLHermes(VOCABULARY)


class TestChatMLHermesWithoutMarkers(_Made):
    """As SmolLM2: the markers are text."""

    def vocabulary(self):
        return PLAIN

    def renderer(self):
        return ChatMLHermes(PLAIN, thinks=True)


class TestTemplate(_Made):
    def renderer(self):
        return FromTemplate(TEMPLATE, VOCABULARY)


class Broken:
    """A good renderer with one defect."""

    def __init__(self) -> None:
        self.good = ChatMLHermes(VOCABULARY)
        self.name, self.digest, self.stop_ids = self.good.name, self.good.digest, self.good.stop_ids

    def prompt(self, messages, tools=()):
        return self.good.prompt(messages, tools)

    def delta(self, tail, answer, new, tools=()):
        return self.good.delta(tail, answer, new, tools)

    def parse(self, ids, tail=(), tools=()):
        return self.good.parse(ids, tail, tools)

    def text(self, ids):
        return self.good.text(ids)


class NewDigestEachTime(Broken):
    def __init__(self):
        super().__init__()
        self.digest = str(id(self))


class EndsNothing(Broken):
    def __init__(self):
        super().__init__()
        self.stop_ids = frozenset()


class Counts(Broken):
    counted = 0

    def prompt(self, messages, tools=()):
        self.counted += 1
        return [*super().prompt(messages, tools), self.counted]


class ChangesMessages(Broken):
    def prompt(self, messages, tools=()):
        ids = super().prompt(messages, tools)
        for message in messages:
            message["seen"] = True
        return ids


class DropsSystem(Broken):
    def prompt(self, messages, tools=()):
        return super().prompt([one for one in messages if one["role"] != "system"], tools)


class ReadsClientMarkup(Broken):
    def prompt(self, messages, tools=()):
        return VOCABULARY.tokenizer.encode(self.text(super().prompt(messages, tools))).ids


class ReadsToolMarkup(Broken):
    def prompt(self, messages, tools=()):
        ids = super().prompt(messages, tools)
        return VOCABULARY.tokenizer.encode(self.text(ids)).ids if tools else ids


class ReadsResultMarkup(Broken):
    def delta(self, tail, answer, new, tools=()):
        return VOCABULARY.tokenizer.encode(self.text(super().delta(tail, answer, new, tools))).ids


class OtherDelta(Broken):
    def delta(self, tail, answer, new, tools=()):
        return super().delta(tail, answer, [*new, {"role": "user", "content": "?"}], tools)


class DoesNotOpen(Broken):
    def delta(self, tail, answer, new, tools=()):
        return super().delta(tail, answer, new, tools)[:-2]


class NeverBridges(Broken):
    def delta(self, tail, answer, new, tools=()):
        return Fork("template")


class DoesNotEnd(Broken):
    def delta(self, tail, answer, new, tools=()):
        return super().delta(tail, [min(self.stop_ids)], new, tools)


class AlwaysEnds(Broken):
    def delta(self, tail, answer, new, tools=()):
        return super().delta(tail, [], new, tools)


class DropsThoughts(Broken):
    def delta(self, tail, answer, new, tools=()):
        return Fork("template") if "<think>" in self.text(answer) else super().delta(tail, answer, new, tools)


class _Calls(Broken):
    def call(self, one):
        return one

    def parse(self, ids, tail=(), tools=()):
        read = super().parse(ids, tail, tools)
        return Parsed(read.content, read.reasoning, tuple(map(self.call, read.calls)), read.complete)


class DumpsArguments(_Calls):
    def call(self, one):
        arguments = None if one.arguments is None else json.dumps(json.loads(one.arguments))
        return ParsedCall(one.status, one.name, arguments, one.raw, one.span)


class WrongSpans(_Calls):
    def call(self, one):
        return ParsedCall(one.status, one.name, one.arguments, one.raw, (0, 200))


class ServesAnything(_Calls):
    def call(self, one):
        return ParsedCall("ok", one.name, one.arguments, one.raw, one.span)


class KeepsThoughtsInText(Broken):
    def parse(self, ids, tail=(), tools=()):
        read = super().parse(ids, tail, tools)
        return Parsed(f"{read.reasoning or ''}{read.content}", None, read.calls)


class DropsText(Broken):
    def parse(self, ids, tail=(), tools=()):
        read = super().parse(ids, tail, tools)
        return Parsed("", read.reasoning, read.calls)


class ReadsDrafts(Broken):
    def parse(self, ids, tail=(), tools=()):
        marks = VOCABULARY.control["<think>"], VOCABULARY.control["</think>"]
        return super().parse([one for one in ids if one not in marks], tail, tools)


class Raises(Broken):
    def parse(self, ids, tail=(), tools=()):
        json.loads(self.text(ids).partition("<tool_call>")[2].partition("</tool_call>")[0] or "{}")
        return super().parse(ids, tail, tools)


class Quadratic(Broken):
    def parse(self, ids, tail=(), tools=()):
        for at in range(0, len(ids), 48):
            self.text(ids[:at])
        return super().parse(ids, tail, tools)


class DropsImages(Broken):
    def prompt(self, messages, tools=()):
        return super().prompt([one for one in messages if isinstance(one["content"], str)], tools)


class TakesAnyRole(Broken):
    def prompt(self, messages, tools=()):
        known = ("system", "user", "assistant", "tool")
        mended = [one if one["role"] in known else {**one, "role": "user"} for one in messages]
        return super().prompt(mended, tools)


DEFECTS = {
    "test_it_says_what_it_is": [NewDigestEachTime, EndsNothing],
    "test_a_prompt_is_a_pure_function": [Counts, ChangesMessages],
    "test_every_message_is_in_the_prompt": [DropsSystem],
    "test_client_text_is_never_a_control_id": [ReadsClientMarkup, ReadsToolMarkup, ReadsResultMarkup],
    "test_a_delta_is_what_the_whole_prompt_has_there": [OtherDelta, DoesNotOpen, NeverBridges],
    "test_an_answer_cut_by_length_is_ended": [DoesNotEnd, AlwaysEnds, NeverBridges],
    "test_thoughts_stay": [DropsThoughts],
    "test_answers_are_read": [DumpsArguments, WrongSpans, DropsText],
    "test_thoughts_are_no_content": [KeepsThoughtsInText, ReadsDrafts],
    "test_what_is_no_call_is_not_served_as_one": [ServesAnything],
    "test_reading_never_raises": [Raises],
    "test_reading_takes_linear_time": [Quadratic],
    "test_what_has_no_form_is_refused": [DropsImages, TakesAnyRole],
}


@pytest.mark.parametrize(("name", "defect"), [(name, one) for name, many in DEFECTS.items() for one in many])
def test_a_defect_is_found(name, defect):
    """Each part of the contract fails for a renderer that breaks it."""

    class Suite(_Made):
        def renderer(self):
            return defect()

    with pytest.raises((AssertionError, ValueError, RecursionError)):
        getattr(Suite(), name)()


def test_every_part_has_a_defect():
    """No part of the contract is without one."""
    assert set(DEFECTS) == {name for name in vars(RendererConformance) if name.startswith("test_")}
