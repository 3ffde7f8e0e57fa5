"""A run is read from its records alone; what is not a record of it is listed, not swallowed."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from agentcore_rl.batch.journal import Journal
from agentcore_rl.exceptions import ConfigurationError, RecordNotFound
from agentcore_rl.outcome import Phases, RequestIds, RolloutOutcome
from agentcore_rl.read import read_run
from agentcore_rl.rollout import Failure, FailureKind, Status
from agentcore_rl.stores.directory import DirectoryStore
from inprocess_launcher import key_of, make_attempt, store_rollout

LOST = Failure(FailureKind.RUNTIME, "The session died.", retryable=True)


@pytest.fixture
def store(tmp_path):
    """A directory store with the records of run `r`: two tasks, one of them with two attempts."""
    store = DirectoryStore(tmp_path / "records")
    store_rollout(store, make_attempt("r", "a", session="s-a"))
    store_rollout(store, make_attempt("r", "b", session="s-b0", failure=LOST, status=Status.FAILED))
    store_rollout(store, make_attempt("r", "b", session="s-b1", attempt=1))
    store_rollout(store, make_attempt("other", "a", session="s-o"))
    return store


def folder(store):
    """The run's folder in the store."""
    return f"{store.location}/r"


def test_the_chosen_attempts_are_read(store):
    """One rollout per task and sample, as typed records, as often as one likes."""
    run = read_run(folder(store))
    assert run.id == "r"
    assert run.ids == ["a.0", "b.0"]
    for _ in range(2):
        assert [(r.task, r.attempt, r.turns[0].answer["content"]) for r in run.rollouts] == [
            ("a", 0, "answer 0"),
            ("b", 1, "answer 0"),
        ]
    assert run.late == {"b.0": 1}
    assert run.unreadable == {}


def test_attempts_come_in_order(store):
    """All that are stored; none where nothing is."""
    run = read_run(folder(store))
    assert [rollout.session for rollout in run.attempts("b")] == ["s-b0", "s-b1"]
    assert run.attempts("b", 1) == []
    assert run.attempts("zzz") == []


def test_a_callers_own_input_id_is_a_task(store):
    """An id without a sample behind its last dot is found as sample 0."""
    store_rollout(store, make_attempt("r", "theirs", session="s-t", input_id="theirs"))
    run = read_run(folder(store))
    assert [rollout.session for rollout in run.attempts("theirs")] == ["s-t"]
    assert run.find("theirs").session == "s-t"


def test_find_takes_an_unambiguous_beginning(store):
    """The whole id wins over being the beginning of another; misses name what there is."""
    store_rollout(store, make_attempt("r", "apple", session="s-apple"))
    store_rollout(store, make_attempt("r", "a", 0, session="x", input_id="a.00"))
    run = read_run(folder(store))
    assert run.find("a.0").session == "s-a"
    assert run.find("ap").task == "apple"
    with pytest.raises(RecordNotFound, match=r"'a' fits 3 rollouts of run r: a\.0, a\.00, apple\.0"):
        run.find("a")
    with pytest.raises(RecordNotFound, match=r"has no rollout 'q'. It has 4: a\.0"):
        run.find("q")


def test_what_is_no_record_is_listed(store):
    """Damaged, foreign and misplaced objects are skipped with a reason; our own files are no objects."""
    path = store.location
    store.put_if_absent("r/c.0/s-c.json", b"{ half")
    store.put_if_absent("r/d.0/s-d.json", b'{"status_code": 200}')
    store.put_if_absent("r/e.0/deep/er.json", b"{}")
    store.put_if_absent("r/stray.json", b"{}")
    store.put_if_absent("r/probe-123.json", b"{}")
    copy = make_attempt("r", "a", session="s-a")
    store.put_if_absent("r/f.0/s-f.json", store.get(key_of(copy)))
    (store._root / "r" / "run.json").write_text("{}")
    (store._root / "r" / "journal.sqlite").write_text("")
    run = read_run(f"{path}/r")
    assert set(run.unreadable) == {
        "r/c.0/s-c.json",
        "r/d.0/s-d.json",
        "r/e.0/deep/er.json",
        "r/f.0/s-f.json",
        "r/stray.json",
    }
    assert "holds the record r/a.0/s-a" in run.unreadable["r/f.0/s-f.json"]
    assert [rollout.task for rollout in run.rollouts] == ["a", "b"]
    with pytest.raises(RecordNotFound, match=r"The record of rollout c\.0 cannot be read: The object is not"):
        run.find("c")


def test_a_damaged_attempt_does_not_hide_a_sound_one(store):
    """The sound attempt counts, the damaged one is listed."""
    store.put_if_absent("r/a.0/s-broken.json", b"")
    run = read_run(folder(store))
    assert run.find("a.0").session == "s-a"
    assert list(run.unreadable) == ["r/a.0/s-broken.json"]
    assert "a.0" not in run.late


def test_what_was_delivered_stays_the_winner(store):
    """The journal in the folder says which attempt somebody got; without it the rule decides."""
    journal = Journal(store._root / "r" / "journal.sqlite")
    ids = RequestIds("r", "b", 0, 0, "s-b0", "r/b.0/s-b0.json")
    phases = Phases(0, 0, 0, 0, 0)
    journal.won(RolloutOutcome(ids, Status.FAILED, LOST, None, "somewhere", phases))
    journal.close()
    assert read_run(folder(store)).find("b").session == "s-b0"
    (store._root / "r" / "journal.sqlite").write_bytes(b"no database")
    assert read_run(folder(store)).find("b").session == "s-b1"


def test_a_run_folder_apart_from_the_store_points_to_it(store, tmp_path):
    """run.json says where the records are; a folder that was moved with its records needs none."""
    apart = tmp_path / "apart"
    apart.mkdir()
    (apart / "run.json").write_text(json.dumps({"run": "r", "records": {"location": store.location}}))
    assert read_run(apart).ids == ["a.0", "b.0"]
    shutil.move(store.location, tmp_path / "moved")
    assert read_run(tmp_path / "moved" / "r").ids == ["a.0", "b.0"]


def test_no_run_is_one_sentence(tmp_path):
    """A folder that is not there, and one that is no run's."""
    with pytest.raises(ConfigurationError, match="There is no run folder"):
        read_run(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="is no run's folder"):
        read_run(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "run.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"is no run's folder but holds 1: mine\. Name one"):
        read_run(tmp_path)


def test_a_folder_may_be_a_url(store):
    """As the locations of stores are."""
    assert read_run(Path(folder(store)).as_uri()).ids == ["a.0", "b.0"]


def test_records_are_decoded_one_by_one(store):
    """Reading the first rollout does not touch the second, even when that one is gone meanwhile."""
    run = read_run(folder(store))
    rollouts = iter(run.rollouts)
    assert next(rollouts).task == "a"
    shutil.rmtree(f"{folder(store)}/b.0")
    assert list(rollouts) == []
    assert set(run.unreadable) == {"r/b.0/s-b0.json", "r/b.0/s-b1.json"}
    assert dataclasses.is_dataclass(run.find("a"))
