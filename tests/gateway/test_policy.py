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
