"""The scripted model's tokenizer keeps the law that training relies on."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.testing import tokens

CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
TEXT = st.none() | st.text(max_size=30)
ANSWER = st.builds(
    lambda content, calls: {
        "role": "assistant",
        "content": content,
        **({"tool_calls": calls} if calls else {}),
    },
    TEXT,
    st.lists(st.just(CALL), max_size=2),
)


@given(answer=ANSWER, follow_up=TEXT, tools=st.sampled_from([[], [{"type": "function"}]]))
def test_the_next_prompt_begins_with_this_prompt_and_answer(answer: Any, follow_up: Any, tools: Any) -> None:
    """A history that repeats the answer word for word has its ids as a prefix."""
    question = {"role": "user", "content": "q"}
    first = {"messages": [question], "tools": tools}
    then = {"messages": [question, answer, {"role": "tool", "content": follow_up}], "tools": tools}
    so_far = tokens.prompt_ids(first) + tokens.answer_ids(answer, "stop")
    assert tokens.prompt_ids(then)[: len(so_far)] == so_far


@given(st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": TEXT}), min_size=1, max_size=4))
def test_counting_is_the_length_of_the_ids(messages: Any) -> None:
    """The count that usage carries needs no list of ids."""
    assert tokens.count_prompt({"messages": messages}) == len(tokens.prompt_ids({"messages": messages}))


def test_ids_can_be_read_by_eye() -> None:
    """An id is a byte of the text; the end token is missing where the model was cut short."""
    message = {"role": "assistant", "content": [{"type": "text", "text": "aü"}]}
    assert tokens.answer_ids(message, "stop") == [97, 195, 188, tokens.END]
    assert tokens.answer_ids(message, "length") == [97, 195, 188]
