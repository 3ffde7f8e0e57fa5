"""`AgentCoreRLApp` behind a real HTTP server, as AgentCore Runtime would call it."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import uvicorn
from bedrock_agentcore.runtime import PingStatus

from agentcore_rl.aws.app import AgentCoreRLApp
from agentcore_rl.codec import decode_record
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.recorder.wire import clients, openai_arguments
from agentcore_rl.rollout import FailureKind, Rollout, Status
from agentcore_rl.settings import Settings
from agentcore_rl.testing import Answer, ScriptedModel

SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"
MODEL = openai.OpenAI(**openai_arguments(agent="main", timeout_s=30), http_client=clients()[0])  # type: ignore[arg-type]
ASYNC_MODEL = openai.AsyncOpenAI(**openai_arguments(agent="main", timeout_s=30), http_client=clients()[1])  # type: ignore[arg-type]


def _ask(text: str) -> str:
    answer = MODEL.chat.completions.create(model="policy", messages=[{"role": "user", "content": text}])
    return str(answer.choices[0].message.content)


class Served:
    """An app on a port of its own."""

    def __init__(self, base_url: str, store: Path) -> None:
        self.client = httpx2.Client(base_url=base_url, timeout=20, trust_env=False)
        self.store = store

    def invoke(self, payload: Any, **headers: str) -> httpx2.Response:
        return self.client.post("/invocations", json=payload, headers=headers)

    def ping(self) -> str:
        return str(self.client.get("/ping").json()["status"])

    def record(self, key: str, within_s: float = 10) -> Rollout:
        path, end = self.store / key, time.monotonic() + within_s
        while not path.exists():
            assert time.monotonic() < end, f"no record at {key}"
            time.sleep(0.01)
        return decode_record(path.read_bytes())

    def rollout(self, payload: Any, **headers: str) -> Rollout:
        answer = self.invoke(payload, **headers)
        assert answer.status_code == 200, answer.text
        return self.record(answer.json()["result_key"])

    def settled(self, within_s: float = 10) -> None:
        end = time.monotonic() + within_s
        while self.ping() != "Healthy":
            assert time.monotonic() < end
            time.sleep(0.02)


@contextmanager
def serving(app: AgentCoreRLApp, store: Path) -> Iterator[Served]:
    """Serve the app with uvicorn in a thread, start-up and shutdown included."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    end = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < end
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    served = Served(f"http://127.0.0.1:{port}", store)
    try:
        yield served
    finally:
        served.client.close()
        server.should_exit = True
        thread.join(20)


def settings_for(tmp_path: Path, **environment: str) -> Settings:
    """Store and spool below the test's folder."""
    return Settings.from_environment(
        {
            "AGENTCORE_RL_STORE": str(tmp_path / "store"),
            "AGENTCORE_RL_SPOOL": str(tmp_path / "spool"),
            **environment,
        }
    )


@contextmanager
def app_of(
    tmp_path: Path,
    function: Callable[..., Any],
    *,
    bare: bool = False,
    reward: Any = None,
    **environment: str,
) -> Iterator[Served]:
    """An app with this handler, served."""
    app = AgentCoreRLApp(settings=settings_for(tmp_path, **environment))
    if bare:
        app.rollout_entrypoint(function)
    else:
        app.rollout_entrypoint(reward=reward)(function)
    with serving(app, tmp_path / "store") as served:
        yield served


def rollout_payload(
    base_url: str | None = None, *, task: str = "t", run: str = "run", **fields: Any
) -> dict[str, Any]:
    """A payload that asks for a rollout."""
    if base_url:
        fields["base_url"] = base_url
    return {"prompt": "hello", "_rollout": {"exp_id": run, "input_id": f"{task}.0", **fields}}


def test_a_rollout_is_answered_at_once_and_its_record_is_stored(tmp_path: Path) -> None:
    """The immediate answer says where the record will be; the envelope is agentcore-rl-toolkit's."""
    with (
        ScriptedModel([Answer("hi", delay_s=0.3)]) as model,
        app_of(
            tmp_path, lambda payload: {"answer": _ask(payload["prompt"])}, reward=lambda *_: 1.0
        ) as served,
    ):
        answer = served.invoke(rollout_payload(model.base_url), **{SESSION: "x" * 40})
        assert answer.json() == {
            "status": "processing",
            "s3_bucket": "",
            "result_key": f"run/t.0/{'x' * 40}.json",
        }
        assert served.ping() == "HealthyBusy"
        rollout = served.record(answer.json()["result_key"])
        served.settled()
    assert rollout.status is Status.SUCCEEDED
    assert rollout.reward is not None
    assert rollout.output == {"answer": "hi"}
    envelope = json.loads((tmp_path / "store" / answer.json()["result_key"]).read_bytes())
    assert envelope["status_code"] == 200
    assert envelope["stop_reason"] == "end_turn"
    assert envelope["answer"] == "hi"
    assert envelope["rewards"] == 1.0
    assert envelope["input_id"] == "t.0"


def test_a_plain_payload_is_answered_as_in_production(tmp_path: Path) -> None:
    """Exactly what the handler returned, no reward, nothing stored."""
    with (
        ScriptedModel([Answer("hi")]) as model,
        app_of(
            tmp_path,
            lambda payload: {"echo": payload, "text": _ask("x")},
            reward=lambda *_: pytest.fail("called"),
            BASE_URL=model.base_url,
            MODEL_ID="deployed",
        ) as served,
    ):
        assert served.invoke({"prompt": "hello"}).json() == {"echo": {"prompt": "hello"}, "text": "hi"}
        assert model.calls[0].json["model"] == "deployed"
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("kind", ["generator", "async generator", "async"])
def test_plain_payloads_of_every_handler_keep_the_sdks_path(tmp_path: Path, kind: str) -> None:
    """Generators stream as server-sent events; each step is in the request's own scope."""

    def generator(payload: Any) -> Any:
        yield "a"
        yield _ask("x")

    async def coroutine(payload: Any) -> str:
        answer = await ASYNC_MODEL.chat.completions.create(
            model="policy", messages=[{"role": "user", "content": "x"}]
        )
        return str(answer.choices[0].message.content)

    async def async_generator(payload: Any) -> Any:
        yield "a"
        yield await coroutine(payload)

    functions = {"generator": generator, "async generator": async_generator, "async": coroutine}
    with (
        ScriptedModel([Answer("hi")]) as model,
        app_of(tmp_path, functions[kind], BASE_URL=model.base_url) as served,
    ):
        answer = served.invoke({"prompt": "x"})
    if kind == "async":
        assert answer.json() == "hi"
    else:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.text == 'data: "a"\n\ndata: "hi"\n\n'


def test_a_streaming_plain_payload_is_not_taken_for_the_rollout_that_runs_beside_it(tmp_path: Path) -> None:
    """Its model calls go to the deployment's endpoint and are recorded nowhere."""
    going = threading.Event()

    def solve(payload: Any) -> Any:
        if "_plain" in payload:

            def stream() -> Iterator[str]:
                yield "a"
                yield _ask("plain")

            return stream()
        going.wait(10)
        return _ask("rollout")

    with (
        ScriptedModel([Answer("policy")]) as policy,
        ScriptedModel([Answer("deployed")]) as deployed,
        app_of(tmp_path, solve, BASE_URL=deployed.base_url) as served,
    ):
        key = served.invoke(rollout_payload(policy.base_url)).json()["result_key"]
        assert '"deployed"' in served.invoke({"_plain": True}).text
        going.set()
        rollout = served.record(key)
    assert [turn.prompt[0]["content"] for turn in rollout.turns] == ["rollout"]


def test_the_same_payload_twice_at_once_runs_the_agent_once(tmp_path: Path) -> None:
    """Both deliveries get the same answer, and there is one record."""
    runs: list[int] = []

    def solve(payload: Any) -> str:
        runs.append(1)
        time.sleep(0.2)
        return "done"

    with app_of(tmp_path, solve) as served, ThreadPoolExecutor(8) as pool:
        payload = rollout_payload(policy_version=3)
        answers = list(pool.map(lambda _: served.invoke(payload, **{SESSION: "y" * 40}).json(), range(8)))
        served.record(answers[0]["result_key"])
        answers.append(served.invoke(payload, **{SESSION: "y" * 40}).json())
        served.settled()
    assert len(runs) == 1
    assert all(answer == answers[0] for answer in answers)
    assert len(list((tmp_path / "store" / "run" / "t.0").glob("*.json"))) == 1


def test_a_new_key_does_not_make_it_another_payload(tmp_path: Path) -> None:
    """Payloads are compared without their secrets."""
    with app_of(tmp_path, lambda payload: "done") as served:
        one = served.invoke(rollout_payload("http://127.0.0.1:9/v1", api_key="sk-first-000000"))
        two = served.invoke(rollout_payload("http://127.0.0.1:9/v1", api_key="sk-second-00000"))
    assert one.json() == two.json()


def test_the_same_ids_with_another_payload_are_a_409(tmp_path: Path) -> None:
    """With a sentence that names the ids."""
    with app_of(tmp_path, lambda payload: "done") as served:
        assert served.invoke(rollout_payload()).status_code == 200
        refused = served.invoke({**rollout_payload(), "prompt": "another"})
        served.settled()
    assert refused.status_code == 409
    assert "another payload" in refused.json()["error"]


def test_after_a_restart_the_stored_record_answers(tmp_path: Path) -> None:
    """The agent is not run again for a rollout that is stored."""
    runs: list[int] = []
    for _ in range(2):
        with app_of(tmp_path, lambda payload: runs.append(1)) as served:
            answer = served.invoke(rollout_payload()).json()
            served.record(answer["result_key"])
            served.settled()
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("payload", "status", "says"),
    [
        ([1], 400, "object"),
        ("text", 400, "object"),
        ({"_rollout": []}, 400, "_rollout"),
        ({"_rollout": {"exp_id": "r"}}, 400, "input_id"),
        ({"_rollout": {"exp_id": "", "input_id": "a"}}, 400, "exp_id"),
        ({"_rollout": {"exp_id": "../r", "input_id": "a"}}, 400, "exp_id"),
        ({"_rollout": {"exp_id": "r", "input_id": "a", "agentcore_rl_new": 1}}, 400, "agentcore_rl_new"),
        ({"_rollout": {"exp_id": "r", "input_id": "a", "s3_bucket": "other"}}, 400, "AGENTCORE_RL_BUCKETS"),
        (
            {"_rollout": {"exp_id": "r", "input_id": "a", "base_url": "http://10.1.2.3/v1"}},
            400,
            "AGENTCORE_RL_ENDPOINTS",
        ),
        (
            {"_rollout": {"exp_id": "r", "input_id": "a", "base_url": "http://169.254.169.254/v1"}},
            400,
            "link-local",
        ),
        ({"_rollout": {"exp_id": "r", "input_id": "a", "max_turns": "3"}}, 400, "max_turns"),
        ({"_training": {"exp_id": "r"}}, 400, "input_id"),
        ({"_training": {}, "_rollout": {}}, 400, "both"),
    ],
)
def test_a_bad_payload_is_a_400_with_a_sentence(tmp_path: Path, payload: Any, status: int, says: str) -> None:
    """From /invocations itself; the agent is not run."""
    with app_of(tmp_path, lambda payload: pytest.fail("run")) as served:
        answer = served.invoke(payload)
    assert answer.status_code == status
    assert says in answer.json()["error"]


def test_the_older_payload_works_and_reaches_the_handler_without_secrets(tmp_path: Path) -> None:
    """`_training` with session and bucket; the bare form's rewards."""
    seen: list[Any] = []

    def solve(payload: Any) -> Any:
        seen.append(payload)
        return {"rollout_data": [], "rewards": 1.0}

    with app_of(tmp_path, solve, bare=True, AGENTCORE_RL_BUCKETS="mine") as served:
        training = {"exp_id": "r", "session_id": "s-1", "input_id": "i", "s3_bucket": "mine"}
        training["api_key"] = "sk-planted-1234"
        answer = served.invoke({"prompt": "x", "_training": training}).json()
        rollout = decode_record(_wait_for(tmp_path / "store" / "mine" / answer["result_key"]))
    assert answer == {"status": "processing", "s3_bucket": "mine", "result_key": "r/i/s-1.json"}
    assert "api_key" not in seen[0]["_training"]
    assert seen[0]["_training"]["session_id"] == "s-1"
    assert rollout.reward is not None
    assert rollout.reward.value == 1.0


def _wait_for(path: Path) -> bytes:
    end = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    return path.read_bytes()


def test_blocking_code_in_one_rollout_stalls_nothing_else(tmp_path: Path) -> None:
    """An async handler that sleeps without awaiting: the next request is answered at once."""

    async def solve(payload: Any) -> str:
        if payload["prompt"] == "block":
            time.sleep(4)  # noqa: ASYNC251 - that is the point
        return "done"

    with app_of(tmp_path, solve) as served:
        served.invoke({**rollout_payload(task="a"), "prompt": "block"})
        started = time.monotonic()
        rollout = served.rollout(rollout_payload(task="b"))
        assert served.invoke({"prompt": "plain"}).json() == "done"
        assert served.ping() == "HealthyBusy"
        assert time.monotonic() - started < 3
        served.settled()
    assert rollout.output == "done"


def test_a_users_ping_never_hides_that_a_rollout_runs(tmp_path: Path) -> None:
    """It says what it likes when nothing runs."""
    app = AgentCoreRLApp(settings=settings_for(tmp_path))
    release = threading.Event()
    app.ping(lambda: PingStatus.HEALTHY)

    @app.rollout_entrypoint(reward=None)
    def solve(payload: Any) -> None:
        release.wait(10)

    with serving(app, tmp_path / "store") as served:
        assert served.ping() == "Healthy"
        served.invoke(rollout_payload())
        assert served.ping() == "HealthyBusy"
        release.set()
        served.settled()


def test_a_shutdown_stores_what_ran_as_stopped(tmp_path: Path) -> None:
    """Nothing is lost; a new attempt is worth making."""
    release, running = threading.Event(), threading.Event()

    def solve(payload: Any) -> None:
        running.set()
        release.wait(20)

    with app_of(tmp_path, solve) as served:
        key = served.invoke(rollout_payload()).json()["result_key"]
        assert running.wait(10)
    rollout = decode_record((tmp_path / "store" / key).read_bytes())
    release.set()
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.RUNTIME
    assert rollout.failure.retryable


def test_the_probe_puts_a_small_object_where_records_go(tmp_path: Path) -> None:
    """So that a client learns before the first rollout whether it can read them."""
    with app_of(tmp_path, lambda payload: pytest.fail("run")) as served:
        answer = served.invoke({"_rollout": {"exp_id": "r", "probe": "abc123"}}).json()
    assert answer["status"] == "ready"
    assert b"abc123" in (tmp_path / "store" / answer["probe_key"]).read_bytes()


def test_planted_keys_occur_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No record, log, answer or request to another host holds the payload's or the environment's key."""
    mine, theirs = "sk-environment-0123456789", "sk-payload-0123456789"

    def solve(payload: Any) -> str:
        _ask("x")
        raise RuntimeError(f"leaking {mine} and {theirs}")

    caplog.set_level(logging.DEBUG)
    with (
        ScriptedModel([Answer(f"I know {mine}")]) as model,
        app_of(tmp_path, solve, BASE_URL="http://127.0.0.1:9/v1", API_KEY=mine) as served,
    ):
        answer = served.invoke(rollout_payload(model.base_url, api_key=theirs))
        served.record(answer.json()["result_key"])
        served.settled()
        refused = served.invoke({"_rollout": {"exp_id": theirs, "input_id": 3, "api_key": theirs}})
        headers = str(model.calls[0].headers)
    content = (tmp_path / "store" / answer.json()["result_key"]).read_text()
    for text in (content, caplog.text, answer.text, refused.text):
        assert mine not in text
        assert theirs not in text
    assert theirs in headers
    assert mine not in headers


@pytest.mark.parametrize("reward", [1.0, "reward", FailureKind])
def test_a_reward_that_is_no_function_is_refused_at_import(tmp_path: Path, reward: Any) -> None:
    """A class instead of an instance too."""
    app = AgentCoreRLApp(settings=settings_for(tmp_path))
    with pytest.raises(ConfigurationError):
        app.rollout_entrypoint(reward=reward)(lambda payload: None)


def test_the_decorated_function_is_the_authors_own(tmp_path: Path) -> None:
    """Callable in their tests, with the SDK's `run`."""
    app = AgentCoreRLApp(settings=settings_for(tmp_path))

    @app.rollout_entrypoint
    def solve(payload: Any) -> str:
        return f"got {payload}"

    assert solve("x") == "got x"
    assert callable(solve.run)  # type: ignore[attr-defined]


def test_the_sdks_own_features_still_work(tmp_path: Path) -> None:
    """A lifespan of the author's, async tasks, a websocket, and a context with headers."""
    seen: list[str] = []

    class Lifespan:
        def __init__(self, app: Any) -> None: ...

        async def __aenter__(self) -> dict[str, str]:
            seen.append("up")
            return {"from": "lifespan"}

        async def __aexit__(self, *error: Any) -> None:
            seen.append("down")

    app = AgentCoreRLApp(settings=settings_for(tmp_path), lifespan=Lifespan)

    @app.async_task
    async def background() -> None:
        await asyncio.sleep(0.3)

    @app.rollout_entrypoint(reward=None)
    async def solve(payload: Any, context: Any) -> Any:
        task = asyncio.create_task(background())
        await asyncio.sleep(0.05)
        status = app.get_current_ping_status().value
        await task
        return {"session": context.session_id, "busy": status}

    with serving(app, tmp_path / "store") as served:
        answer = served.invoke({"prompt": "x"}, **{SESSION: "z" * 40}).json()
    assert answer == {"session": "z" * 40, "busy": "HealthyBusy"}
    assert seen == ["up", "down"]
