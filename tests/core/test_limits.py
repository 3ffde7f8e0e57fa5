"""Limits hold, whoever calls and from wherever."""

import asyncio
import math
import threading
import time
from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.limits import AGENTCORE_QUOTAS, Limiter, Quotas, RateLimiter, Slots


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def most_in(moments, span):
    """The largest number of moments within any span of seconds."""
    return max(bisect_right(moments, start + span) - at for at, start in enumerate(moments))


@given(st.floats(0.5, 500), st.floats(1, 50), st.lists(st.floats(0, 0.3), max_size=200), st.floats(0.01, 5))
def test_no_span_holds_more_than_its_share(rate, burst, pauses, span):
    """At most `burst + rate * t` calls pass in any t seconds, however they are asked for."""
    clock = Clock()
    limiter = RateLimiter(rate, burst=burst, clock=clock)
    passed = []
    for pause in pauses:
        clock.now += pause
        while limiter.try_take() == 0:
            passed.append(clock.now)
    if passed:
        assert most_in(passed, span) <= burst + rate * span + 1e-3


def test_waits_are_told_exactly():
    """A refused call passes after the seconds that it was told, and not before."""
    clock = Clock()
    limiter = RateLimiter(4, clock=clock)
    assert limiter.try_take() == 0
    wait_s = limiter.try_take()
    assert wait_s == pytest.approx(0.25)
    clock.now += wait_s - 0.01
    assert limiter.try_take() > 0
    clock.now += 0.011
    assert limiter.try_take() == 0


def test_a_clock_that_goes_back_gives_nothing_away():
    """Neither a flood nor a standstill comes of it."""
    clock = Clock()
    limiter = RateLimiter(10, clock=clock)
    assert limiter.try_take() == 0
    clock.now -= 500
    assert limiter.try_take() > 0
    clock.now += 0.11
    assert limiter.try_take() == 0


def test_throttling_halves_the_rate_once_and_it_comes_back():
    """Refusals of the same moment count once; silence restores the full rate, and never more."""
    clock = Clock()
    limiter = RateLimiter(20, clock=clock)
    for _ in range(50):
        limiter.throttled()
    assert limiter.rate == pytest.approx(10)
    clock.now += 2
    assert 10 < limiter.rate < 20
    clock.now += 60
    assert limiter.rate == 20
    for _ in range(100):
        clock.now += 1.01
        limiter.throttled()
    assert limiter.rate >= 20 / 16


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused(rate):
    """The error says what a rate is."""
    with pytest.raises(ValueError, match="above 0"):
        RateLimiter(rate)


def test_64_threads_and_4_loops_share_one_rate():
    """Together they pass no more than the rate in any span, and all of them pass."""
    rate, each = 400.0, 6
    limiter = RateLimiter(rate)
    passed = []

    def in_a_thread():
        for _ in range(each):
            limiter.take_blocking()
            passed.append(time.monotonic())

    def in_a_loop():
        async def one():
            for _ in range(each):
                await limiter.take()
                passed.append(time.monotonic())

        async def sixteen():
            await asyncio.gather(*(one() for _ in range(16)))

        asyncio.run(sixteen())

    began = time.monotonic()
    callers = [threading.Thread(target=in_a_thread) for _ in range(64)]
    callers += [threading.Thread(target=in_a_loop) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(passed) == (64 + 4 * 16) * each
    # Waking up late gathers a few; that they were let go no faster is seen over the whole.
    assert len(passed) <= 1 + rate * (max(passed) - began)


async def test_a_cancelled_wait_gives_its_turn_back():
    """Those who give up do not make later callers wait for them."""
    clock = Clock()
    limiter = RateLimiter(1, clock=clock)
    waiting = [asyncio.create_task(limiter.take()) for _ in range(100)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    clock.now += 1.01
    assert limiter.try_take() == 0


async def test_places_go_round_in_order():
    """Who asks first gets the next free place; nobody overtakes."""
    slots = Slots(2)
    await slots.take()
    assert slots.try_take()
    assert not slots.try_take()
    order = []

    async def one(name):
        await slots.take()
        order.append(name)

    tasks = [asyncio.create_task(one(name)) for name in "abc"]
    await asyncio.sleep(0)
    slots.release()
    assert not slots.try_take()
    for _ in range(2):
        slots.release()
    await asyncio.gather(*tasks)
    assert order == list("abc")
    assert slots.taken == 2


async def test_who_gives_up_leaves_no_place_occupied():
    """Neither while waiting nor at the very moment of getting the place."""
    slots = Slots(1)
    await slots.take()
    waiting = asyncio.create_task(slots.take())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    late = asyncio.create_task(slots.take())
    await asyncio.sleep(0)
    slots.release()
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    assert slots.taken == 0
    assert slots.try_take()


def test_places_hold_across_threads_and_loops():
    """Never more holders than places, with 4 loops and 16 threads at once."""
    slots, holders, most, lock = Slots(5), [0], [0], threading.Lock()

    def enter(by):
        with lock:
            holders[0] += by
            most[0] = max(most[0], holders[0])

    def loop():
        async def one():
            for _ in range(20):
                await slots.take()
                enter(1)
                await asyncio.sleep(0)
                enter(-1)
                slots.release()

        async def many():
            await asyncio.gather(*(one() for _ in range(10)))

        asyncio.run(many())

    def thread():
        for _ in range(50):
            if slots.try_take():
                enter(1)
                enter(-1)
                slots.release()

    callers = [threading.Thread(target=loop) for _ in range(4)]
    callers += [threading.Thread(target=thread) for _ in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert most[0] <= 5
    assert slots.taken == 0


def test_no_quota_is_no_limit():
    """Without quotas everything passes at once; AgentCore's own are 25, 200 and 1,000."""
    limiter = Limiter()
    assert all(limiter.interactions.try_take() == 0 for _ in range(10_000))
    assert all(limiter.sessions.try_take() for _ in range(10_000))
    assert limiter.new_sessions.rate is None
    assert Quotas(25, 200, 1000) == AGENTCORE_QUOTAS
