from array import array

from agentcore_rl.recorder.calls import Answer, AnswerReader
from agentcore_rl.recorder.token_ids import place_tokens
from agentcore_rl.turn import Tokens


def _read(body: bytes) -> Answer:
    reader = AnswerReader(event_stream=body.startswith(b"data:"))
    reader.feed(body)
    return reader.finish()


def test_a_gateways_tokens_are_read_from_an_answer():
    """Ids, logprobs, what the prompt adds, and remarks are taken from where the gateway puts them."""
    fields = (
        b'"agentcore_rl":{"placed_on":"a","prompt_keep":3,"prompt_new":[7,8],"answer":[9,2],'
        b'"logprobs":[-0.5,-0.25],"remarks":["constrained","tools_offered_none_parsed"],"masked":[]}'
    )
    whole = b'{"id":"b","choices":[{"message":{"content":"x"},"finish_reason":"stop"}],' + fields + b"}"
    stream = (
        b'data: {"id":"b","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
        b'data: {"id":"b","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
        + fields
        + b"}\n\ndata: [DONE]\n\n"
    )
    for body in (whole, stream):
        answer = _read(body)
        assert answer.answer_ids == array("I", [9, 2])
        assert answer.logprobs == array("d", [-0.5, -0.25])
        assert answer.prompt_rest == ("a", 3, array("I", [7, 8]))
        assert answer.remarks == ["constrained"]


def test_logprobs_with_a_hole_are_none_and_said():
    """A logprob that the engine did not give is never made up: there are none then, and the turn says so."""
    answer = _read(
        b'{"id":"b","choices":[{"message":{"content":"x"},"finish_reason":"stop"}],'
        b'"agentcore_rl":{"answer":[9,2],"logprobs":[-0.5,null]}}'
    )
    assert answer.logprobs is None
    assert answer.remarks == ["logprobs_incomplete"]


def test_a_prompt_is_put_together_from_the_turn_that_it_adds_to():
    """The turn that the gateway names need not be the one that the record's prompt extends."""
    named = Tokens(0, [1, 2, 3], [4, 5])
    answer = Answer(answer_ids=array("I", [9]), prompt_rest=("a", 4, array("I", [7])))
    tokens = place_tokens(answer, [Tokens(0, [1, 2, 8], [])], [named])
    assert tokens is not None
    assert tokens.prompt_new is not None
    assert (tokens.prompt_keep, list(tokens.prompt_new)) == (2, [3, 4, 7])


def test_a_prompt_on_a_turn_that_is_not_known_is_left_out():
    """Where the named turn is not in this record, the prompt's ids are unknown, and the turn says so."""
    answer = Answer(answer_ids=array("I", [9]), prompt_rest=("gone", 4, array("I", [7])))
    tokens = place_tokens(answer, [])
    assert tokens is not None
    assert tokens.prompt_new is None
    assert list(tokens.answer) == [9]
    assert answer.remarks == ["prompt_ids_unknown"]
