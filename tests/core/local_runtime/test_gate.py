"""Quotas: what is refused as too much, by the code that the client paces itself with."""

import time

import pytest

from agentcore_rl.limits import Quotas, RateLimiter
from agentcore_rl.local_runtime import LocalRuntime
from agentcore_rl.local_runtime.gate import Gate, available_mib
from agentcore_rl.local_runtime.refusals import Refused, ServiceError


def _throttled(client_rate, calls=200):
    """How many calls of a client that paces itself a runtime of 25/s throttles, on a clock of their own."""
    now = [0.0]
    client = RateLimiter(client_rate, clock=lambda: now[0])
    arrivals = []
    for number in range(calls):
        while (wait_s := client.try_take()) > 0:
            now[0] += wait_s + 1e-9
        # Some calls take longer on their way than those behind them.
        arrivals.append(now[0] + (0.0, 0.03, 0.0, 0.07)[number % 4])
    now[0] = 0.0
    gate, throttled = Gate(Quotas(new_sessions_per_s=25.0), 0.0, clock=lambda: now[0]), 0
    for arrival in sorted(arrivals):
        now[0] = arrival
        try:
            gate.new_session()
        except Refused:
            throttled += 1
    return throttled


def test_who_paces_calls_at_the_rate_is_never_throttled():
    """The client's limiter at 25/s against the runtime's of 25/s: none refused; at 60/s: many."""
    assert _throttled(25.0) == 0
    assert _throttled(60.0) > 50


def test_the_gate_has_that_bucket():
    """A second's worth of new sessions passes at once, the next is throttled; it takes no place."""
    gate = Gate(Quotas(new_sessions_per_s=25.0, active_sessions=26), 0.0)
    for _ in range(25):
        gate.new_session()
    with pytest.raises(Refused, match=r"Rate exceeded: this runtime starts 25 sessions per second") as raised:
        gate.new_session()
    assert raised.value.error is ServiceError.THROTTLED
    time.sleep(0.1)
    gate.new_session()
    with pytest.raises(Refused, match="maxVms limit exceeded: 26 sessions are active already") as raised:
        gate.new_session()
    assert raised.value.error is ServiceError.QUOTA


def test_memory_is_kept_free():
    """A floor above what the machine has refuses each new session."""
    assert available_mib() > 0
    with pytest.raises(Refused, match=r"MiB of memory left, and 1e\+09 MiB are kept free") as raised:
        Gate(Quotas(), 1e9).new_session()
    assert raised.value.error is ServiceError.QUOTA


def test_quotas_over_http(light, tmp_path, boto3_of, name):
    """Typed errors of boto3: 429 for a rate, 402 for a number; an end gives the place back."""
    quotas = Quotas(interactions_per_s=2.0, active_sessions=2)
    runtime = LocalRuntime(str(light), directory=tmp_path, quotas=quotas)
    runtime.start()
    try:
        client = boto3_of(runtime)
        first, second, third = name(), name(), name()

        def invoke(session):
            client.invoke_agent_runtime(agentRuntimeArn=runtime.arn, runtimeSessionId=session, payload=b"{}")[
                "response"
            ].read()

        invoke(first)
        time.sleep(0.5)
        invoke(second)
        time.sleep(1.0)
        with pytest.raises(client.exceptions.ServiceQuotaExceededException, match="maxVms") as raised:
            invoke(third)
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 402
        client.stop_runtime_session(agentRuntimeArn=runtime.arn, runtimeSessionId=first)
        time.sleep(0.5)
        invoke(third)

        def invoke_on_and_on():
            for _ in range(1000):
                invoke(third)

        with pytest.raises(client.exceptions.ThrottlingException, match="takes 2 calls per") as raised:
            invoke_on_and_on()
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    finally:
        runtime.stop()
