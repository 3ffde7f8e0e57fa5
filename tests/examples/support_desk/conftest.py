"""The support desk's apps, served on a port and played by a scripted model."""

import json
import runpy
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from agentcore_rl.codec import decode_record
from agentcore_rl.rollout import Rollout

SUPPORT_DESK = Path(__file__).parents[3] / "examples" / "support_desk"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example's folder; its modules can be imported."""
    monkeypatch.syspath_prepend(str(SUPPORT_DESK))
    return SUPPORT_DESK


@dataclass
class Client:
    """Calls an app as AgentCore Runtime would."""

    http: httpx2.Client
    store: Path

    def invoke(self, payload: Any) -> httpx2.Response:
        return self.http.post("/invocations", json=payload)

    def rollouts(self, payloads: Sequence[Any]) -> list[Rollout]:
        """Ask for all of them, then wait for their records."""
        answers = [self.invoke(payload) for payload in payloads]
        return [self._record(answer) for answer in answers]

    def _record(self, answer: httpx2.Response) -> Rollout:
        assert answer.status_code == 200, answer.text
        path, end = self.store / answer.json()["result_key"], time.monotonic() + 30
        while not path.exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        return decode_record(path.read_bytes())


@pytest.fixture
def serving(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Serves an app of a framework's folder: `serving("strands/rl_app.py", base_url)`."""
    monkeypatch.setenv("AGENTCORE_RL_STORE", str(tmp_path / "rollouts"))
    monkeypatch.setenv("AGENTCORE_RL_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("MODEL_ID", "policy-7")

    @contextmanager
    def serve(name: str, base_url: str) -> Iterator[Client]:
        monkeypatch.setenv("BASE_URL", base_url)
        app = runpy.run_path(str(folder / name))["app"]
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
            with httpx2.Client(base_url=url, timeout=20, trust_env=False) as http:
                yield Client(http, tmp_path / "rollouts")
        finally:
            server.should_exit = True
            thread.join()

    return serve


@pytest.fixture
def tasks(folder: Path) -> dict[str, dict[str, Any]]:
    """The task file, by id."""
    lines = (folder / "tasks.jsonl").read_text().splitlines()
    return {task["id"]: task for task in map(json.loads, lines)}


@pytest.fixture
def desk(folder: Path) -> Any:
    """The module that all frameworks' apps share."""
    import desk

    yield desk
    sys.modules.pop("desk", None)
