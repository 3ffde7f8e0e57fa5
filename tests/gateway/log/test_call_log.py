import asyncio
import os
import random

import pytest

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl_gateway.log import CallAnswered, CallFailed, CallLog, PolicySet, read_log


def _call(number: int, size: int = 10) -> CallAnswered:
    return CallAnswered("s", number, f"id{number}", b"{}", b"x" * size, began=1.0, seconds=0.5)


def test_what_is_appended_is_read_back(tmp_path):
    """Entries come back in order, from a new opening, from a reader, and by their places."""
    entries = [_call(0), CallFailed("s", 1, 502, "why"), PolicySet(3), _call(2, 100_000)]
    with CallLog(tmp_path) as log:
        places = [log.append(entry) for entry in entries]
        assert [log.read(place) for place in places] == entries
    with CallLog(tmp_path) as log:
        assert [entry for _, entry in log.replay()] == entries
        assert [place for place, _ in log.replay()] == places
    assert list(read_log(tmp_path)) == entries


def test_segments_follow_each_other(tmp_path):
    """A full file is followed by another; what stands in earlier ones can still be read."""
    with CallLog(tmp_path, segment_bytes=1000) as log:
        places = [log.append(_call(number, 300)) for number in range(10)]
        assert len(list(tmp_path.glob("calls-*.log"))) > 3
        assert log.read(places[0]) == _call(0, 300)
    with CallLog(tmp_path, segment_bytes=1000) as log:
        assert [entry.number for _, entry in log.replay()] == list(range(10))


def test_a_torn_tail_is_cut_wherever_it_tore(tmp_path):
    """Whatever a crash left of the last entry is cut off; all before it is there, and writing goes on."""
    with CallLog(tmp_path) as log:
        log.append(_call(0))
        whole = log.append(_call(1)).offset
        end = os.path.getsize(tmp_path / "calls-000001.log")
    content = (tmp_path / "calls-000001.log").read_bytes()
    for cut in {whole + 1, whole + 7, whole + 8, whole + 9, end - 1}:
        (tmp_path / "calls-000001.log").write_bytes(content[:cut])
        with CallLog(tmp_path) as log:
            assert [entry for _, entry in log.replay()] == [_call(0)]
            assert log.cut == cut - whole
            log.append(_call(7))
        assert list(read_log(tmp_path)) == [_call(0), _call(7)]


def test_damage_at_the_end_is_not_taken_for_an_entry(tmp_path):
    """A flipped bit in the last entry cuts it off, as does rubbish behind it."""
    with CallLog(tmp_path) as log:
        log.append(_call(0))
        place = log.append(_call(1))
    path = tmp_path / "calls-000001.log"
    content = bytearray(path.read_bytes())
    for _ in range(20):
        damaged = bytearray(content)
        damaged[place.offset + random.randrange(place.length)] ^= 1 << random.randrange(8)
        path.write_bytes(damaged)
        assert list(read_log(tmp_path))[:1] == [_call(0)]
        assert len(list(read_log(tmp_path))) == 1
    path.write_bytes(content + b"\x00" * 100)
    with CallLog(tmp_path) as log:
        assert len(list(log.replay())) == 2 + 0


def test_damage_in_the_middle_stops_the_start(tmp_path):
    """A file that is damaged and not the last is no torn tail: the gateway says so and does not go on."""
    with CallLog(tmp_path, segment_bytes=500) as log:
        for number in range(4):
            log.append(_call(number, 400))
    path = tmp_path / "calls-000001.log"
    path.write_bytes(path.read_bytes()[:-3])
    with CallLog(tmp_path, segment_bytes=500) as log, pytest.raises(ConfigurationError, match="damaged"):
        list(log.replay())


def test_one_gateway_writes_a_log(tmp_path):
    """A second opening of the same folder is refused while the first is open."""
    with CallLog(tmp_path), pytest.raises(ConfigurationError, match="Another gateway"):
        CallLog(tmp_path)
    CallLog(tmp_path).close()


async def test_those_who_wait_share_a_flush(tmp_path, monkeypatch):
    """With `fsync`, a hundred appends that wait together cost a few flushes, not a hundred."""
    log = CallLog(tmp_path, fsync=True)
    flushed = 0
    flush = os.fdatasync

    def counted(file: int) -> None:
        nonlocal flushed
        flushed += 1
        flush(file)

    monkeypatch.setattr(os, "fdatasync", counted)  # the disk, not what is under test

    async def one(number: int) -> None:
        log.append(_call(number))
        await log.settle()

    await asyncio.gather(*map(one, range(100)))
    assert 1 <= flushed <= 5
    log.close()


async def test_without_fsync_nothing_waits(tmp_path):
    """Without `fsync`, `settle` is over at once."""
    with CallLog(tmp_path) as log:
        log.append(_call(0))
        await log.settle()
