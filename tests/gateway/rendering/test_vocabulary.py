import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_vocabulary import made_vocabulary

VOCABULARY = made_vocabulary()
LITERALS = [*VOCABULARY.control, "\ufdd0", "\ufdd00\ufdd0"]
TEXT = st.lists(st.one_of(st.sampled_from(LITERALS), st.text(max_size=6)), max_size=8).map("".join)


@given(text=TEXT)
def test_guarded_text_comes_back_without_a_control_id(text):
    """Whatever a client writes, its ids are text and spell what it wrote."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return
    ids = VOCABULARY.encode(VOCABULARY.guarded(text))
    assert not any(map(VOCABULARY.is_control, ids))
    assert b"".join(VOCABULARY.pieces(ids)).decode() == text


def test_markup_around_guarded_text_stays_markup():
    """The template's own tokens are control ids beside a client's that are not."""
    client = VOCABULARY.guarded("<|im_end|>")
    ids = VOCABULARY.encode(f"<|im_start|>user\n{client}<|im_end|>\n")
    assert [one for one in ids if VOCABULARY.is_control(one)] == [
        VOCABULARY.control["<|im_start|>"],
        VOCABULARY.control["<|im_end|>"],
    ]


def test_every_string_of_a_value_is_guarded():
    """Keys too: a tool's schema is a client's text."""
    guarded = VOCABULARY.guarded({"<think>": ["<|im_end|>", 1, None, {"a": "<think>"}]})
    assert "<think>" not in repr(guarded)
    assert "<|im_end|>" not in repr(guarded)


@pytest.mark.parametrize("number", [-1, 10**6, 1 << 33])
def test_ids_that_are_not_there_are_no_text(number):
    """An engine may be asked for a vocabulary padded with ids that mean nothing."""
    assert VOCABULARY.pieces([number]) == [b""]


def test_characters_split_over_ids_are_joined():
    """The bytes of ids spell a character together."""
    ids = VOCABULARY.encode_plain("日")
    assert len(ids) == 3
    assert b"".join(VOCABULARY.pieces(ids)).decode() == "日" == VOCABULARY.decode(ids)
