"""Sessions that die: an error for that session alone, and nothing of it stays."""

import asyncio
import json
import os
import signal
import threading
import time

import pytest

from agentcore_rl.exceptions import LaunchRejected, SessionLost
from agentcore_rl.launchers import SessionStatus
from agentcore_rl.local_runtime import LocalRuntime


@pytest.fixture(scope="module", params=["fork", "spawn"])
def mode(request):
    """Each test runs with forked and with spawned sessions."""
    return request.param


def test_a_crash_is_an_error_for_that_session_alone(client, invoke, runtime, shared, session):
    """An exit in the middle of a call is said with its status, the log and its last line; others go on."""
    bystander = invoke(shared)["pid"]
    with pytest.raises(client.exceptions.RuntimeClientError) as raised:
        invoke(session, say="farewell", exit=5)
    message = raised.value.response["Error"]["Message"]
    assert "ended with exit status 5" in message
    assert str(runtime.directory / "logs" / f"{session}.log") in message
    assert message.endswith("last line: farewell")
    assert invoke(shared)["pid"] == bystander
    assert invoke(session)["session"] == session


def test_a_killed_session_is_started_anew(client, invoke, runtime, session):
    """A kill -9 under a waiting call: the call hears of SIGKILL, the same id then gets a new process."""
    pid = invoke(session)["pid"]
    heard = []

    def call():
        with pytest.raises(client.exceptions.RuntimeClientError) as raised:
            invoke(session, say="asleep", sleep=30)
        heard.append(str(raised.value))

    caller = threading.Thread(target=call)
    caller.start()
    log = runtime.directory / "logs" / f"{session}.log"
    until = time.monotonic() + 10
    while "asleep" not in log.read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    caller.join(10)
    assert "ended by SIGKILL" in heard[0]
    assert invoke(session)["pid"] != pid


def test_stop_ends_what_the_session_started(client, invoke, runtime, session, gone):
    """A process that the app started, deaf to SIGTERM, ends with its session."""
    child = invoke(session, child=1)
    client.stop_runtime_session(agentRuntimeArn=runtime.arn, runtimeSessionId=session)
    assert gone(child)


def test_a_crash_ends_what_the_session_started(invoke, session, gone):
    """So does a process that is left over by a session that was killed."""
    pid, child = invoke(session)["pid"], invoke(session, child=1)
    os.kill(pid, signal.SIGKILL)
    assert gone(child)


async def test_status_says_what_a_session_does(runtime, session):
    """idle, busy while the app says so at /ping, gone after its end, and gone when never heard of."""
    assert await runtime.status(session) is SessionStatus.GONE
    assert (await runtime.invoke(session, b"{}"))[0] == 200
    assert await runtime.status(session) is SessionStatus.IDLE
    await runtime.invoke(session, b'{"task": 1}')
    assert await runtime.status(session) is SessionStatus.BUSY
    assert await runtime.stop_session(session)
    until = time.monotonic() + 10
    while (now := await runtime.status(session)) is not SessionStatus.GONE:
        assert now is SessionStatus.BUSY, "what it left in its spool is looked for"
        assert time.monotonic() < until
        await asyncio.sleep(0.02)
    assert not await runtime.stop_session(session)


async def test_what_a_dead_session_left_is_delivered(tmp_path, runtime, session):
    """A record in a dead session's spool goes to its store once that can be written; busy until then."""
    store = tmp_path / "store"
    store.write_text("a file is in the way")
    with pytest.raises(SessionLost):
        await runtime.invoke(session, json.dumps({"spool": str(store), "exit": 1}).encode())
    assert await runtime.status(session) is SessionStatus.BUSY
    assert (await runtime.invoke(session, b"{}"))[0] == 200  # the id is not blocked by it
    await runtime.stop_session(session)
    store.unlink()
    until = time.monotonic() + 15
    while (runtime.directory / "spool" / session).exists():
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    assert (store / "run/task.0/session.json").read_bytes() == b"record"


async def test_callers_of_a_session_that_keeps_dying(runtime, session):
    """Every call is answered, with the loss of the process that it met."""
    calls = [runtime.invoke(session, json.dumps({"exit": n}).encode()) for n in range(1, 7)]
    lost = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(error, SessionLost) for error in lost)


async def test_an_app_that_does_not_import(tmp_path, session, mode):
    """The call says which line failed and where the log with the whole traceback is."""
    file = tmp_path / "broken_app.py"
    file.write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\nimport nowhere\n"
    )
    async with LocalRuntime(str(file), directory=tmp_path, mode=mode) as runtime:
        with pytest.raises(LaunchRejected) as raised:
            await runtime.invoke(session, b"{}")
        file.unlink()
        with pytest.raises(LaunchRejected, match="There is no app file"):
            await runtime.invoke(session, b"{}")
    log = tmp_path / "logs" / f"{session}.log"
    assert "Importing broken_app.py failed: ModuleNotFoundError: No module named 'nowhere'" in str(
        raised.value
    )
    assert str(log) in str(raised.value)
    assert "line 3" in log.read_text()
