import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.endpoint import Secret
from agentcore_rl.redaction import REDACTED, Redactor

secrets = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*"), min_size=8, max_size=16)


@given(secrets, st.text(max_size=5), st.integers(0, 3), st.booleans())
def test_a_secret_is_found_in_every_spelling(secret: str, around: str, levels: int, ascii_only: bool) -> None:
    """As it is, and as JSON in JSON in JSON writes it."""
    spelling = secret
    for _ in range(levels):
        spelling = json.dumps(spelling, ensure_ascii=ascii_only)[1:-1]
    redactor = Redactor([Secret(secret)])
    assert redactor.finds(f"{around}{spelling}{around}")
    assert spelling not in redactor.text(f"{around}{spelling}{around}")


@given(secrets, st.text('ab \\"/u0', max_size=30))
def test_a_text_without_the_secret_is_left_as_it_is(secret: str, text: str) -> None:
    """Nothing else is touched."""
    redactor = Redactor([secret])
    if not redactor.finds(text):
        assert redactor.text(text) is text


def test_the_longest_secret_goes_first() -> None:
    """A secret that begins like another leaves nothing of it."""
    assert Redactor(["abcdefgh", "abcdefgh-longer"]).text("x abcdefgh-longer y") == f"x {REDACTED} y"


def test_short_values_and_none_at_all_change_nothing() -> None:
    """Seven characters are too few for a secret."""
    assert not Redactor(["seven77", ""])
    assert Redactor(["seven77"]).text("seven77") == "seven77"


def test_values_are_changed_in_place_of_strings_keys_and_integers() -> None:
    """What has no secret in it is the same object."""
    redactor = Redactor(["12345678"])
    assert redactor.value({"a": ["x12345678", 12345678, 1.5, None, True], "12345678": 1, "***": 2}) == {
        "a": ["x***", "***", 1.5, None, True],
        "***": 1,
        "****": 2,
    }
    same = {"a": [1, "b", {"c": (1,)}]}
    assert redactor.value(same) is same


@pytest.mark.parametrize("word", ["assistant", "tool_calls", "arguments", "function"])
def test_words_of_the_chat_format_stay_in_messages(word: str) -> None:
    """A message stays readable when a secret is one of them; elsewhere it is redacted."""
    message = {
        "role": "assistant",
        "tool_calls": [{"type": "function", "function": {"arguments": f"say {word}"}}],
    }
    raw = Redactor([word]).raw(msgspec.Raw(json.dumps(message).encode()))
    message["tool_calls"][0]["function"]["arguments"] = "say ***"  # type: ignore[index]
    assert msgspec.json.decode(raw) == message
