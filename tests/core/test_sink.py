import hashlib
import logging
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

from agentcore_rl.aws.sqs import SQSNotices
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.lanes import WIDTH
from agentcore_rl.sink import Sink, drain_orphans
from agentcore_rl.spool import Address, Spool, SpoolEntry
from agentcore_rl.stores import Notice
from agentcore_rl.stores.directory import DirectoryNotices, DirectoryStore
from aws_services import AWSServices, FaultyAWS

CONTENT = b'{"rollout": "secret of the record"}'


def notice(number: int = 0) -> Notice:
    """The notice of a record."""
    key = f"run/task.{number}/s.json"
    return Notice("run", "task", number, 0, "s", key, len(CONTENT), "0" * 64, "succeeded", 1.0)


def accept(sink: Sink, store: Path, number: int = 0, content: bytes = CONTENT, **fields: Any) -> str:
    """Hand a record to the sink; its key."""
    announced = notice(number)
    sink.accept(content, key=announced.key, location=str(store), notice=announced, **fields)
    return announced.key


def quick(spool: Path) -> Sink:
    """A sink that tries again soon."""
    return Sink(spool, first_retry_s=0.02, longest_retry_s=0.1)


def until(done: Callable[[], bool]) -> None:
    """Wait for something that happens soon."""
    end = time.monotonic() + 10
    while not done():
        assert time.monotonic() < end, "it did not happen within 10 seconds"
        time.sleep(0.01)


def received(store: Path) -> list[int]:
    """The samples that were announced."""
    deliveries = DirectoryNotices(store / "run" / "notices").receive(most=1000)
    return sorted(delivery.notice.sample for delivery in deliveries)


def stored(store: Path) -> list[str]:
    """The keys of what is stored."""
    return [found.key for found in DirectoryStore(store).list()]


def entries(spool: Path) -> list[str]:
    """What lies in the spool."""
    return sorted(path.name for path in spool.rglob("*") if path.is_file() and path.name != "lock")


def test_a_record_is_stored_then_announced_then_let_go(tmp_path: Path) -> None:
    """The object has the very bytes, the notice is there, the spool is empty and gone."""
    sink = quick(tmp_path / "spool")
    key = accept(sink, tmp_path / "store")
    assert sink.wait_empty(10)
    assert DirectoryStore(tmp_path / "store").get(key) == CONTENT
    assert received(tmp_path / "store") == [0]
    assert entries(tmp_path / "spool") == []
    assert sink.accepting
    assert sink.close(1)
    assert list((tmp_path / "spool").iterdir()) == []


def test_bucket_prefix_and_queue_lead_to_their_places(tmp_path: Path) -> None:
    """The record lies in the bucket under its key, the notice in the run's channel of that queue."""
    sink = quick(tmp_path / "spool")
    announced = Notice("run", "task", 0, 0, "s", "pre/run/task.0/s.json", 1, "0" * 64, "succeeded", None)
    sink.accept(
        CONTENT,
        key=announced.key,
        location=f"file://{tmp_path}/store",
        notice=announced,
        bucket="bucket",
        prefix="pre/",
        queue="queue",
    )
    assert sink.close(10)
    assert (tmp_path / "store/bucket/pre/run/task.0/s.json").read_bytes() == CONTENT
    (delivery,) = DirectoryNotices(tmp_path / "store/bucket/pre/run/notices/queue").receive()
    assert delivery.notice == announced


def test_nothing_runs_before_the_first_use(tmp_path: Path) -> None:
    """Making a sink starts no thread and writes nothing; closing it is fine."""
    before = threading.active_count()
    sink = Sink(tmp_path / "spool")
    assert (sink.pending, sink.accepting, sink.wait_empty(0)) == (0, True, True)
    assert sink.close(0)
    assert threading.active_count() == before
    assert list(tmp_path.iterdir()) == []


def test_many_records_from_many_threads_are_all_delivered(tmp_path: Path) -> None:
    """Each exactly once."""
    sink = quick(tmp_path / "spool")
    threads = [
        threading.Thread(target=lambda t=t: [accept(sink, tmp_path / "store", 10 * t + n) for n in range(10)])
        for t in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sink.close(20)
    assert len(stored(tmp_path / "store")) == 40
    assert received(tmp_path / "store") == list(range(40))


def test_a_record_that_is_stored_already_is_announced(tmp_path: Path) -> None:
    """The store's refusal means that this attempt is there: its object stands, its notice is sent."""
    DirectoryStore(tmp_path / "store").put_if_absent("run/task.0/s.json", b"first")
    sink = quick(tmp_path / "spool")
    key = accept(sink, tmp_path / "store")
    assert sink.close(10)
    assert DirectoryStore(tmp_path / "store").get(key) == b"first"
    assert received(tmp_path / "store") == [0]


def test_an_impossible_destination_is_refused_at_once(tmp_path: Path) -> None:
    """Before anything is spooled, so that nothing waits for ever."""
    sink = quick(tmp_path / "spool")
    with pytest.raises(ConfigurationError, match="gs://"):
        sink.accept(CONTENT, key="run/a.json", location="gs://bucket", notice=notice())
    with pytest.raises(ConfigurationError, match="bucket"):
        sink.accept(CONTENT, key="run/a.json", location=str(tmp_path), notice=notice(), bucket="../up")
    with pytest.raises(ConfigurationError, match="queue"):
        sink.accept(CONTENT, key="run/a.json", location=str(tmp_path), notice=notice(), queue="a/b")
    with pytest.raises(ValueError, match="segment"):
        sink.accept(CONTENT, key="../a.json", location=str(tmp_path), notice=notice())
    assert sink.pending == 0
    assert sink.close(0)
    assert list(tmp_path.iterdir()) == []


# ── destinations that fail


def test_a_record_waits_for_its_store(tmp_path: Path) -> None:
    """While the store's place is taken by a file the record waits in the spool; then it is stored once."""
    (tmp_path / "store").write_text("in the way")
    sink = quick(tmp_path / "spool")
    key = accept(sink, tmp_path / "store")
    assert not sink.wait_empty(0.4)
    assert (sink.pending, sink.accepting) == (1, True)
    assert len(entries(tmp_path / "spool")) == 1
    (tmp_path / "store").unlink()
    assert sink.wait_empty(10)
    assert stored(tmp_path / "store") == [key]
    assert sink.close(1)


def test_one_destination_does_not_hold_up_another(tmp_path: Path) -> None:
    """Records for a working store pass those that wait, with the pauses of a real sink."""
    (tmp_path / "broken").write_text("in the way")
    sink = Sink(tmp_path / "spool", first_retry_s=30, longest_retry_s=30)
    for number in range(5):
        accept(sink, tmp_path / "broken", number)
        accept(sink, tmp_path / "store", number)
    until(lambda: sink.pending == 5)
    assert len(stored(tmp_path / "store")) == 5
    (tmp_path / "broken").unlink()
    assert sink.close(10)
    assert len(stored(tmp_path / "broken")) == 5


def test_one_record_does_not_hold_up_its_destination(tmp_path: Path) -> None:
    """A record that its store can never take is passed by the others of the same store."""
    sink = quick(tmp_path / "spool")
    long = Notice("run", "task", 0, 0, "s", f"run/{'x' * 300}.json", 1, "0" * 64, "succeeded", None)
    sink.accept(CONTENT, key=long.key, location=str(tmp_path / "store"), notice=long)
    for number in range(3):
        accept(sink, tmp_path / "store", number)
    until(lambda: sink.pending == 1)
    assert len(stored(tmp_path / "store")) == 3
    assert not sink.close(0.1)
    assert len(entries(tmp_path / "spool")) == 1


def test_a_failed_announcement_is_tried_again_and_costs_nothing(tmp_path: Path) -> None:
    """The record is stored at once; its notice follows when the channel works."""
    (tmp_path / "store" / "run").mkdir(parents=True)
    (tmp_path / "store" / "run" / "notices").write_text("in the way")
    sink = quick(tmp_path / "spool")
    key = accept(sink, tmp_path / "store")
    until(lambda: stored(tmp_path / "store") == [key])
    assert not sink.wait_empty(0.2)
    (tmp_path / "store" / "run" / "notices").unlink()
    assert sink.close(10)
    assert received(tmp_path / "store") == [0]


# ── S3 and SQS


def send(sink: Sink, bucket: str, number: int, **fields: Any) -> str:
    """Hand a record for S3 to the sink; its key."""
    announced = notice(number)
    sink.accept(CONTENT, key=announced.key, location=f"s3://{bucket}/p", notice=announced, **fields)
    return announced.key


def test_records_go_to_s3_and_notices_to_a_queue(
    aws: AWSServices, faulty_aws: FaultyAWS, tmp_path: Path
) -> None:
    """After an hour of throttling, denial and expired keys, each once; here it is shorter."""
    bucket, queue = aws.bucket("sink-records"), aws.queue("sink-notices")
    faulty_aws.fault("PutObject", status=503, code="SlowDown", times=4)
    faulty_aws.fault("PutObject", status=403, code="AccessDenied", times=1)
    faulty_aws.fault("PutObject", status=400, code="ExpiredToken", times=1)
    faulty_aws.fault("PutObject", drop="after", times=3)
    faulty_aws.fault("SendMessage", status=403, code="AccessDenied", times=2)
    sink = quick(tmp_path / "spool")
    for number in range(12):
        send(sink, bucket, number, queue=queue)
    assert sink.close(30)
    assert aws.keys(bucket) == sorted(f"p/run/task.{number}/s.json" for number in range(12))
    deliveries = SQSNotices(queue, location=f"s3://{bucket}/p").receive(most=50, wait_s=1)
    assert sorted(delivery.notice.sample for delivery in deliveries) == list(range(12))
    assert entries(tmp_path / "spool") == []


def test_without_a_queue_nothing_is_sent(aws: AWSServices, faulty_aws: FaultyAWS, tmp_path: Path) -> None:
    """The record is stored and let go."""
    bucket = aws.bucket("sink-no-queue")
    sink = quick(tmp_path / "spool")
    send(sink, bucket, 0)
    assert sink.close(20)
    assert set(faulty_aws.calls) == {"PutObject"}
    assert aws.keys(bucket) == ["p/run/task.0/s.json"]


def test_a_store_that_hangs_does_not_hold_up_another(
    aws: AWSServices, faulty_aws: FaultyAWS, tmp_path: Path
) -> None:
    """Puts that never answer take some of the threads, and other stores have others."""
    hanging, working = aws.bucket("sink-hanging"), aws.bucket("sink-working")
    sink = quick(tmp_path / "spool")
    with faulty_aws.hold("PutObject", where="sink-hanging"):
        for number in range(10):
            send(sink, hanging, number)
        until(lambda: faulty_aws.calls["PutObject"] >= WIDTH)
        for number in range(10, 20):
            send(sink, working, number)
            accept(sink, tmp_path / "store", number)
        until(lambda: sink.pending == 10)
        assert faulty_aws.calls["PutObject"] == WIDTH + 10
        assert len(aws.keys(working)) == len(stored(tmp_path / "store")) == 10
    assert sink.close(20)
    assert len(aws.keys(hanging)) == 10


def test_one_store_is_given_several_records_at_once(
    aws: AWSServices, faulty_aws: FaultyAWS, tmp_path: Path
) -> None:
    """The way to it and back is not waited for one by one; while it fails it is asked with one."""
    bucket = aws.bucket("sink-several")
    sink = quick(tmp_path / "spool")
    with faulty_aws.hold("PutObject"):
        for number in range(10):
            send(sink, bucket, number)
        until(lambda: faulty_aws.calls["PutObject"] == WIDTH)
        time.sleep(0.2)
        assert faulty_aws.calls["PutObject"] == WIDTH
    assert sink.wait_empty(20)
    faulty_aws.fault("PutObject", status=400, code="ExpiredToken")
    for number in range(10, 20):
        send(sink, bucket, number)
    until(lambda: faulty_aws.calls["PutObject"] >= 16)
    with faulty_aws.hold("PutObject"):
        time.sleep(0.3)
        before = faulty_aws.calls["PutObject"]
        time.sleep(0.3)
        assert faulty_aws.calls["PutObject"] == before
    faulty_aws.clear("PutObject")
    assert sink.close(20)
    assert len(aws.keys(bucket)) == 20


# ── a spool that fails


def test_while_the_spool_fails_a_record_is_held_and_no_other_is_wanted(tmp_path: Path) -> None:
    """Neither spool nor store can be written: the record stays in memory until one can."""
    spool, store = tmp_path / "spool", tmp_path / "store"
    spool.write_text("in the way")
    store.write_text("in the way")
    sink = quick(spool)
    key = accept(sink, store)
    assert not sink.wait_empty(0.3)
    assert (sink.pending, sink.accepting) == (1, False)
    spool.unlink()
    until(lambda: sink.accepting)
    assert len(entries(spool)) == 1
    assert sink.pending == 1
    store.unlink()
    assert sink.close(10)
    assert stored(store) == [key]
    assert received(store) == [0]


def test_a_record_in_memory_goes_to_a_store_that_works(tmp_path: Path) -> None:
    """The spool stays broken; the record is stored all the same, and others are wanted again."""
    (tmp_path / "spool").write_text("in the way")
    sink = quick(tmp_path / "spool")
    for number in range(3):
        accept(sink, tmp_path / "store", number)
    assert sink.wait_empty(10)
    assert sink.accepting
    assert len(stored(tmp_path / "store")) == 3
    assert sink.close(1)


def test_a_full_disk_is_waited_for(small_disk: Path) -> None:
    """Spool and store are on a full disk: the record waits in memory until there is room."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 200_000)
    sink = quick(small_disk / "spool")
    content = b"x" * 80_000
    key = accept(sink, small_disk / "store", content=content)
    assert not sink.wait_empty(0.3)
    assert (sink.pending, sink.accepting) == (1, False)
    assert stored(small_disk / "store") == []
    ballast.unlink()
    assert sink.wait_empty(10)
    assert sink.accepting
    assert DirectoryStore(small_disk / "store").get(key) == content
    assert received(small_disk / "store") == [0]
    assert sink.close(1)


UNPRIVILEGED = """
import os, sys
from agentcore_rl.sink import Sink
from agentcore_rl.stores import Notice
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sink = Sink(sys.argv[1] + "/spool", first_retry_s=0.02, longest_retry_s=0.1)
notice = Notice("run", "task", 0, 0, "s", "run/task.0/s.json", 1, "0" * 64, "succeeded", None)
sink.accept(b"x", key=notice.key, location=sys.argv[1] + "/store", notice=notice)
print(sink.wait_empty(0.3), sink.pending, sink.accepting, flush=True)
sys.stdin.readline()
print(sink.close(10), sink.pending, flush=True)
"""


def test_a_store_without_permission_is_waited_for(open_to_all: Path) -> None:
    """The process has no right to write the store; the record is stored when it gets it."""
    for name, mode in (("spool", 0o777), ("store", 0o555)):
        (open_to_all / name).mkdir()
        (open_to_all / name).chmod(mode)
    command = [sys.executable, "-c", UNPRIVILEGED, str(open_to_all)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["False", "1", "True"]
        assert stored(open_to_all / "store") == []
        (open_to_all / "store").chmod(0o777)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline().split() == ["True", "0"]
    assert stored(open_to_all / "store") == ["run/task.0/s.json"]


# ── what dead processes left


def leave(spool: Path, store: Path, numbers: range) -> Path:
    """The folder of a process that died with these records in its spool."""
    dead = Spool(spool)
    files = [
        dead.add(SpoolEntry(Address(notice(n).key, str(store), None, "", None, notice(n)), CONTENT))
        for n in numbers
    ]
    dead.close()
    return files[0].path.parent


def test_a_starting_sink_delivers_what_dead_processes_left(tmp_path: Path) -> None:
    """Of all folders whose lock is free; they are removed."""
    for numbers in (range(3), range(3, 6)):
        leave(tmp_path / "spool", tmp_path / "store", numbers)
    sink = quick(tmp_path / "spool")
    sink.start()
    assert sink.wait_empty(10)
    assert received(tmp_path / "store") == list(range(6))
    assert list((tmp_path / "spool").iterdir()) == []
    assert sink.close(1)


def test_the_spool_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    """Two processes on one root each deliver their own."""
    living = Spool(tmp_path / "spool")
    living.add(SpoolEntry(Address(notice().key, str(tmp_path / "store"), None, "", None, notice()), CONTENT))
    assert drain_orphans(tmp_path / "spool")
    assert stored(tmp_path / "store") == []
    living.close()
    assert drain_orphans(tmp_path / "spool")
    assert stored(tmp_path / "store") == [notice().key]


def test_drain_orphans_says_what_it_could_not_deliver(tmp_path: Path) -> None:
    """What is left stays in the spool for another try."""
    assert drain_orphans(tmp_path / "spool")
    leave(tmp_path / "spool", tmp_path / "store", range(2))
    (tmp_path / "store").write_text("in the way")
    assert not drain_orphans(tmp_path / "spool", timeout_s=0.3)
    assert len(entries(tmp_path / "spool")) == 2
    (tmp_path / "store").unlink()
    assert drain_orphans(tmp_path / "spool")
    assert received(tmp_path / "store") == [0, 1]


def test_a_poisoned_entry_is_set_aside(tmp_path: Path) -> None:
    """A damaged file and one for an unknown store stay for a person; the others are delivered."""
    folder = leave(tmp_path / "spool", tmp_path / "store", range(4))
    first, second, *_ = sorted(folder.glob("*.entry"))
    first.write_bytes(first.read_bytes()[:-1])
    foreign = Spool(tmp_path / "spool")
    foreign.add(SpoolEntry(Address(notice(9).key, "gs://later", None, "", None, notice(9)), CONTENT))
    foreign.close()
    assert drain_orphans(tmp_path / "spool")
    assert received(tmp_path / "store") == [1, 2, 3]
    assert not second.exists()
    left = entries(tmp_path / "spool")
    assert first.with_suffix(".unreadable").name in left
    assert len(left) == 2


def test_what_is_left_at_close_is_delivered_by_the_next(tmp_path: Path) -> None:
    """Also in the same process: the closed sink has let go of its folder."""
    (tmp_path / "store").write_text("in the way")
    sink = quick(tmp_path / "spool")
    accept(sink, tmp_path / "store")
    assert not sink.close(0.2)
    accept(sink, tmp_path / "store", 1)  # a rollout that ends later is still kept
    sink.close(0)
    (tmp_path / "store").unlink()
    assert drain_orphans(tmp_path / "spool")
    assert received(tmp_path / "store") == [0, 1]


def test_a_forked_child_leaves_the_parents_records_to_it(tmp_path: Path) -> None:
    """The child's sink begins anew, with a folder of its own."""
    code = """
import os, sys
from agentcore_rl.sink import Sink
from agentcore_rl.stores import Notice
def put(sink, number):
    key = f"run/task.{number}/s.json"
    notice = Notice("run", "task", number, 0, "s", key, 1, "0" * 64, "succeeded", None)
    sink.accept(b"x", key=key, location=sys.argv[1] + "/store", notice=notice)
sink = Sink(sys.argv[1] + "/spool")
open(sys.argv[1] + "/store", "w").close()
put(sink, 0)
child = os.fork()
if child == 0:
    print(sink.pending, sink.accepting, flush=True)
    os.unlink(sys.argv[1] + "/store")
    put(sink, 1)
    print(sink.close(10), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(sink.close(20), flush=True)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["0", "True", "True", "True"]
    assert received(tmp_path / "store") == [0, 1]


def test_logs_tell_keys_and_never_contents(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What goes wrong is said with the record's key; what is in the record is not."""
    caplog.set_level(logging.DEBUG)
    (tmp_path / "spool").write_text("in the way")
    (tmp_path / "store").write_text("in the way")
    sink = quick(tmp_path / "spool")
    accept(sink, tmp_path / "store")
    assert not sink.close(0.3)
    text = caplog.text
    assert notice().key in text
    assert "neither spooled nor stored" in text
    assert "secret of the record" not in text


# ── kill -9

KILLED = """
import hashlib, random, sys
from agentcore_rl.sink import Sink
from agentcore_rl.stores import Notice
root, seed = sys.argv[1], sys.argv[2]
sink = Sink(root + "/spool")
sink.start()
print("go", flush=True)
for number in range(10_000):
    content = hashlib.sha256(f"{seed} {number}".encode()).hexdigest().encode() * 2000
    key = f"run/task.{number}/{seed}.json"
    notice = Notice("run", "task", number, 0, seed, key, len(content), "0" * 64, "succeeded", None)
    sink.accept(content, key=key, location=root + "/store", notice=notice)
    print(key, flush=True)
"""


def test_whatever_was_accepted_survives_kill_9(tmp_path: Path) -> None:
    """A process is killed 30 times while it accepts and delivers.

    Whatever it had said to have accepted is in the store once after the next start, with its exact
    bytes; what it had begun is there whole or not at all; and nothing is left in the spool.
    """
    chance = random.Random(7)
    accepted: set[str] = set()
    for seed in range(30):
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            # However slow the machine is: some are killed at their first record, some amid their work.
            accepted.update(process.stdout.readline().rstrip("\n") for _ in range(chance.randrange(5)))
            time.sleep(chance.random() * 0.03)
            os.kill(process.pid, signal.SIGKILL)
            lines = process.stdout.read().split("\n")
            accepted.update(line for line in lines[:-1])
    assert drain_orphans(tmp_path / "spool", timeout_s=20)
    store = DirectoryStore(tmp_path / "store")
    keys = [found.key for found in store.list()]
    assert len(keys) == len(set(keys))
    assert accepted <= set(keys)
    assert len(accepted) >= 30
    for key in keys:
        number, seed = key.removeprefix("run/task.").removesuffix(".json").split("/")
        assert store.get(key) == hashlib.sha256(f"{seed} {number}".encode()).hexdigest().encode() * 2000
    assert {line for line in entries(tmp_path / "spool") if not line.endswith(".partial")} == set()
    announced = {
        delivery.notice.key
        for delivery in DirectoryNotices(tmp_path / "store/run/notices").receive(most=9999)
    }
    assert announced == set(keys)
