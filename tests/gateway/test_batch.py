"""A batch through the gateway: a key per attempt, ended with it, and a third witness of its tokens."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agentcore_rl.batch import BatchRunner, Pace
from agentcore_rl.batch.gateway import GatewayControl
from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.launchers.url import URLLauncher
from agentcore_rl.rollout import FailureKind, Status
from agentcore_rl.stores.directory import DirectoryStore
from agentcore_rl.tasks import task_from_payload
from agentcore_rl.testing import Answer, ScriptedModel
from app_process import app_process

PACE = Pace(list_s=0.2, look_s=0.1, grace_s=0.2, again_s=0.05, start_s=1.0)
PROGRAM = """
import sys
from agentcore_rl.aws.app import AgentCoreRLApp
from agentcore_rl.recorder.wire import PLACEHOLDER_URL, clients
from app_process import serve

app = AgentCoreRLApp()

@app.rollout_entrypoint(reward=lambda payload, output, rollout: 1.0)
def solve(payload):
    messages = [{"role": "user", "content": payload["id"]}]
    for _ in range(2):
        body = {"model": "policy", "messages": messages}
        answer = clients()[0].post(f"{PLACEHOLDER_URL}/chat/completions", json=body)
        answer.raise_for_status()
        messages += [answer.json()["choices"][0]["message"], {"role": "user", "content": "and?"}]
    return "done"

serve(app, int(sys.argv[1]))
"""


@pytest.fixture
def app(tmp_path):
    """An app that calls its model twice."""
    program = tmp_path / "app.py"
    program.write_text(PROGRAM)
    with app_process(program, tmp_path) as running:
        yield running


async def all_of(app, tmp_path, control, **options):
    """The outcomes of a batch of six rollouts."""
    launcher, endpoint = URLLauncher(app.base_url), Endpoint(control.base_url, "scripted")
    options = {"run": "r", "pace": PACE, "concurrency": 3, "endpoint": endpoint, **options}
    runner = BatchRunner(
        launcher,
        store=DirectoryStore(tmp_path / "store"),
        folder=tmp_path / "run",
        gateway=control,
        **options,
    )
    try:
        async with runner:
            return [
                outcome
                async for outcome in runner.run([task_from_payload({"id": f"t{n}"}) for n in range(6)])
            ]
    finally:
        await launcher.aclose()


def hello(call):
    """A model that says how far it is."""
    return Answer(f"hello {len(call.json['messages'])}")


async def test_every_attempt_has_its_key_and_its_witness(serve, app, tmp_path):
    """Records and gateway agree id for id; no key outlives its attempt, and none is in the run's folder."""
    with ScriptedModel(hello) as model:
        desk = await asyncio.to_thread(serve, model.base_url)
        async with GatewayControl(desk.server.base_url, Secret(desk.server.admin_key)) as control:
            outcomes = await all_of(app, tmp_path, control)
    assert {(each.status, each.witnessed) for each in outcomes} == {(Status.SUCCEEDED, True)}
    assert len(desk.server.calls.sessions) == 0
    with closing(sqlite3.connect(tmp_path / "run" / "journal.sqlite")) as database:
        assert database.execute("SELECT count(*), sum(witnessed) FROM outcomes").fetchone() == (6, 6)
    for path in [*(tmp_path / "run").iterdir(), *(tmp_path / "store").rglob("*.json")]:
        content = await asyncio.to_thread(path.read_bytes)
        assert b"arl-" not in content
        assert desk.server.admin_key.encode() not in content


async def test_an_answer_that_the_record_lacks_is_seen(serve, app, tmp_path):
    """Somebody who has a rollout's key calls beside its agent: the record knows nothing of it."""
    with ScriptedModel(hello) as model:
        desk = await asyncio.to_thread(serve, model.base_url)

        class Leaky(GatewayControl):
            async def issue(self, session, **terms):
                key = await super().issue(session, **terms)
                if "-t3-" in session:
                    await asyncio.to_thread(self._call, key.reveal())
                return key

            def _call(self, key):
                import openai

                with openai.OpenAI(base_url=desk.server.base_url, api_key=key, max_retries=0) as client:
                    client.chat.completions.create(
                        model="scripted", messages=[{"role": "user", "content": "psst"}]
                    )

        async with Leaky(desk.server.base_url, Secret(desk.server.admin_key)) as control:
            outcomes = await all_of(app, tmp_path, control)
    assert {each.request.task: each.witnessed for each in outcomes} == {f"t{n}": n != 3 for n in range(6)}


async def test_a_wrong_admin_key_is_a_contract_failure(serve, app, tmp_path):
    """With the gateway's sentence, for every rollout, at once."""
    desk = await asyncio.to_thread(serve, "http://127.0.0.1:9/v1")
    async with GatewayControl(desk.server.base_url, Secret("wrong-key-altogether")) as control:
        outcomes = await all_of(app, tmp_path, control)
    assert {each.failure.kind for each in outcomes} == {FailureKind.CONTRACT}
    assert "admin key" in outcomes[0].failure.message


async def test_a_gateway_that_is_away_is_infrastructure(app, tmp_path):
    """The attempts are made, and the reason is told."""
    async with GatewayControl("http://127.0.0.1:9/v1", Secret("some-admin-key")) as control:
        outcomes = await all_of(app, tmp_path, control, attempts=2)
    assert {(each.failure.kind, each.attempts) for each in outcomes} == {(FailureKind.RUNTIME, 2)}
    assert "cannot be reached" in outcomes[0].failure.message


def test_the_endpoint_must_be_the_gateway(tmp_path):
    """Keys for one server are of no use at another."""
    control = GatewayControl("http://127.0.0.1:9/v1", Secret("some-admin-key"))
    with pytest.raises(ConfigurationError, match="the endpoint is the gateway's"):
        BatchRunner(
            URLLauncher("http://127.0.0.1:1"),
            store=DirectoryStore(Path(tmp_path)),
            gateway=control,
            endpoint=Endpoint("http://127.0.0.1:8/v1", "m"),
        )
