"""TRL: examples for SFT, and the columns of a rollout_func."""

import json

import pytest

from agentcore_rl.export import FORMATS, Terms, conversations_of, rows_of
from agentcore_rl.export.formats.unfit import Unfit
from made_branches import Session, asked, forked, said, talk
from made_rollouts import golden_rollout

ALL = Terms(include_suspect=True)


def _entries(name, units):
    convert = FORMATS[name].converter()
    return [line for unit in units for line in convert(unit)]


def test_a_conversation_for_sft():
    """Messages as they were, the tools as a JSON text, arguments as an object."""
    rollout = golden_rollout()
    [main] = conversations_of(rollout, ALL)
    (line,) = _entries("trl", [main])
    assert [message["role"] for message in line["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    call = line["messages"][2]["tool_calls"][0]
    assert call["function"] == {"name": "calculator", "arguments": {"expression": "6*7"}}
    assert json.loads(line["tools"]) == rollout.turns[0].tools
    assert line["group"] == "task"


def test_an_example_for_each_answer():
    """The prompt is all that stands before it; an answer that branches share is one example."""
    lines = _entries("trl-prompt-completion", conversations_of(forked().rollout(), ALL))
    told = [(len(line["prompt"]), line["completion"][0]["content"]) for line in lines]
    assert told == [(2, "a"), (4, "l"), (6, "o"), (8, "m"), (4, "r"), (1, "h")]


def test_a_conversation_that_would_train_an_answer_twice():
    """TRL's SFT has no mask for a message: a branch that shares an answer does not fit."""
    longest, edited, helper = conversations_of(forked().rollout(), ALL)
    assert len(_entries("trl", [longest, helper])) == 2
    with pytest.raises(Unfit, match="answer_trains_elsewhere"):
        _entries("trl", [edited])


def test_a_prompt_with_an_answer_of_its_own():
    """What the policy did not sample must not train."""
    session = Session()
    session.call([asked("q"), said("an example"), asked("r")], [1], [2], [-1.0], answer=said("a"))
    [conversation] = conversations_of(session.rollout(), ALL)
    with pytest.raises(Unfit, match="assistant_message_not_sampled"):
        _entries("trl", [conversation])
    (line,) = _entries("trl-prompt-completion", [conversation])
    assert [one["content"] for one in line["completion"]] == ["a"]


def test_columns_of_a_rollout_func():
    """The keys that TRL wants, one of each per sequence, with null for a logprob that is not there."""
    (line,) = _entries("trl-rollout", rows_of(talk(2)))
    assert line.keys() >= {"prompt_ids", "completion_ids", "logprobs", "env_mask"}
    assert len(line["completion_ids"]) == len(line["logprobs"]) == len(line["env_mask"]) == 8
    assert line["logprobs"][3:5] == [None, None]
    assert (line["env_reward"], line["group"], line["policy_version"]) == (1.0, "task", 3)
