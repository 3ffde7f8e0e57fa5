"""Every assertion of the suites fails for some defect: a suite that nothing can fail proves nothing."""

import ast
import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentcore_rl.exceptions import RecordNotFound
from agentcore_rl.stores import Delivery, Notice, Notices, RecordStore, StoredObject
from agentcore_rl.stores.directory import DirectoryNotices, DirectoryStore
from agentcore_rl.stores.keys import check_key
from agentcore_rl.testing import NoticesConformance, RecordStoreConformance, store_conformance

PUT = """
import sys, time
from pathlib import Path
from agentcore_rl.stores.directory import DirectoryStore
{prologue}
print({said}, flush=True)
{epilogue}
"""
WHOLE = "DirectoryStore(sys.argv[1]).put_if_absent(sys.argv[2], sys.stdin.buffer.read())"


class Store:
    """A directory store that passes everything on; defects are subclasses."""

    said = WHOLE
    prologue = epilogue = ""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.store = DirectoryStore(place)

    @property
    def location(self) -> str:
        return self.store.location

    def put_if_absent(self, key: str, content: bytes) -> bool:
        return self.store.put_if_absent(key, content)

    def get(self, key: str) -> bytes:
        return self.store.get(key)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        return self.store.list(prefix, after=after)


# ── defects of stores, each the mistake of somebody


class StripsWhitespace(Store):
    def get(self, key: str) -> bytes:
        return super().get(key).strip()


class SaysNothing(Store):
    def put_if_absent(self, key: str, content: bytes) -> bool:
        super().put_if_absent(key, content)
        return None  # type: ignore[return-value]


class Overwrites(Store):
    def put_if_absent(self, key: str, content: bytes) -> bool:
        path = self.place / check_key(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return True


class OverwritesWhatDiffers(Overwrites):
    """Only the same content counts as taken."""

    def put_if_absent(self, key: str, content: bytes) -> bool:
        path = self.place / check_key(key)
        return not (path.exists() and path.read_bytes() == content) and super().put_if_absent(key, content)


class OverwritesInSilence(Store):
    def put_if_absent(self, key: str, content: bytes) -> bool:
        taken = (self.place / check_key(key)).exists()
        Overwrites.put_if_absent(self, key, content)  # type: ignore[arg-type]
        return not taken


class AgreesToTheSame(Store):
    def put_if_absent(self, key: str, content: bytes) -> bool:
        return super().put_if_absent(key, content) or self.get(key) == content


class Remembers(Store):
    """Everything is in this handle's memory."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.objects: dict[str, bytes] = {}

    def put_if_absent(self, key: str, content: bytes) -> bool:
        return self.objects.setdefault(check_key(key), content) is content

    def get(self, key: str) -> bytes:
        if check_key(key) not in self.objects:
            raise RecordNotFound(key)
        return self.objects[key]

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        for key in sorted(self.objects, key=str.encode):
            if key.startswith(prefix) and key.encode() > after.encode():
                yield StoredObject(key, len(self.objects[key]))


class RemembersWhatIsTaken(Store):
    """Which keys are taken is known to the handle that put them alone."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.taken: set[str] = set()

    def put_if_absent(self, key: str, content: bytes) -> bool:
        super().put_if_absent(key, content)
        new = key not in self.taken
        self.taken.add(key)
        return new


class ListsItsOwn(Store):
    """A listing has what this handle put."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.own: set[str] = set()

    def put_if_absent(self, key: str, content: bytes) -> bool:
        self.own.add(key)
        return super().put_if_absent(key, content)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        return (stored for stored in super().list(prefix, after=after) if stored.key in self.own)


class PutsLater(Store):
    """A process says that it stored, and stores afterwards."""

    said, epilogue = "True", f"sys.stdin.buffer.read(1); time.sleep(1); {WHOLE}"


class SaysFalse(Store):
    said = f"not {WHOLE}"


class LooksThenWrites(Store):
    """Between looking and writing somebody else writes."""

    def put_if_absent(self, key: str, content: bytes) -> bool:
        path = self.place / check_key(key)
        if path.exists():
            return False
        time.sleep(0.05)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return True


class RacesBetweenProcesses(Store):
    prologue = """
path, content = Path(sys.argv[1]) / sys.argv[2], sys.stdin.buffer.read()
taken = path.exists()
time.sleep(0.5)
path.parent.mkdir(parents=True, exist_ok=True)
path.write_bytes(content)
"""
    said = "not taken"


class LastWriterWins(Store):
    """One is told that it stored, another's content stands."""

    prologue = """
content = sys.stdin.buffer.read()
first = DirectoryStore(sys.argv[1]).put_if_absent(sys.argv[2], content)
(Path(sys.argv[1]) / sys.argv[2]).write_bytes(b"another")
"""
    said = "first"

    def put_if_absent(self, key: str, content: bytes) -> bool:
        first = super().put_if_absent(key, content)
        (self.place / key).write_bytes(content if len(content) < 20_000 else b"another")
        return first


class WritesInPlace(Store):
    """A reader can see the first half."""

    def put_if_absent(self, key: str, content: bytes) -> bool:
        path = self.place / check_key(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb", buffering=0) as file:
            file.write(content[: len(content) // 2])
            time.sleep(0.3)
            file.write(content[len(content) // 2 :])
        return True


class ListsUnfinished(WritesInPlace):
    """Get waits for the whole object, the listing does not."""

    def get(self, key: str) -> bytes:
        content = super().get(key)
        if len(content) < 4_000_000:
            raise RecordNotFound(key)
        return content


class StoresInTheBackground(Store):
    """The put returns before the object is there."""

    def put_if_absent(self, key: str, content: bytes) -> bool:
        check_key(key)
        threading.Timer(0.5, super().put_if_absent, (key, content)).start()
        return True


class GivesNothing(Store):
    """What is missing is empty."""

    def get(self, key: str) -> bytes:
        try:
            return super().get(key)
        except RecordNotFound:
            return b""


class ForgetsCaseInGet(Store):
    """Case is ignored, once something is there."""

    def get(self, key: str) -> bytes:
        for stored in self.list():
            if stored.key.lower() == key.lower():
                return super().get(stored.key)
        return super().get(key)


class TakesAnyKey(Store):
    """Bad keys are cleaned up instead of refused."""

    def _clean(self, key: str) -> str:
        parts = [part for part in key.split("/") if part not in ("", ".", "..")]
        name = "/".join(parts).encode(errors="replace").decode().translate({0: "_", 10: "_"})
        return name if name.endswith(".json") else f"{name}.json"

    def put_if_absent(self, key: str, content: bytes) -> bool:
        return super().put_if_absent(self._clean(key), content)

    def get(self, key: str) -> bytes:
        return super().get(self._clean(key))


class GetsAnyKey(TakesAnyKey):
    """Only a put looks at the key."""

    def put_if_absent(self, key: str, content: bytes) -> bool:
        check_key(key)
        return super().put_if_absent(key, content)

    def get(self, key: str) -> bytes:
        raise RecordNotFound(key)


class RefusesTooLate(Store):
    """A bad key raises after something was stored."""

    def put_if_absent(self, key: str, content: bytes) -> bool:
        try:
            return super().put_if_absent(key, content)
        except ValueError:
            super().put_if_absent("refused.json", content)
            raise


class WritesElsewhere(Store):
    """A bad key raises after something was written outside."""

    def put_if_absent(self, key: str, content: bytes) -> bool:
        try:
            return super().put_if_absent(key, content)
        except ValueError:
            (self.place.parent / "elsewhere").write_bytes(content)
            raise


class ListsAnIndex(Store):
    """A file of its own is in every listing."""

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        yield StoredObject("index.json", 0)
        yield from super().list(prefix, after=after)


class ListsAsTextSorts(Store):
    """The order is that of UTF-16, as in some languages."""

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        found = list(super().list(prefix))
        found.sort(key=lambda stored: stored.key.encode("utf-16-be"))
        return (stored for stored in found if stored.key.encode("utf-16-be") > after.encode("utf-16-be"))


class ListsOnce(Store):
    """The second listing of a handle goes on where the first ended."""

    listed = False

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        for stored in [] if self.listed else super().list(prefix, after=after):
            self.listed = True
            yield stored


class IgnoresCase(Store):
    """The file system of some laptops."""

    def put_if_absent(self, key: str, content: bytes) -> bool:
        return super().put_if_absent(key.lower(), content)

    def get(self, key: str) -> bytes:
        return super().get(key.lower())


class MixesUp(Store):
    """Escapes are undone when reading."""

    def get(self, key: str) -> bytes:
        return super().get(key.replace("%2F", "=1").replace("b=1", "b"))


class PrefixIsAFolder(Store):
    """`a` lists `a/...` and not `aa.json`."""

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        folder = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
        return super().list(folder, after=after)


class AfterIsIncluded(Store):
    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        if after and any(stored.key == after for stored in super().list(prefix)):
            yield next(stored for stored in super().list(prefix) if stored.key == after)
        yield from super().list(prefix, after=after)


class AfterDropsThePrefix(Store):
    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        return super().list("" if after else prefix, after=after)


class ListsFiles(Store):
    """Whatever lies there is listed."""

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        found = [p.relative_to(self.place).as_posix() for p in self.place.rglob("*") if p.is_file()]
        return iter([StoredObject(name, 1) for name in sorted(found)])


class OnePage(Store):
    """A listing ends with its first page."""

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        return (stored for _, stored in zip(range(100), super().list(prefix, after=after), strict=False))


class Cuts(Store):
    """Large objects are cut."""

    def put_if_absent(self, key: str, content: bytes) -> bool:
        return super().put_if_absent(key, content[:8_000_000])


class SkipsWhenPut(Store):
    """A put moves the listing's pages."""

    puts = 0

    def put_if_absent(self, key: str, content: bytes) -> bool:
        self.puts += 1
        return super().put_if_absent(key, content)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        at = 0
        while at < len(found := list(super().list(prefix, after=after))):
            before = self.puts
            yield found[at]
            at += 1 + 2 * (self.puts - before)


class RepeatsWhenPut(SkipsWhenPut):
    """A put makes the listing give an object again."""

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        for stored in list(Store.list(self, prefix, after=after)):
            before = self.puts
            yield stored
            if self.puts > before:
                yield stored


class LocationIsAPath(Store):
    @property
    def location(self) -> Any:
        return self.place


class LocationIsEmpty(Store):
    @property
    def location(self) -> str:
        return ""


class LocationIsAlwaysTheSame(Store):
    @property
    def location(self) -> str:
        return "a directory"


# ── defects of channels


class Channel:
    """A directory's notices that passes everything on; defects are subclasses."""

    def __init__(self, place: Path, visibility_s: float) -> None:
        self.visibility_s = visibility_s
        self.channel = DirectoryNotices(place / "notices", visibility_s=visibility_s)

    def send(self, notice: Notice) -> None:
        self.channel.send(notice)

    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        return self.channel.receive(most=most, wait_s=wait_s)

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        self.channel.ack(deliveries)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        self.channel.release(deliveries)


GREETING = Notice("hello", "", 0, 0, "", "", 0, "", "succeeded", None)


class MakesNoneZero(Channel):
    def send(self, notice: Notice) -> None:
        super().send(replace(notice, reward=notice.reward or 0.0))


class Greets(Channel):
    """A service that sends a test message of its own."""

    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        return super().receive(most=most, wait_s=wait_s) or [Delivery(GREETING, "hello")]


class GreetsWhoWaits(Greets):
    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        return super().receive(most=most, wait_s=wait_s) if wait_s else Channel.receive(self, most=most)


class Loses(Channel):
    """Nothing arrives."""

    def send(self, notice: Notice) -> None:
        return None

    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        return []


class OpensWithAKnownPast(Channel):
    """Only what was there at the opening is received."""

    def __init__(self, place: Path, visibility_s: float) -> None:
        super().__init__(place, visibility_s)
        self.first = list(self.channel.receive(most=1000))

    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        first, self.first = self.first[:most], self.first[most:]
        return first


class OpensWithoutAPast(Channel):
    """Only what is sent after the opening is received."""

    def __init__(self, place: Path, visibility_s: float) -> None:
        super().__init__(place, visibility_s)
        self.ack(self.channel.receive(most=1000))


class NeverRemoves(Channel):
    def ack(self, deliveries: Sequence[Delivery]) -> None:
        return None


class RemovesAll(Channel):
    def ack(self, deliveries: Sequence[Delivery]) -> None:
        folder = self.channel._folder
        for path in folder.glob("*.*") if deliveries else ():
            path.unlink()


class KeepsWhatIsGivenBack(Channel):
    def release(self, deliveries: Sequence[Delivery]) -> None:
        return None


class SendsAnew(Channel):
    def release(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self.send(delivery.notice)


class AlwaysVisible(Channel):
    def __init__(self, place: Path, visibility_s: float) -> None:
        super().__init__(place, 0.0)


class InvisibleToOneself(Channel):
    """What one has taken, others still see."""

    def __init__(self, place: Path, visibility_s: float) -> None:
        super().__init__(place, 0.0)
        self.taken: dict[Notice, float] = {}
        self.span = visibility_s

    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        until = time.monotonic() + wait_s
        while True:
            now = time.monotonic()
            new = [d for d in super().receive(most=1000) if self.taken.get(d.notice, 0) < now][:most]
            self.taken |= {delivery.notice: now + self.span for delivery in new}
            if new or now >= until:
                return new
            time.sleep(0.02)


class AtMostOnce(Channel):
    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        deliveries = super().receive(most=most, wait_s=wait_s)
        self.ack(deliveries)
        return deliveries


class ComesBackEarly(Channel):
    def __init__(self, place: Path, visibility_s: float) -> None:
        super().__init__(place, visibility_s / 2)


class AtMostTwice(Channel):
    """The second delivery is the last."""

    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        deliveries = super().receive(most=most, wait_s=wait_s)
        marker = self.channel._folder / "twice"
        if deliveries and marker.exists():
            self.ack(deliveries)
        elif deliveries:
            marker.touch()
        return deliveries


class GivesAll(Channel):
    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        return super().receive(most=1000, wait_s=wait_s)


class DropsTheRest(Channel):
    """Takes a batch, and gives only what was asked for."""

    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        return super().receive(most=1000, wait_s=wait_s)[:most]


class FillsTheBatch(Channel):
    """Waits for as many as were asked for."""

    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        until = time.monotonic() + wait_s
        deliveries: list[Delivery] = []
        while len(deliveries) < most and (left := until - time.monotonic()) > 0:
            deliveries += super().receive(most=most - len(deliveries), wait_s=left)
        return deliveries


class AlwaysWaits(Channel):
    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        return super().receive(most=most, wait_s=wait_s or 0.7)


class NeverWaits(Channel):
    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        return super().receive(most=most)


class WaitsTooLong(Channel):
    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        return super().receive(most=most, wait_s=wait_s + 3 if wait_s else 0)


class WakesLate(Channel):
    """Looks every two seconds."""

    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        until = time.monotonic() + wait_s
        while not (deliveries := super().receive(most=most)) and time.monotonic() < until:
            time.sleep(2)
        return deliveries


class ChokesOnJunk(Channel):
    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        for path in sorted(self.channel._folder.glob("*.notice")):
            path.read_bytes().decode().index('"run":"')
        return super().receive(most=most, wait_s=wait_s)


class DeliversJunk(Channel):
    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        junk = (self.channel._folder / "README").exists() and not wait_s
        return [*super().receive(most=most, wait_s=wait_s), *([Delivery(GREETING, "README")] if junk else [])]


# ── which assertion each defect fails: the test, and words of the assertion's message

STORE_DEFECTS: list[tuple[type[Store], str, str]] = [
    (SaysNothing, "an_object_comes_back_byte_for_byte", "first put of"),
    (StripsWhitespace, "an_object_comes_back_byte_for_byte", "has the bytes that were put"),
    (OverwritesWhatDiffers, "a_taken_key_keeps_its_object", "a taken key is refused"),
    (AgreesToTheSame, "a_taken_key_keeps_its_object", "also with the same content"),
    (OverwritesInSilence, "a_taken_key_keeps_its_object", "the first object stands"),
    (Remembers, "an_object_is_there_for_another_handle", "outlives the handle"),
    (RemembersWhatIsTaken, "an_object_is_there_for_another_handle", "taken for every handle"),
    (ListsItsOwn, "an_object_is_there_for_another_handle", "it is listed"),
    (SaysFalse, "an_object_outlives_the_process_that_put_it", "says that it stored"),
    (PutsLater, "an_object_outlives_the_process_that_put_it", "the object is whole"),
    (LooksThenWrites, "of_racing_threads_one_wins", "exactly one of the writers"),
    (LastWriterWins, "of_racing_threads_one_wins", "is the winner's"),
    (RacesBetweenProcesses, "of_racing_processes_one_wins", "exactly one of the processes"),
    (LastWriterWins, "of_racing_processes_one_wins", "is the winner's"),
    (StoresInTheBackground, "a_reader_never_sees_part_of_an_object", "when its put has returned"),
    (ListsUnfinished, "a_reader_never_sees_part_of_an_object", "has its whole size"),
    (GivesNothing, "a_reader_never_sees_part_of_an_object", "absent or whole"),
    (GivesNothing, "a_missing_object_is_not_found", "raises 1"),
    (ForgetsCaseInGet, "a_missing_object_is_not_found", "raises 2"),
    (TakesAnyKey, "a_bad_key_is_refused", "raises 1"),
    (GetsAnyKey, "a_bad_key_is_refused", "raises 2"),
    (RefusesTooLate, "a_bad_key_is_refused", "nothing was stored"),
    (WritesElsewhere, "a_bad_key_is_refused", "nothing was written elsewhere"),
    (ListsAnIndex, "a_listing_is_in_order_with_sizes", "an empty store"),
    (ListsAsTextSorts, "a_listing_is_in_order_with_sizes", "keys in order"),
    (ListsOnce, "a_listing_is_in_order_with_sizes", "and again the same"),
    (IgnoresCase, "every_key_is_an_object_of_its_own", "is a key of its own"),
    (MixesUp, "every_key_is_an_object_of_its_own", "has its own object"),
    (PrefixIsAFolder, "a_listing_has_the_prefix", "what starts with"),
    (AfterIsIncluded, "a_listing_begins_behind_a_key", "what sorts behind"),
    (AfterDropsThePrefix, "a_listing_begins_behind_a_key", "in a/ behind"),
    (ListsFiles, "foreign_things_are_not_listed", "only what was put"),
    (OnePage, "many_objects_are_listed", "every object is listed once"),
    (Cuts, "a_large_object_is_stored", "come back whole"),
    (SkipsWhenPut, "a_listing_survives_puts", "from before is listed"),
    (RepeatsWhenPut, "a_listing_survives_puts", "no object is listed twice"),
    (LocationIsAPath, "the_location_names_the_store", "is text"),
    (LocationIsEmpty, "the_location_names_the_store", "is not empty"),
    (LocationIsAlwaysTheSame, "the_location_names_the_store", "another location"),
]

CHANNEL_DEFECTS: list[tuple[type[Channel], str, str]] = [
    (MakesNoneZero, "a_notice_arrives_as_it_was", "equals what was sent"),
    (Greets, "a_notice_arrives_at_another_handle", "nobody has used"),
    (OpensWithAKnownPast, "a_notice_arrives_at_another_handle", "was there before"),
    (OpensWithoutAPast, "a_notice_arrives_at_another_handle", "one that came after"),
    (NeverRemoves, "an_acknowledged_notice_is_gone", "does not come back"),
    (Loses, "a_notice_that_is_not_acknowledged_comes_again", "it is delivered"),
    (AlwaysVisible, "a_notice_that_is_not_acknowledged_comes_again", "to the one who has it"),
    (InvisibleToOneself, "a_notice_that_is_not_acknowledged_comes_again", "and to others"),
    (AtMostOnce, "a_notice_that_is_not_acknowledged_comes_again", "again, to anyone"),
    (ComesBackEarly, "a_notice_that_is_not_acknowledged_comes_again", "not before its time"),
    (AtMostTwice, "a_notice_that_is_not_acknowledged_comes_again", "and again"),
    (AtMostOnce, "an_acknowledgement_that_comes_late_counts", "it is delivered again"),
    (NeverRemoves, "an_acknowledgement_that_comes_late_counts", "it is gone"),
    (KeepsWhatIsGivenBack, "what_is_given_back_comes_soon", "again, to anyone"),
    (SendsAnew, "what_is_given_back_comes_soon", "brings back nothing"),
    (RemovesAll, "one_acknowledgement_removes_one_notice", "comes back"),
    (GivesAll, "at_most_so_many_are_received", "not more than asked for"),
    (DropsTheRest, "at_most_so_many_are_received", "the others come next"),
    (Loses, "receiving_does_not_wait_for_what_is_there", "what is there is delivered"),
    (FillsTheBatch, "receiving_does_not_wait_for_what_is_there", "without waiting for more"),
    (Greets, "receiving_waits_no_longer_than_asked", "nothing is there"),
    (AlwaysWaits, "receiving_waits_no_longer_than_asked", "returns at once"),
    (GreetsWhoWaits, "receiving_waits_no_longer_than_asked", "nothing came"),
    (NeverWaits, "receiving_waits_no_longer_than_asked", "for as long as asked"),
    (WaitsTooLong, "receiving_waits_no_longer_than_asked", "and no longer"),
    (Loses, "a_waiting_receiver_wakes_soon", "to the one who waits"),
    (WakesLate, "a_waiting_receiver_wakes_soon", "soon"),
    (InvisibleToOneself, "several_receivers_share_the_notices", "each is received once"),
    (ChokesOnJunk, "junk_keeps_nothing_back", "pass the junk"),
    (DeliversJunk, "junk_keeps_nothing_back", "junk is not delivered"),
]


# ── running one test of a suite against one defect

SOURCE = Path(inspect.getfile(store_conformance))


def assertions(suite: type, test: str) -> dict[tuple[int, int], str]:
    """First and last line of each assertion of a test, and what it says (`raises N` for the Nth raises)."""
    lines, first = inspect.getsourcelines(getattr(suite, f"test_{test}"))
    tree = ast.parse("if True:\n" + "".join(lines))
    found: dict[tuple[int, int], str] = {}
    raises = 0
    for node in sorted(
        (node for node in ast.walk(tree) if isinstance(node, ast.Assert | ast.With)),
        key=lambda node: node.lineno,
    ):
        place = (node.lineno + first - 2, (node.end_lineno or node.lineno) + first - 2)
        if isinstance(node, ast.Assert) and node.msg is not None:
            found[place] = ast.unparse(node.msg)
        elif isinstance(node, ast.With) and "pytest.raises" in ast.unparse(node.items[0]):
            raises += 1
            found[place] = f"raises {raises}"
    return found


def failed_assertion(suite: type, test: str, call: Callable[[], object]) -> str | None:
    """What the assertion that fails in this call says; None when none fails."""
    try:
        call()
    except pytest.skip.Exception:
        return None
    except BaseException as error:  # noqa: BLE001 - pytest's own failures are no Exceptions
        places, said = assertions(suite, test), None
        at = error.__traceback__
        while at is not None:
            if at.tb_frame.f_code.co_filename == str(SOURCE):
                said = next((text for (a, b), text in places.items() if a <= at.tb_lineno <= b), said)
            at = at.tb_next
        return said or f"another line, with {error!r}"
    return None


class StoreSuite(RecordStoreConformance):
    """The suite over a store with a defect."""

    def __init__(self, defect: type[Store]) -> None:
        self.defect = defect

    def open_store(self, place: Path) -> RecordStore:
        return self.defect(place)

    def command_that_puts(self, place: Path, key: str) -> Sequence[str]:
        parts = {name: getattr(self.defect, name) for name in ("said", "prologue", "epilogue")}
        return [sys.executable, "-c", PUT.format(**parts), str(place), key]

    def plant_foreign(self, store: RecordStore, place: Path) -> bool:
        (place / "run" / "journal.sqlite").write_bytes(b"x")
        return True


class ChannelSuite(NoticesConformance):
    """The suite over a channel with a defect."""

    patience_s = 1.5

    def __init__(self, defect: type[Channel]) -> None:
        self.defect = defect

    def open_notices(self, place: Path, *, visibility_s: float) -> Notices:
        return self.defect(place, visibility_s)

    def plant_junk(self, notices: Notices, place: Path) -> bool:
        (place / "notices" / "0.notice").write_text("junk")
        (place / "notices" / "README").write_text("junk")
        return True


@pytest.mark.parametrize(("defect", "test", "words"), STORE_DEFECTS)
def test_a_defective_store_fails_its_assertion(
    defect: type[Store], test: str, words: str, tmp_path: Path
) -> None:
    """The suite finds the defect at the very assertion that is meant to find it."""
    key = ("run//a.json",) if test == "a_bad_key_is_refused" else ()
    call = getattr(StoreSuite(defect), f"test_{test}")
    said = failed_assertion(RecordStoreConformance, test, lambda: call(tmp_path, *key))
    assert said is not None, "the defect was not found"
    assert words in said


@pytest.mark.parametrize(("defect", "test", "words"), CHANNEL_DEFECTS)
def test_a_defective_channel_fails_its_assertion(
    defect: type[Channel], test: str, words: str, tmp_path: Path
) -> None:
    """The suite finds the defect at the very assertion that is meant to find it."""
    call = getattr(ChannelSuite(defect), f"test_{test}")
    said = failed_assertion(NoticesConformance, test, lambda: call(tmp_path))
    assert said is not None, "the defect was not found"
    assert words in said


@pytest.mark.parametrize("key", store_conformance.BAD_KEYS)
def test_every_bad_key_is_looked_at(key: str, tmp_path: Path) -> None:
    """A store that takes any key fails for each of them."""
    call = StoreSuite(TakesAnyKey).test_a_bad_key_is_refused
    said = failed_assertion(RecordStoreConformance, "a_bad_key_is_refused", lambda: call(tmp_path, key))
    assert said == "raises 1"


@pytest.mark.parametrize(
    ("suite", "defects"), [(RecordStoreConformance, STORE_DEFECTS), (NoticesConformance, CHANNEL_DEFECTS)]
)
def test_every_assertion_has_its_defect(suite: type, defects: list[tuple[Any, str, str]]) -> None:
    """No assertion of the suites is without a defect that fails it."""
    for name in (name.removeprefix("test_") for name in dir(suite) if name.startswith("test_")):
        for said in assertions(suite, name).values():
            assert any(test == name and words in said for _, test, words in defects), f"{name}: {said}"


@pytest.mark.parametrize("test", sorted({test for _, test, _ in STORE_DEFECTS}))
def test_a_store_without_defect_passes(test: str, tmp_path: Path) -> None:
    """The wrapper that the defects are made of is itself sound."""
    key = ("run//a.json",) if test == "a_bad_key_is_refused" else ()
    getattr(StoreSuite(Store), f"test_{test}")(tmp_path, *key)


@pytest.mark.parametrize("test", sorted({test for _, test, _ in CHANNEL_DEFECTS}))
def test_a_channel_without_defect_passes(test: str, tmp_path: Path) -> None:
    """The wrapper that the defects are made of is itself sound."""
    getattr(ChannelSuite(Channel), f"test_{test}")(tmp_path)


def test_without_hooks_their_tests_are_skipped(tmp_path: Path) -> None:
    """A store that no other process reaches, and in which nothing can be planted, still has a suite."""

    class Plain(RecordStoreConformance):
        def open_store(self, place: Path) -> RecordStore:
            return DirectoryStore(place)

    for test in (
        Plain().test_an_object_outlives_the_process_that_put_it,
        Plain().test_of_racing_processes_one_wins,
        Plain().test_foreign_things_are_not_listed,
    ):
        with pytest.raises(pytest.skip.Exception):
            test(tmp_path)
