import pytest

from agentcore_rl_gateway.history import History
from agentcore_rl_gateway.rendering.library import FromLibrary
from agentcore_rl_gateway.rendering.renderer import Fork
from made_vocabulary import made_vocabulary, message_of, sampled

VOCABULARY = made_vocabulary()
RENDERER = FromLibrary("qwen3", VOCABULARY)
USER = {"role": "user", "content": "Hi"}


def test_ids_behind_a_stop_are_a_drift():
    """The library's bridge cuts them off; what was served is never changed, so the conversation forks."""
    answer = [*sampled(VOCABULARY, "ok"), *VOCABULARY.encode("more")]
    tail = RENDERER.prompt([USER])[-64:]
    assert RENDERER.delta(tail, answer, [USER]) == Fork("drift")
    assert RENDERER.parse(answer).notes == ("ids_behind_stop",)


def test_an_answer_in_the_new_messages_is_rendered_anew():
    """The family has no form for it behind another answer."""
    history = History(RENDERER)
    plan = history.plan([USER])
    ids = sampled(VOCABULARY, "one")
    history.commit(plan, ids, [-1.0] * len(ids), "stop", "r")
    plan = history.plan([USER, message_of("one"), USER, message_of("never said"), USER])
    assert (plan.parent, plan.fork) == (None, "template")


@pytest.mark.parametrize("options", [{"thinking_retention": "tool_cycle"}])
def test_stripping_thoughts_is_the_familys_option(options):
    """By default thoughts stay; where the template's way is asked for, each user's message renders anew."""
    strip = FromLibrary("qwen3", VOCABULARY, **options)
    answer = sampled(VOCABULARY, "ok", (), "why")
    for renderer, expected in ((RENDERER, list), (strip, Fork)):
        tail = renderer.prompt([USER])[-64:]
        assert isinstance(renderer.delta(tail, answer, [USER]), expected)
    assert strip.digest != RENDERER.digest


def test_hostile_answers_are_text_and_counted():
    """The library's parser raises on these."""
    for inside in ("[" * 20_000, "9" * 5000):
        ids = VOCABULARY.encode('<tool_call>{"name": "x", "arguments": {"a": ' + inside + "}}</tool_call>")
        parsed = RENDERER.parse(ids)
        assert parsed.notes == ("hostile",)
        assert parsed.content.startswith("<tool_call>")
        assert parsed.calls == ()
