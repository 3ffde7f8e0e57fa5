from datetime import UTC, datetime

import pytest

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.rendering.choice import CaptureOnly, Chosen, choose_renderer
from agentcore_rl_gateway.rendering.renderer import Parsed
from agentcore_rl_gateway.rendering.self_test import OneToken, self_test
from agentcore_rl_gateway.rendering.template import FromTemplate
from made_vocabulary import made_vocabulary

VOCABULARY = made_vocabulary()
RENDERER = ChatMLHermes(VOCABULARY)
DATED = (
    "<|im_start|>system\n{{ strftime_now('%d %b %Y') }}<|im_end|>\n{% for m in messages %}<|im_start|>"
    "{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>"
    "assistant\n{% endif %}"
)


class View:
    """An engine that agrees with the renderer."""

    def tokenize(self, text):
        return VOCABULARY.encode(text)

    def render(self, messages, tools):
        return RENDERER.prompt(messages, tools)

    def one_token(self, prompt):
        return OneToken(len(prompt), [5], [-1.0])


class OtherText(View):
    def tokenize(self, text):
        return [*VOCABULARY.encode(text), 5] if "e" in text and "<" not in text else VOCABULARY.encode(text)


class OtherControl(View):
    def tokenize(self, text):
        return [1] if text == "<|im_end|>" else VOCABULARY.encode(text)


class OtherTemplate(View):
    def render(self, messages, tools):
        return [*RENDERER.prompt(messages, tools), 5]


class AddsAToken(View):
    def one_token(self, prompt):
        return OneToken(len(prompt) + 1, [5], [-1.0])


class NoLogprobs(View):
    def one_token(self, prompt):
        return OneToken(len(prompt), [5], [])


class NoRoutes:
    def tokenize(self, text):
        return None

    def render(self, messages, tools):
        return None

    def one_token(self, prompt):
        return None


def test_all_parts_pass_where_both_agree():
    """Eight parts, none left out."""
    report = self_test(RENDERER, VOCABULARY, View())
    assert report.passed
    assert [part.skipped for part in report.parts] == [None] * 8
    report.refuse()


@pytest.mark.parametrize(
    ("view", "part"),
    [
        (OtherText, "text and ids"),
        (OtherControl, "control ids"),
        (OtherTemplate, "prompts"),
        (AddsAToken, "one token"),
        (NoLogprobs, "one token"),
    ],
)
def test_an_engine_that_means_something_else_is_not_served(view, part):
    """What differs is named, and the start refused."""
    report = self_test(RENDERER, VOCABULARY, view())
    assert [one.name for one in report.parts if one.problems] == [part]
    with pytest.raises(ConfigurationError, match=part):
        report.refuse()


class WrongAnswers(ChatMLHermes):
    def parse(self, ids, tail=(), tools=()):
        return Parsed(self.text(ids))


class WrongDeltas(ChatMLHermes):
    def delta(self, tail, answer, new, tools=()):
        return [*super().delta(tail, answer, new, tools), 5]


class Injectable(ChatMLHermes):
    def prompt(self, messages, tools=()):
        return VOCABULARY.tokenizer.encode(self.text(super().prompt(messages, tools))).ids


class Fragile(ChatMLHermes):
    def parse(self, ids, tail=(), tools=()):
        if "[[[[" in self.text(ids):
            raise RecursionError
        return super().parse(ids, tail, tools)


@pytest.mark.parametrize(
    ("renderer", "part"),
    [
        (WrongAnswers, "answers"),
        (WrongDeltas, "deltas"),
        (Injectable, "client text"),
        (Fragile, "hostile answers"),
    ],
)
def test_a_renderer_with_a_defect_is_not_served(renderer, part):
    """The parts that need no engine find it."""
    report = self_test(renderer(VOCABULARY), VOCABULARY)
    assert part in [one.name for one in report.parts if one.problems]


def test_what_an_engine_has_no_route_for_is_told():
    """Left out is not passed over in silence."""
    report = self_test(RENDERER, VOCABULARY, NoRoutes())
    assert report.passed
    assert {part.name for part in report.parts if part.skipped} == {"control ids", "prompts", "one token"}


def test_a_template_that_fails_means_capture():
    """Each with its reason."""
    for template, reason in [
        (None, "no_template"),
        ("{% for %}", "template_broken"),
        ("{{ messages|length }}<|im_end|>", "template_unfit"),
        ("{{ raise_exception('no') }}", "template_unfit"),
    ]:
        chosen = choose_renderer(VOCABULARY, template=template)
        assert isinstance(chosen, CaptureOnly)
        assert chosen.reason == reason
        assert chosen.detail


def test_a_family_that_was_named_must_fit():
    """No other is put in its place."""
    with pytest.raises(ConfigurationError, match="does not fit"):
        choose_renderer(VOCABULARY, family="llama-3")
    with pytest.raises(ConfigurationError, match="no family"):
        choose_renderer(VOCABULARY, family="default")
    for family in ("qwen3", "chatml-hermes"):
        assert isinstance(choose_renderer(VOCABULARY, family=family), Chosen)


def test_a_templates_date_is_frozen():
    """A conversation that goes on after midnight begins with the same ids; digests tell dates apart."""
    made = [FromTemplate(DATED, VOCABULARY, today=datetime(2026, 11, day, tzinfo=UTC)) for day in (1, 1, 2)]
    messages = [{"role": "user", "content": "Hi"}]
    one, same, other = (renderer.prompt(messages) for renderer in made)
    assert "01 Nov 2026" in made[0].text(one)
    assert one == same != other
    assert made[0].digest == made[1].digest != made[2].digest
    delta = made[0].delta(one[-64:], [VOCABULARY.control["<|im_end|>"]], messages)
    assert "2026" not in made[0].text(delta)
