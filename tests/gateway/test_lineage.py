import json
import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.recorder.token_ids import common_length
from agentcore_rl_gateway.lineage import MOST_TIPS, IdText, Lineage, packed, packed_text, unpacked


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
def test_the_common_beginning_is_found(start, one, other):
    """`common_length` is what comparing byte by byte gives."""
    left, right = start + one, start + other
    slow = next(
        (at for at, (x, y) in enumerate(zip(left, right, strict=False)) if x != y), min(len(left), len(right))
    )
    assert common_length(left, right) == slow


def test_ids_are_packed_and_read_back():
    """Ids come back as they were; what is no id is refused."""
    assert unpacked(packed([0, 1, 2**32 - 1])) == array("I", [0, 1, 2**32 - 1])
    with pytest.raises(OverflowError):
        packed([-1])


def _messages(*texts: str) -> bytes:
    return json.dumps([{"role": "user", "content": text} for text in texts]).encode()


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize("separator", [",", ", "])
def test_any_tree_of_conversations_can_be_rebuilt(as_text, separator):
    """Conversations that branch at random come back whole from what each call added."""
    chance = random.Random(7)
    lineage = Lineage()
    stored: list[tuple[bytes, bytes, bytes]] = []
    conversations: list[tuple[list[str], list[int]]] = [([], [])]
    for number in range(120):
        texts, ids = chance.choice(conversations[-6:])
        texts = [*texts[: chance.randrange(len(texts) + 1)], f"{number}é", *["y"] * chance.randrange(3)]
        ids = [*ids[: chance.randrange(len(ids) + 1)], *(chance.randrange(50_000) for _ in range(9))]
        answer = [chance.randrange(9) for _ in range(chance.randrange(5))]
        messages = _messages(*texts)
        prompt = IdText(separator.join(map(str, ids)).encode()) if as_text else packed(ids)
        placed = lineage.add(number, f"id{number}", messages, prompt, packed(answer))
        before = stored[placed.basis] if placed.basis is not None else (b"", b"", b"")
        whole = before[0][: placed.messages_keep] + placed.messages_new
        assert whole == messages
        assert placed.prompt_new is not None
        rebuilt = (before[1] + before[2])[: placed.prompt_keep * 4] + placed.prompt_new
        assert list(unpacked(rebuilt)) == ids
        stored.append((whole, rebuilt, packed(answer)))
        conversations.append((texts, [*ids, *answer]))
    assert len(lineage) <= MOST_TIPS


def test_a_conversation_costs_what_it_adds():
    """Fifty turns hold one tip, and store each message and each id once."""
    lineage, texts, ids, stored = Lineage(), [], [], 0
    for number in range(50):
        texts.append("word " * 100)
        ids += range(600)
        placed = lineage.add(number, str(number), _messages(*texts), packed(ids), packed([1, 2, 3]))
        assert placed.extends == (number > 0)
        stored += len(placed.messages_new) + len(placed.prompt_new or b"")
        ids += [1, 2, 3]
    assert len(lineage) == 1
    assert stored < len(_messages(*texts)) + 4 * len(ids) + 50 * 10
    assert lineage.held < 1_000_000


def test_where_ids_part_is_told():
    """A prompt that parts from the answer's ids drifted; one that parts earlier has another template."""
    lineage = Lineage()
    lineage.add(0, "a", _messages("x"), packed([1, 2, 3]), packed([4, 5]))
    drifted = lineage.add(1, "b", _messages("x", "y"), packed([1, 2, 3, 4, 9, 9]), packed([6]))
    assert (drifted.extends, drifted.inside_answer, drifted.prompt_keep) == (False, True, 4)
    other = lineage.add(2, "c", _messages("x", "y", "z"), packed([1, 7, 3, 4]), packed([6]))
    assert (other.extends, other.inside_answer, other.prompt_keep) == (False, False, 1)


def test_text_that_is_no_ids_is_refused():
    """What is no list of ids raises, and is never stored as one."""
    with pytest.raises(ValueError):
        Lineage().add(0, "a", b"[1]", IdText(b"1,x"), b"")


def test_only_what_holds_an_answer_follows_it():
    """Calls that run at once share a beginning, and none of them is told by what another one answers."""
    lineage = Lineage()
    first = b'[{"role":"user","content":"one"}]'
    both = [lineage.add(at, f"r{at}", first, packed([1, 2]), packed([3 + at])) for at in range(2)]
    other = lineage.add(2, "r2", b'[{"role":"user","content":"other"}]', packed([1, 9]), packed([5]))
    assert [placed.follows for placed in [*both, other]] == [False] * 3
    assert unpacked(both[1].prompt) == array("I", [1, 2])
    said = first[:-1] + b', {"content":"x","role":"assistant"},{"role":"user","content":"on"}]'
    drifted = lineage.add(3, "r3", said, packed([1, 2, 7, 8]), packed([6]))
    assert (drifted.extends, drifted.follows) == (False, False)  # it may be either's
    lineage = Lineage()
    lineage.add(0, "r0", first, packed([1, 2]), packed([3]))
    drifted = lineage.add(1, "r1", said, packed([1, 2, 7, 8]), packed([6]))
    assert (drifted.extends, drifted.follows) == (False, True)


@pytest.mark.parametrize("taken", [0, 1])
def test_of_calls_about_the_same_the_ids_tell_which_is_gone_on_with(taken):
    """Two answers to one prompt: the one that a later prompt extends, or none by name."""
    lineage = Lineage()
    first = b'[{"role":"user","content":"one"}]'
    for at in range(2):
        lineage.add(at, f"r{at}", first, packed([1, 2]), packed([3 + at]))
    said = first[:-1] + b', {"content":"x","role":"assistant"},{"role":"user","content":"on"}]'
    extended = lineage.add(2, "r2", said, packed([1, 2, 3 + taken, 7]), packed([6]))
    assert (extended.basis_id, extended.extends, extended.follows) == (f"r{taken}", True, True)
    lineage = Lineage()
    for at in range(2):
        lineage.add(at, f"r{at}", first, packed([1, 2]), packed([3 + at]))
    drifted = lineage.add(2, "r2", said, packed([1, 2, 9, 7]), packed([6]))
    assert (drifted.extends, drifted.follows) == (False, False)


def test_a_long_text_of_ids_is_read_in_parts():
    """Parts give what the whole would; what is no list of ids is refused in any of them."""
    ids = list(range(100_000))
    assert packed_text(json.dumps(ids)[1:-1].encode()) == packed(ids)
    assert packed_text(b"") == b""
    for bad in (b"1,x", b"1,,2", b"[1]", b"-1"):
        with pytest.raises((ValueError, OverflowError)):
            packed_text(b"7," * 200_000 + bad)
