"""The contracts of `agentcore_rl.stores` as tests: subclass them, say how to open yours, run pytest.

    class TestMyStore(RecordStoreConformance):
        def open_store(self, place):
            return MyStore(place)

Each test gets an empty folder as its `place`; open the store that lives there, or use the folder's
path as a name for one elsewhere.
"""

from __future__ import annotations

import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from agentcore_rl.exceptions import RecordNotFound
from agentcore_rl.stores import Delivery, Notice, Notices, RecordStore

__all__ = ["NoticesConformance", "RecordStoreConformance"]

T = TypeVar("T")

BAD_KEYS = (
    "",
    "/run/a.json",
    "run//a.json",
    "./a.json",
    "run/./a.json",
    "../a.json",
    "run/../a.json",
    "run/..",
    "run/a.txt",
    "run/",
    "run/a\0.json",
    "run/a\n.json",
    "run/\ud800.json",
)

# In the order of their UTF-8 bytes, which is neither that of UTF-16 nor one that ignores case, and
# in which "-" and "." sort before "/".
ORDERED_KEYS = tuple(
    sorted(
        (
            "A/b.json",
            "a b/c.json",
            "a-b/c.json",
            "a.b/c.json",
            "a.json",
            "a/B.json",
            "a/b.json",
            "a/b/c.json",
            "a/b=1.json",
            "a/b%2F.json",
            "a0/c.json",
            "aa.json",
            "é/c.json",
            "\uffee/c.json",
            "😀/c.json",
        ),
        key=str.encode,
    )
)


class RecordStoreConformance(ABC):
    """What every `RecordStore` does."""

    @abstractmethod
    def open_store(self, place: Path) -> RecordStore:
        """A handle on the store at `place`; a second call gives a second handle on the same objects."""

    def command_that_puts(self, place: Path, key: str) -> Sequence[str] | None:
        """A command that puts its standard input under `key` into the store at `place`.

        It prints `True` or `False`, as `put_if_absent` said. None when the store cannot be reached
        from another process: the tests that need one are skipped.
        """
        return None

    def plant_foreign(self, store: RecordStore, place: Path) -> bool:
        """Put something into the store's place that no `put_if_absent` made; False when nothing can be."""
        return False

    def test_an_object_comes_back_byte_for_byte(self, tmp_path: Path) -> None:
        """What was put is what is got, whatever the bytes are."""
        store = self.open_store(tmp_path)
        contents = {"a.json": b'{"x": 1}', "empty.json": b"", "bytes.json": bytes(range(256)) + b"\r\n"}
        for key, content in contents.items():
            assert store.put_if_absent(key, content) is True, f"the first put of {key} stores it"
        for key, content in contents.items():
            assert store.get(key) == content, f"{key} has the bytes that were put"

    def test_a_taken_key_keeps_its_object(self, tmp_path: Path) -> None:
        """The second put of a key says False and changes nothing."""
        store = self.open_store(tmp_path)
        store.put_if_absent("run/a.json", b"first")
        assert store.put_if_absent("run/a.json", b"first") is False, "also with the same content"
        assert store.put_if_absent("run/a.json", b"second, and longer") is False, "a taken key is refused"
        assert store.get("run/a.json") == b"first", "the first object stands"

    def test_an_object_is_there_for_another_handle(self, tmp_path: Path) -> None:
        """A store that is opened again has everything, and knows what is taken."""
        self.open_store(tmp_path).put_if_absent("run/a.json", b"first")
        again = self.open_store(tmp_path)
        assert again.get("run/a.json") == b"first", "the object outlives the handle that put it"
        assert [stored.key for stored in again.list()] == ["run/a.json"], "it is listed"
        assert again.put_if_absent("run/a.json", b"second") is False, "the key is taken for every handle"

    def test_an_object_outlives_the_process_that_put_it(self, tmp_path: Path) -> None:
        """An object is whole after its process was killed as soon as the put had returned."""
        command = self.command_that_puts(tmp_path, "run/a.json")
        if command is None:
            pytest.skip("this store is not reached from other processes")
        content = b"killed " * 10_000
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(content)
            process.stdin.close()
            said = process.stdout.readline().strip()
            process.kill()
        assert said == b"True", "the put says that it stored"
        assert self.open_store(tmp_path).get("run/a.json") == content, "the object is whole"

    def test_of_racing_threads_one_wins(self, tmp_path: Path) -> None:
        """Of several writers of one key at once exactly one gets True, and its content stands."""
        store = self.open_store(tmp_path)
        for number in range(5):
            key = f"run/{number}.json"
            contents = [bytes([65 + writer]) * 20_000 for writer in range(8)]
            said = _at_once([partial(store.put_if_absent, key, content) for content in contents])
            assert sorted(said) == [False] * 7 + [True], "exactly one of the writers stored"
            assert store.get(key) == contents[said.index(True)], "the object is the winner's"

    def test_of_racing_processes_one_wins(self, tmp_path: Path) -> None:
        """The same holds between processes."""
        command = self.command_that_puts(tmp_path, "run/a.json")
        if command is None:
            pytest.skip("this store is not reached from other processes")
        contents = [bytes([65 + writer]) * 200_000 for writer in range(3)]

        def put(content: bytes) -> bytes:
            return subprocess.run(command, input=content, stdout=subprocess.PIPE, check=False).stdout.strip()

        said = _at_once([partial(put, content) for content in contents])
        assert sorted(said) == [b"False", b"False", b"True"], "exactly one of the processes stored"
        store = self.open_store(tmp_path)
        assert store.get("run/a.json") == contents[said.index(b"True")], "the object is the winner's"

    def test_a_reader_never_sees_part_of_an_object(self, tmp_path: Path) -> None:
        """While an object is put, it is either absent or whole, for get and for list."""
        writer, reader = self.open_store(tmp_path), self.open_store(tmp_path)
        content = b"x" * 4_000_000
        for number in range(3):
            key = f"run/{number}.json"
            thread = threading.Thread(target=writer.put_if_absent, args=(key, content))
            thread.start()
            seen = None
            while seen is None:
                last_look = not thread.is_alive()
                sizes = [stored.size for stored in reader.list() if stored.key == key]
                try:
                    seen = len(reader.get(key))
                except RecordNotFound:
                    assert not last_look, "the object is there when its put has returned"
                assert sizes in ([], [len(content)]), "a listed object has its whole size"
                assert seen in (None, len(content)), "an object is absent or whole"
            thread.join()

    def test_a_missing_object_is_not_found(self, tmp_path: Path) -> None:
        """Keys without an object, also those that are part of another's, raise RecordNotFound."""
        store = self.open_store(tmp_path)
        missing = ["a.json", "run/a.json", "run/a.json/b.json", "run/b.json"]
        for key in missing:
            with pytest.raises(RecordNotFound):
                store.get(key)
        store.put_if_absent("run/b.json/c.json", b"x")
        store.put_if_absent("run/d.json", b"x")
        for key in [*missing, "RUN/d.json", "run/D.json", "d.json", "run/d.json/e.json"]:
            with pytest.raises(RecordNotFound):
                store.get(key)

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_a_bad_key_is_refused(self, tmp_path: Path, key: str) -> None:
        """Keys that are no keys raise ValueError and leave nothing behind."""
        store = self.open_store(tmp_path / "store")
        with pytest.raises(ValueError):
            store.put_if_absent(key, b"x")
        with pytest.raises(ValueError):
            store.get(key)
        assert list(store.list()) == [], "nothing was stored"
        assert {path.name for path in tmp_path.iterdir()} <= {"store"}, "nothing was written elsewhere"

    def test_a_listing_is_in_order_with_sizes(self, tmp_path: Path) -> None:
        """Keys come in the order of their UTF-8 bytes, each once, with the object's size."""
        store = self.open_store(tmp_path)
        assert list(store.list()) == [], "an empty store lists nothing"
        for number, key in enumerate(reversed(ORDERED_KEYS)):
            store.put_if_absent(key, b"x" * number)
        expected = [(key, len(ORDERED_KEYS) - 1 - number) for number, key in enumerate(ORDERED_KEYS)]
        assert [(stored.key, stored.size) for stored in store.list()] == expected, "keys in order, with sizes"
        assert [(stored.key, stored.size) for stored in store.list()] == expected, "and again the same"

    def test_every_key_is_an_object_of_its_own(self, tmp_path: Path) -> None:
        """Keys that differ in case, in an escape or in a character are different."""
        store = self.open_store(tmp_path)
        for key in ORDERED_KEYS:
            assert store.put_if_absent(key, key.encode()) is True, f"{key} is a key of its own"
        for key in ORDERED_KEYS:
            assert store.get(key) == key.encode(), f"{key} has its own object"

    def test_a_listing_has_the_prefix(self, tmp_path: Path) -> None:
        """The prefix is one of strings, not of folders."""
        store = self.open_store(tmp_path)
        for key in ORDERED_KEYS:
            store.put_if_absent(key, b"x")
        for prefix in [
            "a",
            "a/",
            "a/b",
            "a/b/",
            "a/b/c.json",
            "aa",
            "é",
            "/",
            "b",
            "a//",
            "A",
            "a_",
            "a%",
            ".",
        ]:
            expected = [key for key in ORDERED_KEYS if key.startswith(prefix)]
            assert [stored.key for stored in store.list(prefix)] == expected, f"what starts with {prefix!r}"

    def test_a_listing_begins_behind_a_key(self, tmp_path: Path) -> None:
        """Only keys that sort behind `after` are listed, whether it is there or not."""
        store = self.open_store(tmp_path)
        for key in ORDERED_KEYS:
            store.put_if_absent(key, b"x")
        for after in [*ORDERED_KEYS, "a", "a/", "a/b", "a/zzz", "0", "é", "\U0010ffff"]:
            behind = [key for key in ORDERED_KEYS if key.encode() > after.encode()]
            assert [stored.key for stored in store.list(after=after)] == behind, (
                f"what sorts behind {after!r}"
            )
            both = [key for key in behind if key.startswith("a/")]
            assert [stored.key for stored in store.list("a/", after=after)] == both, f"in a/ behind {after!r}"

    def test_foreign_things_are_not_listed(self, tmp_path: Path) -> None:
        """What nobody put, and puts that never ended, are no objects."""
        store = self.open_store(tmp_path)
        store.put_if_absent("run/a.json", b"x")
        if not self.plant_foreign(store, tmp_path):
            pytest.skip("nothing foreign can be planted in this store")
        assert [stored.key for stored in store.list()] == ["run/a.json"], "only what was put is listed"

    def test_many_objects_are_listed(self, tmp_path: Path) -> None:
        """Many objects, in several folders, are each listed exactly once."""
        store = self.open_store(tmp_path)
        keys = [f"run/{number % 7}/{number:04d}.json" for number in range(self.many)]
        for key in keys:
            store.put_if_absent(key, key.encode())
        assert [stored.key for stored in store.list()] == sorted(keys), "every object is listed once"

    many = 200
    """How many objects that test puts: more than one page of the store's listing."""

    def test_a_large_object_is_stored(self, tmp_path: Path) -> None:
        """A record of many turns with token ids has some megabytes."""
        store = self.open_store(tmp_path)
        content = bytes(range(256)) * 65_536
        store.put_if_absent("run/a.json", content)
        assert store.get("run/a.json") == content, "16 MiB come back whole"

    def test_a_listing_survives_puts(self, tmp_path: Path) -> None:
        """What was there before a listing began is in it, whatever is put meanwhile."""
        store = self.open_store(tmp_path)
        before = [f"run/{number}/a.json" for number in range(10)]
        for key in before:
            store.put_if_absent(key, b"x")
        listed = []
        for number, stored in enumerate(store.list()):
            listed.append(stored.key)
            if number < 5:
                store.put_if_absent(f"run/{number}/b.json", b"x")
        assert set(before) <= set(listed), "every object from before is listed"
        assert len(listed) == len(set(listed)), "no object is listed twice"

    def test_the_location_names_the_store(self, tmp_path: Path) -> None:
        """A person can find the store by its location, and two stores differ in it."""
        location = self.open_store(tmp_path / "one").location
        assert isinstance(location, str), "the location is text"
        assert location, "the location is not empty"
        assert location != self.open_store(tmp_path / "two").location, "another store has another location"


class NoticesConformance(ABC):
    """What every `Notices` does."""

    visibility_s = 0.5
    """Seconds for which the tests' deliveries are invisible; more for a slow channel."""

    patience_s = 10.0
    """Seconds within which whatever must come has come."""

    repeats = False
    """Whether the channel may give one notice to two receivers at once, as queues in a network may."""

    @abstractmethod
    def open_notices(self, place: Path, *, visibility_s: float) -> Notices:
        """A handle on the channel at `place`; a second call gives a second handle on the same channel."""

    def plant_junk(self, notices: Notices, place: Path) -> bool:
        """Put something into the channel that is no notice of ours; False when nothing can be."""
        return False

    def _open(self, place: Path) -> Notices:
        return self.open_notices(place, visibility_s=self.visibility_s)

    def test_a_notice_arrives_as_it_was(self, tmp_path: Path) -> None:
        """Every field comes back, also names beyond ASCII and a reward of None."""
        notices = self._open(tmp_path)
        sent = [_notice(0), _notice(1, run="läuft", key="läuft/😀.0/s.json", reward=None, status="failed")]
        for notice in sent:
            notices.send(notice)
        assert _sorted(self._drain(notices, 2)) == _sorted(sent), "what is received equals what was sent"

    def test_a_notice_arrives_at_another_handle(self, tmp_path: Path) -> None:
        """A receiver may open the channel after the sender has gone, or before it came."""
        early = self._open(tmp_path)
        assert list(early.receive()) == [], "a channel that nobody has used is empty"
        self._open(tmp_path).send(_notice(0))
        assert self._drain(early, 1) == [_notice(0)], "it arrives at a handle that was there before"
        self._open(tmp_path).send(_notice(1))
        assert self._drain(self._open(tmp_path), 1) == [_notice(1)], "and at one that came after"

    def test_an_acknowledged_notice_is_gone(self, tmp_path: Path) -> None:
        """It never comes back, in any handle; acknowledging it again is fine."""
        notices = self._open(tmp_path)
        notices.send(_notice(0))
        deliveries = list(notices.receive(wait_s=self.patience_s))
        notices.ack(deliveries)
        notices.ack(deliveries)
        notices.ack([])
        assert list(self._open(tmp_path).receive(wait_s=2 * self.visibility_s)) == [], "it does not come back"

    def test_a_notice_that_is_not_acknowledged_comes_again(self, tmp_path: Path) -> None:
        """It is invisible for a while, then delivered again, and again."""
        notices = self._open(tmp_path)
        notices.send(_notice(0))
        started = time.monotonic()
        assert _received(notices.receive(wait_s=self.patience_s)) == [_notice(0)], "it is delivered"
        assert list(notices.receive()) == [], "it is invisible to the one who has it"
        assert list(self._open(tmp_path).receive()) == [], "and to others"
        again = self._open(tmp_path).receive(wait_s=self.patience_s)
        assert _received(again) == [_notice(0)], "it is delivered again, to anyone"
        assert time.monotonic() - started >= 0.9 * self.visibility_s, "not before its time"
        third = notices.receive(wait_s=self.patience_s)
        assert _received(third) == [_notice(0)], "and again"

    def test_an_acknowledgement_that_comes_late_counts(self, tmp_path: Path) -> None:
        """A receiver that was slow removes the notice, also when it has been delivered again since."""
        notices = self._open(tmp_path)
        notices.send(_notice(0))
        first = notices.receive(wait_s=self.patience_s)
        second = notices.receive(wait_s=self.patience_s)
        assert _received(second) == [_notice(0)], "it is delivered again"
        notices.ack(first)
        notices.ack(second)
        assert list(notices.receive(wait_s=2 * self.visibility_s)) == [], "it is gone"

    def test_what_is_given_back_comes_soon(self, tmp_path: Path) -> None:
        """A notice that is released comes long before its visibility timeout; what is gone stays gone."""
        notices = self.open_notices(tmp_path, visibility_s=60)
        notices.send(_notice(0))
        notices.release(self._deliveries(notices, 1))
        again = self.open_notices(tmp_path, visibility_s=60).receive(wait_s=self.patience_s)
        assert _received(again) == [_notice(0)], "it is delivered again, to anyone"
        notices.ack(again)
        notices.release(again)
        notices.release([])
        assert list(notices.receive(wait_s=self.released_s)) == [], "a release brings back nothing"

    released_s = 1.5
    """Seconds after which what was released has come."""

    def test_one_acknowledgement_removes_one_notice(self, tmp_path: Path) -> None:
        """The others come back."""
        notices = self._open(tmp_path)
        for number in range(3):
            notices.send(_notice(number))
        deliveries = self._deliveries(notices, 3)
        notices.ack([delivery for delivery in deliveries if delivery.notice == _notice(1)])
        back = self._drain(notices, 2)
        assert _sorted(back) == [_notice(0), _notice(2)], "what was not acknowledged comes back"

    def test_at_most_so_many_are_received(self, tmp_path: Path) -> None:
        """`most` is kept, and what is left is delivered next."""
        notices = self.open_notices(tmp_path, visibility_s=60)
        for number in range(5):
            notices.send(_notice(number))
        first = notices.receive(most=3, wait_s=self.patience_s)
        assert 1 <= len(first) <= 3, "not more than asked for"
        rest = self._drain(notices, 5 - len(first), most=2)
        assert _sorted([*_received(first), *rest]) == [_notice(n) for n in range(5)], "the others come next"

    def test_receiving_does_not_wait_for_what_is_there(self, tmp_path: Path) -> None:
        """One notice is enough to return."""
        notices = self.open_notices(tmp_path, visibility_s=60)
        notices.send(_notice(0))
        started = time.monotonic()
        assert _received(notices.receive(most=10, wait_s=3)) == [_notice(0)], "what is there is delivered"
        assert time.monotonic() - started < 2, "without waiting for more"

    def test_receiving_waits_no_longer_than_asked(self, tmp_path: Path) -> None:
        """An empty channel gives nothing after `wait_s`, or at once."""
        notices = self._open(tmp_path)
        started = time.monotonic()
        assert list(notices.receive()) == [], "nothing is there"
        assert time.monotonic() - started < 0.5, "without wait_s it returns at once"
        started = time.monotonic()
        assert list(notices.receive(wait_s=0.5)) == [], "nothing came"
        waited = time.monotonic() - started
        assert waited >= 0.4, "it waits for as long as asked"
        assert waited < 3, "and no longer"

    def test_a_waiting_receiver_wakes_soon(self, tmp_path: Path) -> None:
        """A notice that is sent while someone waits is delivered within a second."""
        notices = self._open(tmp_path)
        sender = threading.Timer(0.3, self._open(tmp_path).send, [_notice(0)])
        sender.start()
        started = time.monotonic()
        received = _received(notices.receive(wait_s=self.patience_s))
        sender.join()
        assert received == [_notice(0)], "it is delivered to the one who waits"
        assert time.monotonic() - started < 1.8, "soon"

    def test_several_receivers_share_the_notices(self, tmp_path: Path) -> None:
        """Each notice goes to one of them, and none is lost."""
        sent = [_notice(number) for number in range(30)]
        channel = self.open_notices(tmp_path, visibility_s=60)
        for notice in sent:
            channel.send(notice)

        def receive() -> list[Notice]:
            mine: list[Notice] = []
            receiver = self.open_notices(tmp_path, visibility_s=60)
            while batch := receiver.receive(most=3, wait_s=0.3):
                mine += _received(batch)
                receiver.ack(batch)
            return mine

        received = _at_once([receive] * 4)
        all_received = [notice for mine in received for notice in mine]
        if self.repeats:
            all_received = list(dict.fromkeys(all_received))
        assert _sorted(all_received) == sent, "each is received once"

    def test_junk_keeps_nothing_back(self, tmp_path: Path) -> None:
        """What is no notice is skipped, for as long as it lies there."""
        notices = self._open(tmp_path)
        notices.send(_notice(0))
        if not self.plant_junk(notices, tmp_path):
            pytest.skip("no junk can be planted in this channel")
        notices.send(_notice(1))
        assert _sorted(self._drain(notices, 2, most=1)) == [_notice(0), _notice(1)], "notices pass the junk"
        assert list(notices.receive()) == [], "junk is not delivered"

    def _deliveries(self, notices: Notices, count: int, *, most: int = 10) -> list[Delivery]:
        """Deliveries until there are so many, or none comes in time."""
        deliveries: list[Delivery] = []
        while len(deliveries) < count and (batch := notices.receive(most=most, wait_s=self.patience_s)):
            deliveries += batch
        return deliveries

    def _drain(self, notices: Notices, count: int, *, most: int = 10) -> list[Notice]:
        """So many notices, acknowledged, and whatever else came with them."""
        deliveries = self._deliveries(notices, count, most=most)
        notices.ack(deliveries)
        return _received(deliveries)


def _notice(number: int, **fields: Any) -> Notice:
    plain: dict[str, Any] = {
        "run": "run",
        "task": f"task-{number:02d}",
        "sample": number,
        "attempt": 0,
        "session": f"session-{number}",
        "key": f"run/task-{number:02d}.0/session.json",
        "size": 1000 + number,
        "sha256": f"{number:064x}",
        "status": "succeeded",
        "reward": number / 4,
    }
    return Notice(**plain | fields)


def _sorted(notices: Sequence[Notice]) -> list[Notice]:
    return sorted(notices, key=lambda notice: notice.sample)


def _received(deliveries: Sequence[Delivery]) -> list[Notice]:
    return [delivery.notice for delivery in deliveries]


def _at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What these calls return, made in threads that start together."""
    barrier = threading.Barrier(len(calls))
    returned: dict[int, T] = {}
    raised: list[BaseException] = []

    def call(number: int) -> None:
        barrier.wait()
        try:
            returned[number] = calls[number]()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the test's own thread
            raised.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
    return [returned[number] for number in range(len(calls))]
