"""`agentcore-rl spool`: what waits on this machine, and delivering it by hand."""

import json

import pytest

from agentcore_rl.codec import encode_record
from agentcore_rl.spool import Address, Spool, SpoolEntry
from agentcore_rl.stores import Notice
from inprocess_launcher import key_of, make_attempt


@pytest.fixture
def spool(folder):
    """A spool that a process has left, with one record for `folder/records`."""
    record = make_attempt("r", "a", session="s")
    key = key_of(record)
    content = encode_record(record, bucket="", key=key)
    notice = Notice("r", "a", 0, 0, "s", key, len(content), "", "succeeded", None)
    spool = Spool(folder / "spool")
    spool.add(SpoolEntry(Address(key, str(folder / "records"), None, "", None, notice), content))
    return spool


def test_it_shows_and_drains(spool, folder, call):
    """While its process lives a record is that process's; afterwards it is delivered, once."""
    code, out, _ = call("spool", "--spool", "spool")
    assert (code, "alive" in out, str(folder / "records") in out) == (0, True, True)
    code, out, _ = call("spool", "drain", "--spool", "spool")
    assert (code, "No record of a dead process" in out) == (0, True)
    spool.close()
    code, out, _ = call("spool", "--spool", "spool", "--json")
    said, last = map(json.loads, out.splitlines())
    assert last == {"done": True, "processes": 1}
    assert (said["alive"], said["entries"], said["stores"]) == (False, 1, [str(folder / "records")])
    code, out, _ = call("spool", "--spool", "spool")
    assert "Next     agentcore-rl spool drain" in out
    code, out, _ = call("spool", "drain", "--spool", "spool")
    assert (code, "1 delivered, 0 left." in out) == (0, True)
    assert (folder / "records" / "r" / "a.0" / "s.json").is_file()
    code, out, _ = call("spool", "--spool", "spool")
    assert out == "No record waits on this machine.\n"


def test_what_cannot_be_delivered_stays(spool, folder, call):
    """The exit code is 1, the reason is said, the record is where it was."""
    spool.close()
    (folder / "records").write_text("in the way")
    code, out, err = call("spool", "drain", "--spool", "spool", "--within", "1")
    assert code == 1
    assert "0 delivered, 1 left." in out
    assert "cannot be stored" in err
    assert len(list((folder / "spool").glob("*/*.entry"))) == 1


def test_damaged_entries_are_counted(spool, folder, call):
    """They are kept for a person."""
    spool.close()
    entry = next((folder / "spool").glob("*/*.entry"))
    entry.write_bytes(b"nothing of ours")
    code, out, _ = call("spool", "drain", "--spool", "spool", "--json")
    assert json.loads(out) == {"delivered": 1, "left": 0} or code == 1
    _, out, _ = call("spool", "--spool", "spool", "--json")
    assert json.loads(out.splitlines()[0])["damaged"] == 1
