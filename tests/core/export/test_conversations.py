"""Branches as messages: what the model said stands as it said it, and trains once."""

from hypothesis import given, settings

from agentcore_rl.export import Terms, conversations_of
from agentcore_rl.export.branches import is_partial
from agentcore_rl.export.conversations import parsed_arguments
from made_branches import Session, asked, forked, said, sessions, without_ids
from made_rollouts import golden_rollout, make_rollout, raw

ALL = Terms(include_suspect=True)


def _texts(conversation):
    return [one["content"] for one in conversation.messages]


def test_branches():
    """As messages go on, with or without ids; of each agent the branch of most turns first."""
    for rollout in (forked().rollout(), without_ids(forked().rollout())):
        longest, edited, helper = conversations_of(rollout, ALL)
        assert _texts(longest) == ["You are an agent.", "q", "a", "left", "l", "on", "o", "more", "m"]
        assert (longest.answers, longest.trained) == ({2: 0, 4: 1, 6: 3, 8: 4}, {2, 4, 6, 8})
        assert _texts(edited) == ["You are an agent.", "q", "a", "right", "r"]
        assert (edited.answers, edited.trained) == ({2: 0, 4: 2}, {4})
        assert (helper.agent, _texts(helper)) == ("helper", ["help", "h"])


def test_what_the_model_said():
    """Where a framework sent an answer back without its text or its thoughts, the answer stands whole."""
    session = Session()
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    whole = {
        "role": "assistant",
        "content": "let me see",
        "reasoning": "hm",
        "tool_calls": [call],
        "refusal": None,
        "annotations": [],
    }
    session.call([asked("q")], [1], [2], [-1.0], answer=whole)
    back = {"role": "assistant", "content": None, "tool_calls": [call]}
    told = {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "4"}]}
    session.call([asked("q"), back, told], [1, 2, 3], [4], [-1.0], answer=said("a"))
    [conversation] = conversations_of(session.rollout())
    assert conversation.messages[1] == {
        "role": "assistant",
        "content": "let me see",
        "tool_calls": [call],
        "reasoning_content": "hm",
    }
    assert conversation.trained == {1, 3}


def test_arguments_as_objects():
    """What is no JSON object stays the text that it is, and halves of surrogate pairs become `?`."""

    def conversation(arguments):
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
        rollout = make_rollout(
            messages=[raw(asked("q")), raw({"role": "assistant", "content": None, "tool_calls": [call]})]
        )
        [one] = conversations_of(rollout)
        return parsed_arguments(one).messages[1]["tool_calls"][0]["function"]["arguments"]

    assert conversation('{"a": [1]}') == {"a": [1]}
    assert conversation('{"a": ') == '{"a": '
    assert conversation("[1]") == "[1]"
    assert conversation('{"\\ud83d": "\\udc00"}') == {"?": "?"}


def test_messages_that_are_none():
    """What could not be stored stands as text; nothing breaks."""
    rollout = make_rollout(messages=[raw({"$unserialisable": "x"}), raw(said("a"))])
    [conversation] = conversations_of(rollout)
    assert conversation.messages[0] == {"role": "user", "content": '{"$unserialisable": "x"}'}
    odd = make_rollout(messages=[raw(asked("q")), raw("no object")])
    [conversation] = conversations_of(odd)
    assert (conversation.answers, conversation.trained) == ({}, frozenset())


def test_a_call_without_an_answer():
    """It ends no conversation."""
    [conversation] = conversations_of(golden_rollout(), ALL)
    assert (conversation.agent, conversation.masked) == ("main", "reward_failure")
    assert conversations_of(make_rollout(0)) == []


@given(sessions())
@settings(deadline=None, max_examples=30)
def test_every_whole_answer_trains_once(session):
    """In exactly one conversation, at a message that says what the model said."""
    rollout = session.rollout()
    trained = []
    for conversation in conversations_of(rollout, ALL):
        for at in conversation.trained:
            turn = conversation.answers[at]
            trained.append(turn)
            assert conversation.messages[at]["content"] == rollout.turns[turn].answer["content"]
    assert sorted(trained) == [turn.id for turn in session.turns if not is_partial(turn)]


def test_the_last_turns_tools_and_sampling():
    """They are those of the request that the branch ends with."""
    [conversation] = conversations_of(golden_rollout(), ALL)
    assert conversation.tools[0]["function"]["name"] == "calculator"
    assert conversation.sampling == {"temperature": 1.0}
