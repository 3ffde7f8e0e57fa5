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
from agentcore_rl.local_runtime.faults import Faults
from agentcore_rl.local_runtime.starting import Mode

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

LIGHT = """
import asyncio, os, random
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

print("imported by", os.getpid())
DRAWS = [random.random, random.Random(7).random]
IMPORTED_BY, SPOOL_AT_IMPORT = os.getpid(), os.environ.get("AGENTCORE_RL_SPOOL")
state = {"status": "Healthy", "deliveries": 0}

class Light(Starlette):
    handlers = {"main": None}
    def get_current_ping_status(self): ...

async def answer(request):
    asked = await request.json()
    state["deliveries"] += 1
    state["status"] = asked.get("status", state["status"])
    await asyncio.sleep(asked.get("sleep", 0))
    return JSONResponse({
        "pid": os.getpid(),
        "session": request.headers["x-amzn-bedrock-agentcore-runtime-session-id"],
        "deliveries": state["deliveries"],
        "imported_by": IMPORTED_BY,
        "spools": [SPOOL_AT_IMPORT, os.environ.get("AGENTCORE_RL_SPOOL")],
        "draws": [draw() for draw in DRAWS],
        "files": sorted(os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                        if os.path.islink(f"/proc/self/fd/{fd}")),
    })

async def ping(request):
    return JSONResponse({"status": state["status"]})

app = Light(routes=[Route("/invocations", answer, methods=["POST"]), Route("/ping", ping)])
"""

Invoke = Callable[..., Any]


@pytest.fixture(scope="module")
def app_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app file, with a module beside it that it imports."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "beside.py").write_text("NAME = __name__\n")
    (folder / "obliging_app.py").write_text(APP)
    return folder / "obliging_app.py"


@pytest.fixture
def light(tmp_path: Path) -> Path:
    """An app file that imports nothing of the SDK."""
    return write_light(tmp_path)


def write_light(folder: Path) -> Path:
    """Write that app file."""
    file = folder / "light_app.py"
    file.write_text(LIGHT)
    return file


@pytest.fixture(scope="module")
def light_runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRuntime]:
    """A runtime of it, under two qualifiers, that takes faults over HTTP too."""
    folder = tmp_path_factory.mktemp("light")
    app = str(write_light(folder))
    runtime = LocalRuntime(app, directory=folder, qualifiers={"canary": app}, fault_route=True)
    runtime.start()
    client = boto3_client(runtime)
    # A process of the further endpoint begins with its first call, which no test shall seem to leave.
    client.invoke_agent_runtime(
        agentRuntimeArn=runtime.arn, runtimeSessionId="c" * 40, payload=b"{}", qualifier="canary"
    )["response"].read()
    client.close()
    yield runtime
    runtime.stop()


@pytest.fixture(scope="module")
def light_client(light_runtime: LocalRuntime) -> Iterator[Any]:
    """An unmodified boto3 client of it."""
    client = boto3_client(light_runtime)
    yield client
    client.close()


@pytest.fixture
def faults(light_runtime: LocalRuntime) -> Iterator[Faults]:
    """Its faults, forgotten after the test."""
    yield light_runtime.faults
    light_runtime.faults.clear()


@pytest.fixture
def name() -> Callable[[], str]:
    """Makes session ids that nobody else has."""
    return lambda: f"a-session-that-is-nobody-elses-{next(_numbers):05}"


@pytest.fixture(scope="module")
def mode() -> Mode:
    """How sessions start; modules that are about their processes run in both ways."""
    return "auto"


@pytest.fixture(scope="module")
def runtime(app_file: Path, mode: Mode) -> Iterator[LocalRuntime]:
    """A runtime that serves it."""
    runtime = LocalRuntime(
        str(app_file), directory=app_file.parent / f"runtime-{mode}", env={"GIVEN": "yes"}, mode=mode
    )
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


@pytest.fixture
def boto3_of() -> Iterator[Callable[[LocalRuntime], Any]]:
    """Makes boto3 clients of other runtimes."""
    with contextlib.ExitStack() as made:

        def make(runtime: LocalRuntime) -> Any:
            client = boto3_client(runtime)
            made.callback(client.close)
            return client

        yield make


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
