"""A session's process is killed at random moments: nothing spooled is lost, doubled or half read."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agentcore_rl.codec import decode_record
from agentcore_rl.rollout import Rollout, Status
from agentcore_rl.spool import SpoolFile
from agentcore_rl.testing import Answer, ScriptedModel

NURSERY = Path(__file__).with_name("nursery.py")
KILLS = 25
"""In each of four parts."""


class Nursery:
    """Starts sessions and kills them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self) -> tuple[int, str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("start\n")
        self._process.stdin.flush()
        born = json.loads(self._process.stdout.readline())
        return born["pid"], f"http://127.0.0.1:{born['port']}"


@contextmanager
def nursery(tmp_path: Path, **environment: str) -> Iterator[Nursery]:
    """A nursery whose sessions share a store and a spool."""
    env = {
        **os.environ,
        "AGENTCORE_RL_STORE": str(tmp_path / "store"),
        "AGENTCORE_RL_SPOOL": str(tmp_path / "spool"),
        **environment,
    }
    process = subprocess.Popen(
        [sys.executable, str(NURSERY)], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield Nursery(process)
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
        process.stdout.close()


def kill(pid: int) -> None:
    """Kill it and wait until it is gone; its parent reaps it."""
    os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            time.sleep(0.002)


def spooled(root: Path) -> set[str]:
    """Keys of what has been renamed into the spool."""
    keys = set()
    for path in root.rglob("*"):
        if path.is_file() and path.suffix == ".entry":
            with suppress(FileNotFoundError):
                keys.add(SpoolFile(path).read().address.key)
    return keys


def stored(root: Path) -> dict[str, Rollout]:
    """Every record in the store, decoded: a half-written one would raise here."""
    return {
        str(path.relative_to(root)): decode_record(path.read_bytes()) for path in root.glob("run/*.0/*.json")
    }


def payload(number: int, base_url: str) -> dict[str, Any]:
    """A rollout of its own task."""
    return {"prompt": "go", "_rollout": {"exp_id": "run", "input_id": f"t{number}.0", "base_url": base_url}}


@pytest.mark.parametrize("part", range(4))
def test_a_hundred_kills_lose_and_double_nothing(tmp_path: Path, part: int) -> None:
    """From the first model call on; whatever reached the spool is in the store once after the next start."""
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    must_be_stored: set[str] = set()
    in_spool_at_death = 0
    with (
        ScriptedModel(lambda call: Answer("fine " * 200)) as model,
        nursery(tmp_path) as sessions,
        httpx2.Client(timeout=20, trust_env=False) as client,
    ):
        span = _whole_life(sessions, client, model, tmp_path / "store")
        for number in range(KILLS):
            pid, url = sessions.start()
            before = len(model.calls)
            assert client.post(f"{url}/invocations", json=payload(number, model.base_url)).status_code == 200
            while len(model.calls) == before:
                time.sleep(0.0005)
            time.sleep(chance.uniform(0, 1.5 * span))
            kill(pid)
            model.take_calls()
            here, there = spooled(tmp_path / "spool"), set(stored(tmp_path / "store"))
            in_spool_at_death += len(here - there)
            must_be_stored |= here
            ended = any(f"/t{number}.0/" in key for key in here | there)
            span *= 0.9 if ended else 1.2  # however busy the machine is, kills fall before and after the end
        # The next start delivers what the last one left.
        pid, url = sessions.start()
        end = time.monotonic() + 20
        while client.get(f"{url}/ping").json()["status"] != "Healthy":
            assert time.monotonic() < end
            time.sleep(0.02)
        kill(pid)
    records = stored(tmp_path / "store")
    assert must_be_stored <= set(records), f"seed {seed}"
    assert not spooled(tmp_path / "spool"), f"seed {seed}"
    assert all(record.status is Status.SUCCEEDED and len(record.turns) == 3 for record in records.values())
    # The kills really fell before, between and after: some records came about, some did not.
    assert 1 < len(records) <= KILLS, f"seed {seed}: {len(records)} of {KILLS} stored"
    print(f"{len(records)} of {KILLS} stored, {in_spool_at_death} of them waited in a spool; seed {seed}")


def _whole_life(sessions: Nursery, client: httpx2.Client, model: ScriptedModel, store: Path) -> float:
    """Seconds from a rollout's first model call until its record is stored, undisturbed."""
    pid, url = sessions.start()
    answer = client.post(f"{url}/invocations", json=payload(KILLS, model.base_url))
    _until(lambda: bool(model.calls))
    began = time.monotonic()
    _until((store / answer.json()["result_key"]).exists)
    span = time.monotonic() - began
    kill(pid)
    return span


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become a user who may not write")
def test_a_store_that_cannot_be_written_is_waited_for() -> None:
    """Ping stays busy and the record is in the spool; it is stored once as soon as it may be."""
    # Not pytest's folder: that is for its owner alone.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        _unwritable(Path(folder))


def _unwritable(tmp_path: Path) -> None:
    store, spool = tmp_path / "store", tmp_path / "spool"
    store.mkdir()
    store.chmod(0o555)
    spool.mkdir()
    spool.chmod(0o777)
    _waits_for(tmp_path, mend=lambda: store.chmod(0o777), NURSERY_USER="65534")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    """The store's disk is full: the record waits in the spool until there is room."""
    store = tmp_path / "store"
    store.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(store)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        filler = store / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        _waits_for(tmp_path, mend=filler.unlink)
    finally:
        subprocess.run(["umount", str(store)], check=True)


def _waits_for(tmp_path: Path, *, mend: Callable[[], object], **environment: str) -> None:
    with (
        ScriptedModel(lambda call: Answer("fine")) as model,
        nursery(tmp_path, **environment) as sessions,
        httpx2.Client(timeout=20, trust_env=False) as client,
    ):
        pid, url = sessions.start()
        try:
            assert client.post(f"{url}/invocations", json=payload(0, model.base_url)).status_code == 200
            _until(lambda: bool(spooled(tmp_path / "spool")))
            time.sleep(0.5)
            assert client.get(f"{url}/ping").json()["status"] == "HealthyBusy"
            assert not stored(tmp_path / "store")
            mend()
            _until(lambda: client.get(f"{url}/ping").json()["status"] == "Healthy", within_s=20)
            assert len(stored(tmp_path / "store")) == 1
            assert not spooled(tmp_path / "spool")
        finally:
            kill(pid)


def _until(true: Callable[[], bool], *, within_s: float = 15) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
