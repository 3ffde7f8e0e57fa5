import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.rollout import RolloutRequest
from agentcore_rl.stores.keys import check_key
from agentcore_rl.testing.store_conformance import BAD_KEYS, ORDERED_KEYS

ids = st.from_regex(r"[A-Za-z0-9._=-]{1,128}", fullmatch=True).filter(
    lambda text: ".." not in text and text != "."
)


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_bad_key_is_refused_with_itself_in_the_sentence(key: str) -> None:
    """The reason can be read in a log."""
    with pytest.raises(ValueError) as refusal:
        check_key(key)
    assert repr(key) in str(refusal.value)


@pytest.mark.parametrize("key", [*ORDERED_KEYS, ".json", ".hidden/x.json", "a/..json"])
def test_a_good_key_is_given_back(key: str) -> None:
    """Dots, spaces and any letters are fine."""
    assert check_key(key) == key


@given(ids, ids, ids)
def test_every_request_has_a_key_that_is_one(run: str, task: str, session: str) -> None:
    """Whatever ids a request may have, its record can be stored."""
    request = RolloutRequest(run, task, 0, session, f"{task}.0", Endpoint("http://localhost/v1"))
    assert check_key(request.key) == request.key
