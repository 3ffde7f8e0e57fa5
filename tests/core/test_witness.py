import hashlib

from agentcore_rl.witness import combined_digest, turn_digest


def test_a_turns_digest_is_over_its_id_and_ids():
    """A turn's digest is what the module's head says, from numbers and from bytes alike."""
    packed = b"\x01\x00\x00\x00\x00\x01\x00\x00"
    expected = hashlib.sha256(b"r\x00" + packed).digest()
    assert turn_digest("r", [1, 256]) == turn_digest("r", packed) == expected
    assert turn_digest("r", None) == hashlib.sha256(b"r\x01").digest()
    assert turn_digest("r", []) != turn_digest("r", None)


def test_the_order_of_calls_does_not_matter_and_every_id_does():
    """Two parties that saw the same turns in another order agree; one other id, and they do not."""
    turns = [("b", turn_digest("b", [1])), ("a", turn_digest("a", [2]))]
    assert combined_digest(turns) == combined_digest(dict(reversed(turns)))
    assert combined_digest(turns) != combined_digest([turns[0], ("a", turn_digest("a", [3]))])
    assert combined_digest(turns) != combined_digest(turns[:1])
