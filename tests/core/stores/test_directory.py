import errno
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from agentcore_rl.exceptions import RecordNotFound, StoreUnavailable
from agentcore_rl.stores import Notice, Notices, RecordStore
from agentcore_rl.stores.directory import DirectoryNotices, DirectoryStore
from agentcore_rl.testing import NoticesConformance, RecordStoreConformance

PUT = """
import sys
from agentcore_rl.stores.directory import DirectoryStore
print(DirectoryStore(sys.argv[1]).put_if_absent(sys.argv[2], sys.stdin.buffer.read()), flush=True)
"""

NOTICE = Notice("run", "task", 0, 0, "session", "run/task.0/session.json", 4, "0" * 64, "succeeded", 1.0)


class TestDirectoryStore(RecordStoreConformance):
    """The suite runs over directories."""

    def open_store(self, place: Path) -> RecordStore:
        return DirectoryStore(place)

    def command_that_puts(self, place: Path, key: str) -> Sequence[str]:
        return [sys.executable, "-c", PUT, str(place), key]

    def plant_foreign(self, store: RecordStore, place: Path) -> bool:
        (place / "run" / "journal.sqlite").write_bytes(b"x")
        (place / "run" / "folder.json").mkdir()
        (place / "run" / "link.json").symlink_to(place / "run" / "a.json")
        (place / "linked").symlink_to(place / "run", target_is_directory=True)
        os.mkfifo(place / "run" / "pipe.json")
        (place / ".incoming" / "0123456789abcdef").write_bytes(b"half a rec")
        Path(os.fsdecode(os.fsencode(place / "run") + b"/\xff.json")).write_bytes(b"x")
        return True


class TestDirectoryNotices(NoticesConformance):
    """The suite runs over folders of notices."""

    def open_notices(self, place: Path, *, visibility_s: float) -> Notices:
        return DirectoryNotices(place / "notices", visibility_s=visibility_s)

    def plant_junk(self, notices: Notices, place: Path) -> bool:
        folder = place / "notices"
        (folder / "0.notice").write_text("no JSON")
        (folder / "1.notice").write_text('{"run": 3}')
        (folder / "2.notice").mkdir()
        (folder / "3.unsent").write_text("half a not")
        (folder / "4.x.taken").write_text("{}")
        (folder / "README").write_text("hello")
        return True


def test_a_directory_is_made_at_the_first_put(tmp_path: Path) -> None:
    """Opening, listing and getting leave no trace."""
    store = DirectoryStore(tmp_path / "not" / "there")
    assert list(store.list()) == []
    with pytest.raises(RecordNotFound):
        store.get("a.json")
    assert list(tmp_path.iterdir()) == []
    assert store.put_if_absent("run/task.0/s.json", b"x")
    assert (tmp_path / "not" / "there" / "run" / "task.0" / "s.json").read_bytes() == b"x"


def test_a_put_leaves_nothing_but_the_object(tmp_path: Path) -> None:
    """Whether it stored or not, no temporary file stays."""
    store = DirectoryStore(tmp_path)
    assert [store.put_if_absent("a.json", b"x"), store.put_if_absent("a.json", b"y")] == [True, False]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.json"]


def test_what_a_crash_left_is_removed_after_an_hour(tmp_path: Path) -> None:
    """A put under way in another process is left alone."""
    incoming = tmp_path / ".incoming"
    incoming.mkdir()
    for name in ("old", "new"):
        (incoming / name).write_bytes(b"half")
    os.utime(incoming / "old", (0, 0))
    DirectoryStore(tmp_path).put_if_absent("a.json", b"x")
    assert [path.name for path in incoming.iterdir()] == ["new"]


@pytest.mark.parametrize("key", ["link/b.json", "link.json", "dangling.json", "inner/up/b.json"])
def test_symbolic_links_are_not_followed(tmp_path: Path, key: str) -> None:
    """A link inside the store cannot make it read or write elsewhere."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "b.json").write_bytes(b"secret")
    root = tmp_path / "store"
    (root / "inner").mkdir(parents=True)
    (root / "link").symlink_to(outside, target_is_directory=True)
    (root / "link.json").symlink_to(outside / "b.json")
    (root / "dangling.json").symlink_to(outside / "c.json")
    (root / "inner" / "up").symlink_to("../../outside", target_is_directory=True)
    store = DirectoryStore(root)
    with pytest.raises(StoreUnavailable, match="symbolic link"):
        store.put_if_absent(key, b"x")
    with pytest.raises(StoreUnavailable, match="symbolic link"):
        store.get(key)
    assert list(store.list()) == []
    assert [path.name for path in outside.iterdir()] == ["b.json"]


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    """Where the store is, is the user's choice."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    DirectoryStore(tmp_path / "link").put_if_absent("a.json", b"x")
    assert (tmp_path / "real" / "a.json").read_bytes() == b"x"


def test_a_name_too_long_for_the_file_system_is_said(tmp_path: Path) -> None:
    """The sentence says what is wrong with the key."""
    with pytest.raises(StoreUnavailable, match="too long"):
        DirectoryStore(tmp_path).put_if_absent(f"{'x' * 300}.json", b"x")
    with pytest.raises(StoreUnavailable, match="too long"):
        DirectoryStore(tmp_path).get(f"{'x' * 300}.json")


def test_a_key_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    """A directory cannot hold an object where others' folder is; it never says that it did."""
    store = DirectoryStore(tmp_path)
    store.put_if_absent("a.json/b.json", b"x")
    with pytest.raises(ValueError, match="folder of other keys"):
        store.put_if_absent("a.json", b"x")
    store.put_if_absent("c.json", b"x")
    with pytest.raises(StoreUnavailable):
        store.put_if_absent("c.json/d.json", b"x")


def test_a_root_that_is_a_file_is_said(tmp_path: Path) -> None:
    """The store is unavailable, in a sentence that names it."""
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(StoreUnavailable, match="file"):
        DirectoryStore(tmp_path / "file").put_if_absent("a.json", b"x")


def test_a_full_disk_stores_nothing_and_says_so(small_disk: Path) -> None:
    """No part of the object stays, and the same put succeeds when there is room again."""
    store = DirectoryStore(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 150_000)
    with pytest.raises(StoreUnavailable, match="disk is full") as refusal:
        store.put_if_absent("run/a.json", b"x" * 200_000)
    assert isinstance(refusal.value.__cause__, OSError)
    assert refusal.value.__cause__.errno == errno.ENOSPC
    assert list(store.list()) == []
    assert list((small_disk / ".incoming").iterdir()) == []
    ballast.unlink()
    assert store.put_if_absent("run/a.json", b"x" * 200_000)
    assert store.get("run/a.json") == b"x" * 200_000


UNPRIVILEGED = """
import os, sys
from agentcore_rl.exceptions import StoreUnavailable
from agentcore_rl.stores import Notice
from agentcore_rl.stores.directory import DirectoryNotices, DirectoryStore
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
notice = Notice("run", "task", 0, 0, "s", "run/task.0/s.json", 4, "0" * 64, "succeeded", 1.0)
store, notices = DirectoryStore(sys.argv[1]), DirectoryNotices(sys.argv[1] + "/run/notices")
for call in (
    lambda: store.put_if_absent("run/b.json", b"x"),
    lambda: store.get("run/a.json"),
    lambda: list(store.list()),
    lambda: notices.send(notice),
    lambda: notices.receive(),
):
    try:
        print(call())
    except StoreUnavailable as error:
        print(error)
"""


def run_unprivileged(folder: Path) -> list[str]:
    """What a user without rights gets from the store in `folder`."""
    ran = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_a_store_that_is_not_ours_to_write_is_unavailable(open_to_all: Path) -> None:
    """A user without write permission can read, and is told why it cannot write."""
    root = open_to_all / "store"
    DirectoryStore(root).put_if_absent("run/a.json", b"x")
    DirectoryNotices(root / "run" / "notices").send(NOTICE)
    for folder in (root, root / "run", root / "run" / "notices", root / ".incoming"):
        folder.chmod(0o555)
    put, got, listed, sent, received = run_unprivileged(root)
    assert "cannot be stored" in put
    assert "permission is denied" in put
    assert got == "b'x'"
    assert "run/a.json" in listed
    assert "cannot be sent" in sent
    assert "permission is denied" in received
    root.chmod(0o755)


def test_a_store_that_is_not_ours_to_read_is_unavailable(open_to_all: Path) -> None:
    """Nothing is mistaken for absent."""
    root = open_to_all / "store"
    DirectoryStore(root).put_if_absent("run/a.json", b"x")
    root.chmod(stat.S_IRUSR)
    put, got, listed, sent, received = run_unprivileged(root)
    for sentence in (put, got, listed, sent, received):
        assert "permission is denied" in sentence
    root.chmod(0o755)
