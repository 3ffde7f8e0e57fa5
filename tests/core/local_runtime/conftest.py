"""An app that does as its payload says, a runtime that serves it, and an unmodified boto3 client."""

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from agentcore_rl.local_runtime import LocalRuntime

APP = """
import os, signal, subprocess, sys, time
from bedrock_agentcore import BedrockAgentCoreApp
from starlette.exceptions import HTTPException
from starlette.responses import Response
import beside
from agentcore_rl.spool import Address, Spool, SpoolEntry
from agentcore_rl.stores import Notice

app = BedrockAgentCoreApp()
print("imported as", __name__)

def leave_in_spool(spool, store):
    notice = Notice("run", "task", 0, 0, "session", "run/task.0/session.json", 6, "", "succeeded", None)
    Spool(spool).add(SpoolEntry(Address(notice.key, store, None, "", None, notice), b"record"))

def _stream(payload):
    for number in range(payload["stream"]):
        yield number
        time.sleep(payload.get("pause", 0))
        if number == payload.get("exit_after"):
            os._exit(4)

@app.entrypoint
def main(payload, context):
    if "stream" in payload:
        return _stream(payload)
    if "say" in payload:
        print(payload["say"])
    if "sleep" in payload:
        time.sleep(payload["sleep"])
    if "spool" in payload:
        leave_in_spool(os.environ["AGENTCORE_RL_SPOOL"], payload["spool"])
    if "exit" in payload:
        os._exit(payload["exit"])
    if "raise" in payload:
        raise ValueError(payload["raise"])
    if "refuse" in payload:
        raise HTTPException(payload["refuse"], "not like this")
    if "bytes" in payload:
        return Response(bytes(payload["bytes"]), 201, media_type="application/x-test")
    if "task" in payload:
        app.add_async_task("background")
    if "child" in payload:
        ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
        return subprocess.Popen([sys.executable, "-c", ignoring]).pid
    return {
        "pid": os.getpid(),
        "session": context.session_id,
        "length": len(payload.get("text", "")),
        "headers": dict(context.request_headers or {}),
        "env": {name: os.environ.get(name) for name in payload.get("env", ())},
        "beside": beside.NAME,
    }
"""

Invoke = Callable[..., Any]


@pytest.fixture(scope="module")
def app_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app file, with a module beside it that it imports."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "beside.py").write_text("NAME = __name__\n")
    (folder / "obliging_app.py").write_text(APP)
    return folder / "obliging_app.py"


@pytest.fixture(scope="module")
def runtime(app_file: Path) -> Iterator[LocalRuntime]:
    """A runtime that serves it."""
    runtime = LocalRuntime(str(app_file), directory=app_file.parent / "runtime", env={"GIVEN": "yes"})
    runtime.start()
    yield runtime
    runtime.stop()


def boto3_client(runtime: LocalRuntime) -> Any:
    """A client made of endpoint URL, region and dummy credentials."""
    return boto3.client(
        "bedrock-agentcore",
        endpoint_url=runtime.endpoint_url,
        region_name=runtime.region,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=32),
    )


@pytest.fixture(scope="session")
def gone() -> Callable[[int], bool]:
    """Whether a process ends within ten seconds."""

    def wait(pid: int) -> bool:
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                return True
            if status == "Z":
                return True
            time.sleep(0.02)
        return False

    return wait


@pytest.fixture(scope="module")
def client(runtime: LocalRuntime) -> Iterator[Any]:
    """An unmodified boto3 client."""
    client = boto3_client(runtime)
    yield client
    client.close()


@pytest.fixture(scope="module")
def invoke(runtime: LocalRuntime, client: Any) -> Invoke:
    """Sends a payload to a session and gives the decoded answer."""

    def send(session: str, **payload: Any) -> Any:
        answer = client.invoke_agent_runtime(
            agentRuntimeArn=runtime.arn, runtimeSessionId=session, payload=json.dumps(payload)
        )
        return json.loads(answer["response"].read())

    return send


@pytest.fixture(scope="module")
def shared(invoke: Invoke) -> str:
    """A session that lives as long as the module's tests; none of them may end it."""
    invoke("a-session-that-several-tests-have-in-common")
    return "a-session-that-several-tests-have-in-common"


@pytest.fixture
def session(runtime: LocalRuntime, client: Any) -> Iterator[str]:
    """The id of a session of the test's own."""
    name = f"a-session-of-one-test-and-no-other-{next(_numbers)}"
    yield name
    with contextlib.suppress(client.exceptions.ResourceNotFoundException):
        client.stop_runtime_session(agentRuntimeArn=runtime.arn, runtimeSessionId=name)


_numbers = itertools.count()
