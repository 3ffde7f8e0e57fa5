"""A rollout of a real agent against a scripted model, without an app; and an app served on a port.

A folder's conftest imports the fixtures and says whose they are: `adapter`.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from agentcore_rl.codec import decode_record
from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder.recorder import Recorder, Recording
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.rollout import Limits, Rollout, ToolExecution, Turns
from agentcore_rl.testing import Line, ScriptedModel, ServedCall
from agentcore_rl.tools import Tool


def add(a: int, b: int) -> str:
    """Add two numbers."""
    if a == 13:
        raise RuntimeError("thirteen brings bad luck")
    return str(a + b)


ADD = Tool(
    "add",
    "Add two numbers.",
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
    add,
)


@dataclass
class Played:
    """What came of one rollout."""

    output: Any
    error: BaseException | None
    recording: Recording
    calls: Sequence[ServedCall]

    @property
    def turns(self) -> Turns:
        return Turns(self.recording.transcript)

    @property
    def executions(self) -> list[ToolExecution]:
        return [execution for turn in self.turns for execution in turn.stored.executions]

    @property
    def agreement(self) -> tuple[int, int, int, int]:
        """Matched, wire only, callback only, differing."""
        counts = self.recording.crosscheck
        return counts.matched, counts.wire_only, counts.callback_only, counts.differing

    def assert_as_served(self) -> None:
        """The record has what the server saw and said, in order."""
        assert [turn.prompt for turn in self.turns] == [call.json["messages"] for call in self.calls]


def one_agent(adapter: Any, tools: Sequence[Tool] = (ADD,), **sampling: Any) -> Any:
    """An agent with a collector, made by the adapter."""
    model = adapter.create_openai_compatible_model(**sampling)
    return adapter.build_agent(model, list(tools), "Be brief.", collector=adapter.collector())


@pytest.fixture
def play(adapter: Any) -> Callable[..., Played]:
    """Runs `handler()` (sync or async) in a rollout against a script; by default one agent, asked once."""

    def run(
        script: Sequence[Line],
        handler: Callable[[], Any] | None = None,
        *,
        stream: bool = False,
        limits: Limits | None = None,
        retries: int = 2,
    ) -> Played:
        recorder = Recorder(limits=limits)
        output, error = None, None
        with ScriptedModel(script) as model:
            scope = Scope(
                Endpoint(model.base_url, model="policy-7"), recorder, stream=stream, retries=retries
            )
            with rollout_scope(scope):
                try:
                    output = handler() if handler else adapter.run_agent(one_agent(adapter), "Begin.")
                    if asyncio.iscoroutine(output):
                        output = asyncio.run(output)
                except Exception as raised:  # noqa: BLE001 - what it is, is the test's to say
                    error = raised
            model.settle()
            calls = model.calls
            if error is not None and model.unread:
                raise error  # it is why the script was not played
        recorder.close("the test is over")
        return Played(output, error, recorder.finish(), calls)

    return run


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where records go."""
    monkeypatch.setenv("AGENTCORE_RL_STORE", str(tmp_path / "rollouts"))
    monkeypatch.setenv("AGENTCORE_RL_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("MODEL_ID", "policy-7")
    return tmp_path / "rollouts"


@dataclass
class Client:
    """Calls an app as AgentCore Runtime would."""

    http: httpx2.Client
    store: Path

    def invoke(self, payload: Any) -> httpx2.Response:
        return self.http.post("/invocations", json=payload)

    def rollout(self, payload: Any) -> Rollout:
        """Ask for a rollout and wait for its record."""
        answer = self.invoke(payload)
        assert answer.status_code == 200, answer.text
        path, end = self.store / answer.json()["result_key"], time.monotonic() + 20
        while not path.exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        return decode_record(path.read_bytes())


@pytest.fixture
def serving(store: Path) -> Callable[[Any], Any]:
    """Serves an app on a port of its own."""

    @contextmanager
    def serve(app: Any) -> Iterator[Client]:
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            with httpx2.Client(base_url=url, timeout=20, trust_env=False) as http:
                yield Client(http, store)
        finally:
            server.should_exit = True
            thread.join()

    return serve


class Moment:
    """Something that happens while agents run, and what is broken off by it.

    `Answer(..., expect=moment)` makes it the moment at which the server has that request.
    """

    def __init__(self) -> None:
        self._then: Callable[[], object] | None = None

    def __call__(self, *_: object) -> bool:
        """It happens, in whichever thread."""
        then, self._then = self._then, None
        if then is not None:
            then()
        return True

    @asynccontextmanager
    async def ends(self) -> AsyncIterator[None]:
        """Ends the block at that moment, as `asyncio.timeout` does."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(60) as limit, self.calls(lambda: limit.reschedule(loop.time())):
            yield

    @asynccontextmanager
    async def calls(self, function: Callable[[], object]) -> AsyncIterator[None]:
        """Calls this in the block's event loop at that moment."""
        loop = asyncio.get_running_loop()
        self._then = lambda: loop.call_soon_threadsafe(function)
        yield
