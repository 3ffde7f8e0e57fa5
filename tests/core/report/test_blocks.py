"""What a page carries comes back, and cannot leave its block."""

import gzip
import struct
from base64 import b85decode
from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.report.blocks import PER_CHUNK, SURPRISES, Chunks, TokenColumns, block

logprobs = st.lists(st.floats(-21, 0), max_size=20)


def unpacked(written: bytes) -> bytes:
    """What a block holds."""
    head, _, rest = written.partition(b">")
    assert head.startswith(b'<script type="application/x-gzip" id="')
    return gzip.decompress(b85decode(rest.removesuffix(b"</script>\n").replace(b",", b"<")))


@given(st.binary(max_size=500))
def test_whatever_a_block_holds_comes_back(content):
    """No content can close a block: its text has no `<`."""
    written = block("chunk-0", content)
    assert written.count(b"<") == 2
    assert unpacked(written) == content


@given(st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=9), max_size=4), st.lists(logprobs, max_size=4))
def test_tokens_come_back(ids, lists):
    """Ids exactly, logprobs to the digits that their byte has: half a step of SURPRISES."""
    columns = TokenColumns()
    for some in ids:
        columns.add_ids(some)
    for some in lists:
        assert columns.add_logprobs(some)
    whole = columns.packed()
    count, surprises = struct.unpack("<II", whole[:8])
    assert (count, surprises) == columns.place
    apart = [whole[8 + place * count : 8 + (place + 1) * count] for place in range(4)]
    assert [int.from_bytes(parts, "little") for parts in zip(*apart, strict=True)] == list(chain(*ids))
    assert len(whole) == 8 + 4 * count + surprises
    for value, byte in zip(chain(*lists), whole[8 + 4 * count :], strict=True):
        step = max(high - low for low, high in pairwise(SURPRISES[max(0, byte - 1) : byte + 2]))
        assert abs(-value - SURPRISES[byte]) <= step / 2 + 0.0006


def test_a_number_that_is_no_logprob_has_no_byte():
    """What servers give for "not sampled" is not rounded to something likely."""
    columns = TokenColumns()
    assert not columns.add_logprobs([-0.5, -9999.0])
    assert not columns.add_logprobs([0.5])
    assert columns.place == (0, 0)


def test_a_chunk_is_full_by_number_or_by_size():
    """64 rollouts, or 4 MiB of them."""
    chunks = Chunks()
    places = [chunks.add(b"{}") for _ in range(PER_CHUNK)]
    assert places == [(0, number) for number in range(PER_CHUNK)]
    assert chunks.full
    assert [unpacked(written) for written in chunks.seal()] == [b"\x1e{}" * PER_CHUNK]
    assert not chunks.full
    assert chunks.add(b" " * 2**22) == (1, 0)
    assert chunks.full
    chunks.tokens.add_ids([1])
    assert len(list(chunks.seal())) == 2
    assert list(chunks.seal()) == []
