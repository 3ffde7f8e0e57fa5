import asyncio
import threading
import time

from agentcore_rl.testing import Answer, ScriptedModel
from agentcore_rl_gateway.policy import PolicyGate

USER = [{"role": "user", "content": "Hello?"}]


async def test_a_version_is_set_between_calls():
    """`hold` waits for the calls inside, later ones wait for the next version and are sampled by it alone."""
    gate = PolicyGate(1)
    seen: list[int | None] = []
    inside, leave = asyncio.Event(), asyncio.Event()

    async def call(wait: asyncio.Event | None) -> None:
        while gate.held:
            await gate.opened()
        version = gate.enter()
        inside.set()
        if wait is not None:
            await wait.wait()
        seen.append(version)
        gate.leave()

    first = asyncio.create_task(call(leave))
    await inside.wait()
    assert not await gate.hold(0.01)
    second = asyncio.create_task(call(None))
    await asyncio.sleep(0)
    holding = asyncio.create_task(gate.hold(10))
    leave.set()
    assert await holding
    assert seen == [1]
    gate.publish(2)
    await asyncio.gather(first, second)
    assert seen == [1, 2]


async def test_a_hold_that_is_released_by_another_is_held_again():
    """Whoever waits for the calls inside goes on waiting with the gate closed."""
    gate = PolicyGate(1)
    gate.enter()
    holding = asyncio.create_task(gate.hold(10))
    await asyncio.sleep(0)
    gate.release()
    gate.enter()
    gate.leave()
    gate.leave()
    gate.enter()
    await asyncio.sleep(0.01)
    assert not holding.done()
    assert gate.held
    gate.leave()
    assert await holding


def test_a_publisher_that_gives_up_opens_the_gate_for_no_other(serve):
    """Two wait to publish; the first times out; no call begins before the second has published."""
    go = threading.Event()

    def answer(_):
        go.wait(20)
        return Answer("yes")

    with ScriptedModel(answer) as model:
        desk = serve(model.base_url)
        key = desk.open()
        threads = [threading.Thread(target=desk.chat, args=(key, USER))]
        threads[0].start()
        while desk.control("GET", "/policy")["inside"] < 1:
            time.sleep(0.01)
        said = {}

        def publish(version, seconds):
            body = {"version": version, "timeout_s": seconds}
            said[version] = desk.send("POST", "/control/policy", body, desk.server.admin_key)[0]

        for version, seconds in ((1, 0.2), (2, 15)):
            threads.append(threading.Thread(target=publish, args=(version, seconds)))
            threads[-1].start()
            time.sleep(0.1)
        threads[1].join()
        time.sleep(0.1)
        assert desk.control("GET", "/policy")["held"] is True
        go.set()
        for thread in threads:
            thread.join()
    assert said == {1: 409, 2: 200}


def test_the_control_route_publishes_at_a_boundary(serve):
    """Publishing waits for calls under way; turns say which version sampled them; versions only rise."""

    def script(call):
        return Answer("yes", delay_s=0.4 if call.json["messages"] == USER else 0.0)

    with ScriptedModel(script) as model:
        desk = serve(model.base_url)
        key = desk.open()
        desk.control("POST", "/policy", {"version": 1})
        said = []
        thread = threading.Thread(target=lambda: said.append(desk.chat(key, USER)[1]))
        thread.start()
        while desk.control("GET", "/policy")["inside"] == 0:
            time.sleep(0.01)
        refused = desk.send(
            "POST", "/control/policy", {"version": 2, "timeout_s": 0.05}, desk.server.admin_key
        )
        assert refused[0] == 409
        desk.control("POST", "/policy", {"version": 2})
        thread.join()
        assert said[0]["policy_version"] == 1
        assert desk.chat(key, [{"role": "user", "content": "now"}])[1]["policy_version"] == 2
        huge = desk.send("POST", "/control/policy", {"version": 2**63}, desk.server.admin_key)
        assert huge[0] == 400
        older = desk.send("POST", "/control/policy", {"version": 1}, desk.server.admin_key)
        assert older[0] == 409


def test_calls_wait_while_the_gate_is_held(serve):
    """Between `hold` and `release` a call waits, and is answered afterwards."""
    with ScriptedModel(lambda _: Answer("yes")) as model:
        desk = serve(model.base_url)
        key = desk.open()
        assert desk.control("POST", "/policy/hold", {"timeout_s": 5})["held"] is True
        before, said = len(model.calls), []
        thread = threading.Thread(target=lambda: said.append(desk.chat(key, USER)[0]))
        thread.start()
        time.sleep(0.1)
        assert len(model.calls) == before
        desk.control("POST", "/policy/release")
        thread.join()
        assert said == [200]
