import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.exceptions import RecordUnreadable, StoreUnavailable
from agentcore_rl.spool import Address, Spool, SpoolEntry, SpoolFile, SpoolFolder
from agentcore_rl.stores import Notice


def entry(number: int = 0, content: bytes = b'{"rollout": 1}') -> SpoolEntry:
    """An entry with every field set."""
    notice = Notice(
        "run", "task", number, 0, f"s{number}", f"p/run/{number}.json", 4, "0" * 64, "succeeded", None
    )
    return SpoolEntry(Address(f"p/run/{number}.json", "/store", "bucket", "p/", "queue", notice), content)


def orphans(root: Path) -> list[SpoolFolder]:
    """The folders that can be claimed."""
    return list(Spool(root).claim_orphans())


@given(st.binary(max_size=200))
def test_an_entry_comes_back_as_it_was(content: bytes) -> None:
    """Any bytes, with their whole address."""
    with tempfile.TemporaryDirectory() as root:
        spool = Spool(root)
        kept = spool.add(entry(3, content))
        assert kept.read() == entry(3, content)
        kept.remove()
        spool.close()
        assert os.listdir(root) == []


def test_entries_come_oldest_first(tmp_path: Path) -> None:
    """In the order in which they were added, across threads each added exactly once."""
    folder = SpoolFolder.create(tmp_path)
    for number in range(20):
        folder.add(entry(number))
    assert [file.read().address.notice.sample for file in folder.files()] == list(range(20))
    threads = [threading.Thread(target=folder.add, args=(entry(99),)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folder.files()) == 30
    folder.close()


def test_nothing_is_made_before_the_first_entry(tmp_path: Path) -> None:
    """A spool that is not used leaves no trace."""
    spool = Spool(tmp_path / "spool")
    assert list(spool.claim_orphans()) == []
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_a_living_process_keeps_its_folder(tmp_path: Path) -> None:
    """Nobody claims a folder that is in use, not even the same process; closed, it is anyone's."""
    spool = Spool(tmp_path)
    spool.add(entry())
    assert orphans(tmp_path) == []
    spool.close()
    (orphan,) = orphans(tmp_path)
    assert [file.read() for file in orphan.files()] == [entry()]
    assert orphans(tmp_path) == []
    for file in orphan.files():
        file.remove()
    orphan.close()
    assert list(tmp_path.iterdir()) == []


CHILD = """
import os, sys
from agentcore_rl.spool import Address, Spool, SpoolEntry
from agentcore_rl.stores import Notice
notice = Notice("run", "task", 0, 0, "s", "run/a.json", 4, "0" * 64, "succeeded", None)
spool = Spool(sys.argv[1])
spool.add(SpoolEntry(Address("run/a.json", "/store", None, "", None, notice), b"content"))
print("added", flush=True)
if sys.argv[2] == "fork" and os.fork() == 0:
    print("forked", flush=True)
    sys.stdin.read()
    os._exit(0)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_a_dead_process_leaves_its_folder(tmp_path: Path, how: str) -> None:
    """Its lock dies with it by kill -9, also when a child that it forked lives on."""
    command = [sys.executable, "-c", CHILD, str(tmp_path), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(2 if how == "fork" else 1):
            process.stdout.readline()
        assert orphans(tmp_path) == []
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        (orphan,) = orphans(tmp_path)
        assert [file.read().content for file in orphan.files()] == [b"content"]
        orphan.close()


@given(st.data())
def test_a_damaged_entry_is_never_read(data: st.DataObject) -> None:
    """Cut anywhere or with any byte changed, an entry raises instead of giving something else."""
    with tempfile.TemporaryDirectory() as root:
        spool = Spool(root)
        kept = spool.add(entry())
        raw = kept.path.read_bytes()
        at = data.draw(st.integers(0, len(raw) - 1))
        damaged = data.draw(
            st.sampled_from([raw[:at], raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :], raw + b"x"])
        )
        kept.path.write_bytes(damaged)
        with pytest.raises(RecordUnreadable):
            kept.read()
        kept.set_aside()
        assert SpoolFile(kept.path.with_suffix(".unreadable")).path.exists()
        spool.close()


def test_what_is_half_written_is_not_an_entry(tmp_path: Path) -> None:
    """A partial file of a dead process is not listed, and goes with its folder."""
    folder = SpoolFolder.create(tmp_path)
    (folder.path / "0.partial").write_bytes(b"half")
    assert folder.files() == []
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    """What is no folder of a process is neither claimed nor removed."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("notes")
    assert orphans(tmp_path) == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["README", "file", "link", "notes"]


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    """Somebody cleaning up costs no later record."""
    spool = Spool(tmp_path / "spool")
    spool.add(entry())
    shutil.rmtree(tmp_path / "spool")
    assert spool.add(entry(1)).read() == entry(1)
    spool.close()


def test_a_full_disk_keeps_no_part_of_an_entry(small_disk: Path) -> None:
    """The spool says that the disk is full; with room again the same entry is kept."""
    spool = Spool(small_disk)
    spool.add(entry(0))
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 150_000)
    with pytest.raises(StoreUnavailable, match="disk is full"):
        spool.add(entry(1, b"x" * 200_000))
    (folder,) = (path for path in small_disk.iterdir() if path.is_dir())
    assert len(list(folder.glob("*.entry"))) == 1
    assert list(folder.glob("*.partial")) == []
    ballast.unlink()
    assert spool.add(entry(1, b"x" * 200_000)).read() == entry(1, b"x" * 200_000)
    spool.close()


def test_a_root_that_is_a_file_is_said(tmp_path: Path) -> None:
    """The sentence names the spool."""
    (tmp_path / "spool").write_bytes(b"x")
    with pytest.raises(StoreUnavailable, match=r"The spool in .*spool cannot be written"):
        Spool(tmp_path / "spool").add(entry())
    assert orphans(tmp_path / "spool") == []
