"""Whatever fails on the way, every rollout has one outcome and one record that counts.

`just faults` runs this file alone and prints the table. AGENTCORE_RL_FAULT_S says for how many seconds a
service stays away (here 3; `AGENTCORE_RL_FAULT_S=180 just faults` for minutes).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentcore_rl.launchers.local import LocalLauncher
from agentcore_rl.rollout import derive_session
from agentcore_rl.stores.places import open_notices, open_store
from app_process import app_process
from faults_kit import World, add_row, tasks
from inprocess_launcher import InProcessLauncher, make_attempt, store_rollout, until

AWAY_S = float(os.environ.get("AGENTCORE_RL_FAULT_S", "3"))
PATIENCE_S = AWAY_S + 55
pytestmark = pytest.mark.timeout(PATIENCE_S + 300)
N = 12


async def outcomes_of(runner: Any, wanted: Any) -> list[Any]:
    """All outcomes of a batch."""
    async with runner:
        return [outcome async for outcome in runner.run(wanted)]


def after(seconds: float, do: Callable[[], object]) -> threading.Thread:
    """Do something a little later, in a thread of its own."""

    def wait() -> None:
        time.sleep(seconds)
        do()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


# The store


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        ("S3 503 SlowDown", 503, "SlowDown"),
        ("S3 AccessDenied, then fixed", 403, "AccessDenied"),
        ("S3 credentials expired, then fresh", 400, "ExpiredToken"),
        ("S3 500", 500, "InternalError"),
    ],
)
async def test_the_store_fails_for_a_while(world, faulty_aws, what, status, code):
    """Puts, reads and lists fail from the first record on; then they work again."""
    run = what.split()[1].strip(",").lower()
    runner = world.batch(run)
    async with runner:
        outcomes, thread = [], None
        async for outcome in runner.run(tasks(N, seconds=0.3)):
            outcomes.append(outcome)
            if thread is None:
                for operation in ("PutObject", "GetObject", "ListObjectsV2"):
                    faulty_aws.fault(operation, status=status, code=code)
                thread = after(AWAY_S, faulty_aws.clear)
    thread.join()
    await asyncio.to_thread(world.judge, what, run, outcomes, N)


async def test_the_store_cannot_be_reached(world, faulty_aws):
    """Nothing listens at all, neither S3 nor SQS."""
    run = "unreachable"
    runner = world.batch(run)
    async with runner:
        outcomes, thread = [], None

        def outage() -> None:
            with faulty_aws.down():
                time.sleep(AWAY_S)

        async for outcome in runner.run(tasks(N, seconds=0.3)):
            outcomes.append(outcome)
            if thread is None:
                thread = after(0, outage)
    thread.join()
    await asyncio.to_thread(world.judge, "S3 and SQS unreachable", run, outcomes, N)


async def test_an_answer_of_the_store_is_lost(world, faulty_aws):
    """Every first put is applied and its connection dropped: the repetition meets the own object."""
    faulty_aws.fault("PutObject", drop="after", where="/t", times=N)
    outcomes = await outcomes_of(world.batch("dropped"), tasks(N))
    await asyncio.to_thread(world.judge, "S3 put applied, answer lost", "dropped", outcomes, N)


async def test_reads_break_off(world, faulty_aws):
    """Half a record is no record."""
    faulty_aws.fault("GetObject", drop="half", times=N)
    outcomes = await outcomes_of(world.batch("half"), tasks(N))
    await asyncio.to_thread(world.judge, "S3 reads break off", "half", outcomes, N)


async def test_records_that_are_not_ours(world):
    """Foreign objects in the bucket, in the run, and at a rollout's own key."""
    s3, put = world.aws.client("s3"), "foreign"
    session = derive_session(put, "t0", 0, 0)
    for key in ("other/a.0/x.json", f"{put}/readme.txt", f"{put}/t1.0/x.json", f"{put}/t0.0/{session}.json"):
        await asyncio.to_thread(s3.put_object, Bucket=world.bucket, Key=key, Body=b"not ours")
    outcomes = await outcomes_of(world.batch(put), tasks(N))
    assert {each.request.task: each.attempts for each in outcomes} == {
        f"t{n}": 1 + (n == 0) for n in range(N)
    }
    await asyncio.to_thread(world.judge, "objects that are not ours", put, outcomes, N)


# Notices


async def test_the_queue_is_down(world, faulty_aws):
    """Nothing can be sent or heard: the LIST finds everything, and no success becomes a failure."""
    for operation in ("SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch"):
        faulty_aws.fault(operation, status=503, code="ServiceUnavailable")
    outcomes = await outcomes_of(world.batch("mute"), tasks(N))
    await asyncio.to_thread(world.judge, "SQS down throughout", "mute", outcomes, N)


async def test_notices_are_lost(world, aws):
    """They go to a queue that nobody hears."""
    deaf = World(world.aws, world.bucket, await asyncio.to_thread(aws.queue, "nobody"), world.app)
    outcomes = await outcomes_of(deaf.batch("lost"), tasks(N))
    await asyncio.to_thread(world.judge, "notices lost", "lost", outcomes, N)


async def test_notices_are_doubled_reordered_and_poisoned(world):
    """A meddler takes messages, sends them twice, in another order, among nonsense."""
    sqs, queue = world.aws.client("sqs"), world.queue
    stop, chance = threading.Event(), random.Random(3)
    nonsense = ["{", "[]", '{"schema": "moon"}', '{"Event": "s3:TestEvent"}', "x" * 10_000]

    def meddle() -> None:
        while not stop.is_set():
            sqs.send_message(QueueUrl=queue, MessageBody=chance.choice(nonsense))
            taken = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
            chance.shuffle(taken)
            for message in taken * 2:
                sqs.send_message(QueueUrl=queue, MessageBody=message["Body"])
            for message in taken:
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            stop.wait(0.05)

    thread = threading.Thread(target=meddle)
    thread.start()
    try:
        outcomes = await outcomes_of(world.batch("meddled"), tasks(N, seconds=0.2))
    finally:
        stop.set()
        await asyncio.to_thread(thread.join)
        await asyncio.to_thread(sqs.purge_queue, QueueUrl=queue)
    await asyncio.to_thread(world.judge, "notices doubled, reordered, poisoned", "meddled", outcomes, N)


# Throttling


async def test_everything_is_throttled_now_and_then(world, faulty_aws):
    """Every second call of every operation of S3 and SQS is refused for its rate."""
    faulty_aws.fault("*", status=503, code="SlowDown", every=2)
    outcomes = await outcomes_of(world.batch("slow"), tasks(N))
    assert sum(faulty_aws.calls.values()) > sum(faulty_aws.passed.values())
    await asyncio.to_thread(world.judge, "throttled at every second call", "slow", outcomes, N)


# Sessions


@pytest.fixture
def sessions(world: World, tmp_path: Path) -> Any:
    """Makes a launcher whose sessions are processes that can be killed."""

    def make() -> LocalLauncher:
        env = {"AGENTCORE_RL_STORE": world.location, "AGENTCORE_RL_QUEUE": world.queue}
        env |= {"PYTHONPATH": str(Path(__file__).parents[1] / "plugins")}
        app = str(Path(__file__).with_name("app.py"))
        return LocalLauncher(app, directory=tmp_path / "runtime", env=env)

    return make


def kill_sessions(directory: Path) -> int:
    """Kill the processes whose spool is below this folder."""
    killed = 0
    for spool in directory.glob("runtime/spool/*/*"):
        pid = spool.name.partition("-")[0]
        if pid.isdigit():
            try:
                os.kill(int(pid), signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                continue
    return killed


@pytest.mark.parametrize(
    ("what", "operation", "drop"),
    [
        ("session killed before the put", "PutObject", "before"),
        ("session killed during the put", "PutObject", "after"),
        ("session killed after the put", "SendMessage", "before"),
    ],
)
async def test_sessions_are_killed(world, faulty_aws, sessions, tmp_path, what, operation, drop):
    """Their spool is on the disk, and who sees them die delivers it."""
    run, number = what.replace(" ", "-"), 4
    faulty_aws.fault(operation, drop=drop, where="t" if operation == "SendMessage" else "/t")
    launcher, killed = sessions(), 0
    runner = world.batch(run, launcher, concurrency=number)

    async def kill() -> None:
        nonlocal killed
        await until(lambda: faulty_aws.calls[operation] >= number, within_s=40)
        killed = await asyncio.to_thread(kill_sessions, tmp_path)
        faulty_aws.clear()

    killing = asyncio.create_task(kill())
    try:
        outcomes = await outcomes_of(runner, tasks(number))
    finally:
        await killing
        await launcher.aclose()
    assert killed >= 1
    await asyncio.to_thread(world.judge, what, run, outcomes, number)


async def test_the_service_fails(world, sessions):
    """Starts are throttled, refused, answered and not heard of, and sessions die with the payload in hand."""
    launcher = sessions()
    # Not those of the first task: the run's probe is a start too, alone, and would use all faults up.
    hit = {"sessions": "service-t[1-9]*"}
    for fault, count in (("throttle", 6), ("quota", 2), ("conflict", 3), ("internal", 2), ("lose-answer", 3)):
        launcher.faults.add(fault, count=count, probability=0.5, seed=count, **hit)
    launcher.faults.add("kill-before", count=2, **hit)
    try:
        outcomes = await outcomes_of(world.batch("service", launcher, concurrency=6), tasks(N))
        assert all(rule.hits for rule in launcher.faults.rules)
    finally:
        await launcher.aclose()
    await asyncio.to_thread(world.judge, "starts throttled, refused, unanswered", "service", outcomes, N)


# Attempts


async def test_an_attempt_arrives_after_its_successor(world):
    """After it was stored it still counts, being the lower one; after it was delivered it is late."""
    store = open_store(world.location)
    run = "late"
    wanted = [
        *tasks(1, does={"tries": [{"leaves": "nothing"}, {"reward": 1.0}]}),
        *[each for each in tasks(2, does={"seconds": 1.0}) if each.id == "t1"],
    ]
    launcher = InProcessLauncher(store, open_notices(world.location, run=run, queue=world.queue))
    first = make_attempt(run, "t0", session=derive_session(run, "t0", 0, 0))
    outcomes = []
    async for outcome in world.batch(run, launcher).run(wanted):
        outcomes.append(outcome)
        if outcome.request.task == "t0":
            await asyncio.to_thread(store_rollout, store, first)
    assert {each.request.task: each.request.attempt for each in outcomes} == {"t0": 1, "t1": 0}
    await asyncio.to_thread(world.judge, "attempt after its successor's delivery", run, outcomes, 2)

    class Late(InProcessLauncher):
        async def start(self, session: str, payload: Any) -> Any:
            if payload["_rollout"].get("attempt") == 1:
                late = make_attempt("later", "t0", session=derive_session("later", "t0", 0, 0))
                await asyncio.to_thread(store_rollout, self.store, late)
            return await super().start(session, payload)

    outcomes = await outcomes_of(world.batch("later", Late(store)), wanted[:1])
    assert outcomes[0].request.attempt == 0
    await asyncio.to_thread(world.judge, "attempt before its successor's delivery", "later", outcomes, 1)


# The client

CLIENT = """
import asyncio, sys
from faults_kit import PACE, tasks
from agentcore_rl.batch import BatchRunner
from agentcore_rl.launchers.url import URLLauncher
from agentcore_rl.stores.places import open_notices, open_store

async def main(url, location, queue, folder, resume):
    runner = BatchRunner(URLLauncher(url), store=open_store(location), pace=PACE, run="killed", folder=folder,
                         notices=open_notices(location, run="killed", queue=queue), concurrency=4,
                         resume=resume == "resume")
    async with runner:
        async for outcome in runner.run(tasks(60, seconds=0.5)):
            print(outcome.request.rollout_id, outcome.status, outcome.attempts, flush=True)
    print("all", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_the_client_is_killed_ten_times(world, tmp_path):
    """Its sessions go on without it; resumed, it joins them, and nothing runs or comes twice."""
    await asyncio.to_thread(killed_ten_times, world, tmp_path)


def killed_ten_times(world, tmp_path):
    """Kill, resume, and look at what is there."""
    chance, kills, said = random.Random(11), 0, []
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1] / "plugins")])
    words = [world.app.base_url, world.location, world.queue, str(tmp_path / "run")]
    while not said or said[-1] != "all":
        resume = "resume" if (tmp_path / "run" / "journal.sqlite").exists() else "fresh"
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, *words, resume],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        first = ""
        if kills < 10:
            first = process.stdout.readline()
            time.sleep(chance.uniform(0, 0.3))
            process.kill()
            kills += 1
        out, _ = process.communicate(timeout=60)
        said = (first + out).splitlines()
    assert kills == 10
    last = [line.split() for line in said[:-1]]
    assert sorted(name for name, *_ in last) == sorted(f"t{n}.0" for n in range(60))
    assert {status for _, status, _ in last} == {"succeeded"}
    assert {attempts for *_, attempts in last} == {"1"}
    keys = [key for key in world.aws.keys(world.bucket) if key.startswith("killed/") and key.count("/") == 2]
    assert len(keys) == 60
    add_row("client killed and resumed 10 times", 60, len(keys), len(last), 60)


# Clocks


async def test_the_clock_jumps(aws, tmp_path):
    """The app's and the client's wall clock goes back and forth by hours; nothing waits by it."""
    place = World(
        aws, await asyncio.to_thread(aws.bucket, "clocks"), await asyncio.to_thread(aws.queue, "clocks")
    )
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import itertools, time\n"
        "real, jumps = time.time, itertools.cycle([0, 7200, -7200, 86400])\n"
        "time.time = lambda: real() + next(jumps)\n"
        "real_ns = time.time_ns\n"
        "time.time_ns = lambda: real_ns() + next(jumps) * 10**9\n"
    )
    plugins = str(Path(__file__).parents[1] / "plugins")
    program = Path(__file__).with_name("app.py")
    path = os.pathsep.join([str(tmp_path / "site"), plugins])
    environment = {
        "AGENTCORE_RL_STORE": place.location,
        "AGENTCORE_RL_QUEUE": place.queue,
        "PYTHONPATH": path,
    }
    manager = app_process(program, tmp_path, **environment)
    place.app = await asyncio.to_thread(manager.__enter__)
    try:
        outcomes = await outcomes_of(place.batch("clocks"), tasks(N))
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)
    await asyncio.to_thread(place.judge, "clock jumps by hours", "clocks", outcomes, N)
