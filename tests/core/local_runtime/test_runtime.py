"""The local runtime as one object: started, described, ended, also by force."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agentcore_rl.exceptions import AppNotFound, ConfigurationError
from agentcore_rl.local_runtime import LocalRuntime
from agentcore_rl.spool import Address, Spool, SpoolEntry
from agentcore_rl.stores import Notice

HOST = """
import asyncio, sys
from agentcore_rl.local_runtime import LocalRuntime
from pathlib import Path

runtime = LocalRuntime(sys.argv[1], directory=Path(sys.argv[2]), mode=sys.argv[3])
runtime.start()
pid = asyncio.run(runtime.invoke("s" * 40, b"{}"))[2].decode()
child = asyncio.run(runtime.invoke("s" * 40, b'{"child": 1}'))[2].decode()
print(pid, child, sep="\\n", flush=True)
runtime.serve_forever()
print("clean", flush=True)
"""


@pytest.fixture(scope="module", params=["fork", "spawn"])
def mode(request):
    """Each test of sessions runs with forked and with spawned ones."""
    return request.param


async def test_sessions_that_begin_at_once(light, tmp_path, mode):
    """Sessions of the same moment are processes with a log each, and end with the runtime."""
    many = 20 if mode == "fork" else 4
    async with LocalRuntime(f"{light}:app", directory=tmp_path / "runtime", mode=mode) as runtime:
        names = [f"one-of-the-sessions-that-begin-now-{n:02}" for n in range(many)]
        answers = await asyncio.gather(*(runtime.invoke(name, b"{}") for name in names))
        seen = [json.loads(content) for _, _, content in answers]
        assert [answer["session"] for answer in seen] == names
        pids = {answer["pid"] for answer in seen}
        assert len(pids) == many
        assert {path.stem for path in (runtime.directory / "logs").iterdir()} == set(names)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_what_a_session_finds(runtime, invoke, shared):
    """The given environment, one BLAS thread, a spool of its own; the app's folder is importable."""
    names = ["GIVEN", "OMP_NUM_THREADS", "AGENTCORE_RL_SPOOL"]
    seen = invoke(shared, env=names)
    spool = str(runtime.directory / "spool" / shared)
    assert seen["env"] == {"GIVEN": "yes", "OMP_NUM_THREADS": "1", "AGENTCORE_RL_SPOOL": spool}
    assert seen["beside"] == "beside"
    log = (runtime.directory / "logs" / f"{shared}.log").read_text()
    assert "imported as obliging_app" in log


def test_one_session_asked_from_many_threads(invoke, session):
    """Calls that meet before the process is up all get to it."""
    with ThreadPoolExecutor(8) as pool:
        assert len({answer["pid"] for answer in pool.map(lambda _: invoke(session), range(8))}) == 1


def test_description_has_what_to_type(runtime):
    """What is printed names the URL, a region, an ARN, any credentials, the logs, and runs as it stands."""
    text = runtime.describe()
    for part in (
        runtime.endpoint_url,
        runtime.region,
        runtime.arn,
        "AWS_ACCESS_KEY_ID",
        str(runtime.directory),
    ):
        assert part in text
    compile(
        "\n".join(line.strip() for line in text.partition("import boto3")[2].splitlines()[1:]), "-", "exec"
    )


async def test_leftovers_of_an_earlier_runtime_are_delivered(light, tmp_path):
    """Records in the spools of sessions whose runtime died are in the store soon after the next start."""
    notice = Notice("run", "task", 0, 0, "session", "run/task.0/session.json", 6, "", "succeeded", None)
    spool = Spool(tmp_path / "spool" / "of-a-session")
    spool.add(SpoolEntry(Address(notice.key, str(tmp_path / "store"), None, "", None, notice), b"record"))
    spool.close()
    async with LocalRuntime(str(light), directory=tmp_path):
        until = time.monotonic() + 10
        while (tmp_path / "spool" / "of-a-session").exists():
            assert time.monotonic() < until
            await asyncio.sleep(0.02)
    assert (tmp_path / "store" / notice.key).read_bytes() == b"record"


def test_a_port_in_use(light, tmp_path):
    """A port that somebody else has is named in the error."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        runtime = LocalRuntime(str(light), port=other.getsockname()[1], directory=tmp_path)
        with pytest.raises(ConfigurationError, match=f"port {other.getsockname()[1]} of 127.0.0.1"):
            runtime.start()


def test_a_missing_app_file_is_said_at_once(tmp_path):
    """Before anything is started."""
    with pytest.raises(AppNotFound, match=r"There is no app file nowhere\.py"):
        LocalRuntime("nowhere.py", directory=tmp_path)


@pytest.mark.parametrize(
    ("number", "how"),
    [(signal.SIGINT, "fork"), (signal.SIGTERM, "fork"), (signal.SIGKILL, "fork"), (signal.SIGKILL, "spawn")],
)
def test_the_end_of_the_host_is_the_end_of_its_sessions(app_file, tmp_path, number, how, gone):
    """Ctrl-C and SIGTERM end it cleanly; after kill -9 the sessions and what they started end too."""
    command = [sys.executable, "-c", HOST, str(app_file), str(tmp_path), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as host:
        pids = [json.loads(host.stdout.readline())["pid"], int(host.stdout.readline())]
        while not _catches(host.pid, signal.SIGTERM):  # it is on its way into serve_forever
            time.sleep(0.02)
        host.send_signal(number)
        assert host.stdout.read() == ("" if number == signal.SIGKILL else "clean\n")
        assert host.wait(15) == (-number if number == signal.SIGKILL else 0)
    assert all(gone(pid) for pid in pids)


def _catches(pid, number):
    """Whether a process has installed something for a signal."""
    caught = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    return bool(int(caught, 16) & 1 << number - 1)
