"""Sessions that are forked from a process that has imported the app once."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest

from agentcore_rl.exceptions import LaunchRejected, SessionLost
from agentcore_rl.local_runtime import LocalRuntime

SESSION = "a-session-that-is-forked-for-a-test-{:03}"


async def ask(runtime, number=0, **payload):
    """The app's answer."""
    status, _, content = await runtime.invoke(SESSION.format(number), json.dumps(payload).encode())
    assert status == 200
    return json.loads(content)


async def test_a_hundred_sessions_at_once(light, tmp_path):
    """One import, a hundred processes; no two draw alike, from whatever generator."""
    numpy = "\nimport numpy\nDRAWS += [numpy.random.random, numpy.random.default_rng(7).random]\n"
    light.write_text(light.read_text() + numpy)
    async with LocalRuntime(str(light), directory=tmp_path, mode="fork") as runtime:
        seen = await asyncio.gather(*(ask(runtime, number) for number in range(100)))
        assert runtime.starts == "forked"
    assert len({answer["pid"] for answer in seen}) == 100
    assert len({answer["imported_by"] for answer in seen}) == 1
    for draws in zip(*(answer["draws"] for answer in seen), strict=True):
        assert len(set(draws)) == 100


async def test_a_session_has_what_is_its_own(light, tmp_path):
    """Its log (which begins with what the import printed), its spool; no file of others."""
    async with LocalRuntime(str(light), directory=tmp_path, mode="fork") as runtime:
        await ask(runtime, 1)
        answer = await ask(runtime, 2)
        spawned = LocalRuntime(str(light), directory=tmp_path / "spawned", mode="spawn")
        async with spawned:
            as_spawned = await ask(spawned, 2)
    spools = tmp_path / "spool"
    assert answer["spools"] == [str(spools / "of-the-import"), str(spools / SESSION.format(2))]
    log = tmp_path / "logs" / f"{SESSION.format(2)}.log"
    assert log.read_text() == f"imported by {answer['imported_by']}\n"
    kinds = [sorted(name.split(":")[0] for name in seen["files"]) for seen in (answer, as_spawned)]
    assert [name for name in kinds[0] if name.endswith(".log")] == [str(log)] * 2
    assert [len(kind) for kind in kinds] == [len(kinds[1])] * 2


async def test_a_change_is_seen_by_the_next_session(light, tmp_path):
    """Of the app file, or of a module beside it; sessions that are there keep what they have."""
    beside = tmp_path / "beside.py"
    beside.write_text("NAME = 'first'\n")
    light.write_text(
        f"import beside\n{light.read_text()}".replace('"pid": os', '"name": beside.NAME, "pid": os')
    )
    async with LocalRuntime(str(light), directory=tmp_path / "runtime", mode="fork") as runtime:
        first = await ask(runtime, 1)
        beside.write_text("NAME = 'the second'\n")
        second = await ask(runtime, 2)
        light.write_text(light.read_text().replace("beside.NAME", "'third'"))
        third = await ask(runtime, 3)
        assert [seen["name"] for seen in (first, second, third)] == ["first", "the second", "third"]
        assert (await ask(runtime, 1))["pid"] == first["pid"]
        # The process that it was forked from still tells how it ended.
        waiting = asyncio.create_task(ask(runtime, 1, sleep=30))
        await asyncio.sleep(0.3)
        os.kill(first["pid"], signal.SIGKILL)
        with pytest.raises(SessionLost, match="ended by SIGKILL"):
            await waiting


async def test_a_dead_fork_server_is_replaced(light, tmp_path):
    """Sessions that are alive go on, new ones start, and the end of an orphan is noticed."""
    async with LocalRuntime(str(light), directory=tmp_path, mode="fork") as runtime:
        before = await ask(runtime, 1)
        os.kill(before["imported_by"], signal.SIGKILL)
        after = await ask(runtime, 2)
        assert after["imported_by"] != before["imported_by"]
        assert (await ask(runtime, 1))["pid"] == before["pid"]
        waiting = asyncio.create_task(ask(runtime, 1, sleep=30))
        await asyncio.sleep(0.3)
        os.kill(before["pid"], signal.SIGKILL)
        with pytest.raises(SessionLost, match="process ended; its log"):
            await waiting
        assert (await ask(runtime, 1))["pid"] != before["pid"]


async def test_an_app_that_leaves_a_thread_is_spawned(light, tmp_path, caplog):
    """The log and the description name the line that started it; mode fork refuses with the same words."""
    (tmp_path / "starter.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    light.write_text(f"import starter\n{light.read_text()}")
    async with LocalRuntime(str(light), directory=tmp_path / "runtime") as runtime:
        first, second = await asyncio.gather(ask(runtime, 1), ask(runtime, 2))
        assert first["imported_by"] == first["pid"] != second["pid"]
        end = time.monotonic() + 20
        while "starter" not in runtime.describe() and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        reason = "its import leaves 1 thread(s) running, started by starter, line 2"
        assert f"spawned, since {reason}" in runtime.describe()
    assert f"Each session of light_app.py imports the app anew, since {reason}." in caplog.text
    async with LocalRuntime(str(light), directory=tmp_path / "runtime", mode="fork") as runtime:
        with pytest.raises(
            LaunchRejected, match=r"cannot be forked: its import leaves 1 thread.*mode \"auto\""
        ):
            await ask(runtime, 1)


async def test_an_app_may_ask_to_be_spawned(light, tmp_path):
    """By a name at its top level."""
    light.write_text(f'LOCAL_RUNTIME_MODE = "spawn"\n{light.read_text()}')
    async with LocalRuntime(str(light), directory=tmp_path) as runtime:
        seen = await ask(runtime)
        assert seen["imported_by"] == seen["pid"]
        assert 'spawned, since the app file says LOCAL_RUNTIME_MODE = "spawn"' in runtime.starts


async def test_a_repaired_app_is_imported_again(light, tmp_path):
    """What its import failed with is each session's error until the file changes."""
    works = light.read_text()
    light.write_text("import nowhere_at_all\n")
    async with LocalRuntime(str(light), directory=tmp_path, mode="fork") as runtime:
        for number in (1, 2):
            with pytest.raises(LaunchRejected, match="No module named 'nowhere_at_all'"):
                await ask(runtime, number)
        light.write_text(works)
        assert (await ask(runtime, 1))["deliveries"] == 1


async def test_an_import_that_crashes(light, tmp_path):
    """Where the process that imports dies without a word, sessions are spawned, each with its own error."""
    light.write_text("import os\nos.kill(os.getpid(), 9)\n")
    async with LocalRuntime(str(light), directory=tmp_path) as runtime:
        with pytest.raises(SessionLost, match="ended by SIGKILL"):
            await ask(runtime)
        assert "the process that imported it ended with -9" in runtime.starts


async def test_stop_does_not_wait_for_an_import(light, tmp_path):
    """A runtime that is told to stop while its app is imported ends, and so do the calls that wait."""
    light.write_text("import time\ntime.sleep(600)\n")
    async with LocalRuntime(str(light), directory=tmp_path) as runtime:
        waiting = asyncio.create_task(ask(runtime))
        end = time.monotonic() + 20
        while not (tmp_path / "logs" / f"{SESSION.format(0)}.log").exists() and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    with pytest.raises(SessionLost, match="was stopped"):
        await waiting


def test_signals_are_as_a_new_process_has_them(invoke, shared):
    """What the fork server set for itself is not inherited."""
    pid = invoke(shared)["pid"]
    status = Path(f"/proc/{pid}/status").read_text()
    caught, ignored = (int(status.partition(f"{name}:")[2].split()[0], 16) for name in ("SigCgt", "SigIgn"))
    assert not caught & 1 << signal.SIGCHLD - 1
    assert caught & 1 << signal.SIGTERM - 1
    assert not ignored & 1 << signal.SIGCHLD - 1
