"""The journal says what happened, survives a kill, and can be made anew from records."""

import sqlite3
import threading

import pytest

from agentcore_rl.batch.journal import Journal
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.outcome import Phases, RequestIds, RolloutOutcome
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Failure, FailureKind, Status
from inprocess_launcher import key_of, make_attempt

LOST = Failure(FailureKind.RUNTIME, "The session died.", retryable=True)
TIMINGS = Phases(queued_s=0.5, start_s=0.25, run_s=2.0, read_s=0.125, total_s=2.875)


def ids(task, attempt=0):
    """The ids of an attempt."""
    session = f"s-{task}-{attempt}"
    return RequestIds("r", task, 0, attempt, session, f"r/{task}.0/{session}.json")


def rows(path, table):
    """What a journal's table holds."""
    database = sqlite3.connect(path)
    try:
        found = database.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
    finally:
        database.close()
    return found


def ended(journal, outcome, rollout):
    """An attempt ends, and counts."""
    journal.attempt_ended(outcome, rollout)
    journal.won(outcome)


@pytest.fixture
def journal(tmp_path):
    """An empty journal."""
    journal = Journal(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


def test_a_rollout_leaves_its_trace(journal):
    """Asked for, begun, ended: each in its table, with counts, winner and timings."""
    journal.add_items([("a", 0), ("b", 0)])
    journal.begin(ids("a"))
    record = make_attempt("r", "a", session="s-a-0", suspect=["forked"])
    outcome = RolloutOutcome(ids("a"), Status.SUCCEEDED, None, Reward(0.5), "here/r", TIMINGS)
    ended(journal, outcome, record)
    assert rows(journal.path, "items") == [("a", 0), ("b", 0)]
    assert [row[:5] for row in rows(journal.path, "attempts")] == [("s-a-0", "a", 0, 0, "r/a.0/s-a-0.json")]
    assert [row[:13] for row in rows(journal.path, "outcomes")] == [
        ("s-a-0", "succeeded", None, None, 0, 0.5, "here/r", 1, 1, 1, 0, 0, 0)
    ]
    assert rows(journal.path, "winners") == [("a", 0, "s-a-0", 0)]
    assert rows(journal.path, "phases") == [("s-a-0", 0.5, 0.25, 2.0, 0.125, 2.875)]


def test_an_outcome_without_a_record_knows_no_counts(journal):
    """None is not zero."""
    ended(journal, RolloutOutcome(ids("a"), Status.FAILED, LOST, None, None, TIMINGS), None)
    row = ("s-a-0", "failed", "runtime", "The session died.", 1, None, None, *[None] * 6)
    assert [found[:13] for found in rows(journal.path, "outcomes")] == [row]


def test_sessions_that_were_stopped_are_noted(journal):
    """So that a later reader knows that nothing is to be expected of them."""
    journal.begin(ids("a"))
    journal.begin(ids("b"))
    journal.stopped(["s-b-0"])
    assert [(row[0], row[6]) for row in rows(journal.path, "attempts")] == [("s-a-0", 0), ("s-b-0", 1)]


def test_it_can_be_made_anew_from_records(journal, tmp_path):
    """All but timings: the same rows come from records as came from outcomes."""
    first = make_attempt("r", "a", session="s-a-0", failure=LOST, status=Status.FAILED)
    second = make_attempt("r", "a", session="s-a-1", attempt=1, reward=Reward(1.0))
    for record in (first, second):
        outcome = RolloutOutcome(
            ids("a", record.attempt),
            record.status,
            record.failure,
            record.reward,
            f"w/{key_of(record)}",
            TIMINGS,
        )
        journal.begin(outcome.request)
        if record is second:
            ended(journal, outcome, record)
    anew = Journal(tmp_path / "anew.sqlite")
    anew.rebuild([(key_of(record), record) for record in (first, second)], location="w")
    assert rows(anew.path, "winners") == [("a", 0, "s-a-1", 1)]
    assert rows(anew.path, "outcomes")[1][:14] == rows(journal.path, "outcomes")[0][:14]
    assert [row[:5] for row in rows(anew.path, "attempts")] == [
        row[:5] for row in rows(journal.path, "attempts")
    ]
    anew.rebuild([(key_of(second), second)], location="w")
    anew.close()


def test_rebuilding_keeps_what_was_delivered(journal):
    """A failure was delivered; its better attempt that came late is counted, not chosen."""
    ended(journal, RolloutOutcome(ids("a"), Status.FAILED, LOST, None, None, TIMINGS), None)
    late = make_attempt("r", "a", session="s-a-1", attempt=1)
    journal.rebuild([(key_of(late), late)], location="w")
    assert rows(journal.path, "winners") == [("a", 0, "s-a-0", 1)]
    assert Journal.read_winners(journal.path) == {"a.0": "s-a-0"}


def test_opening_again_goes_on(journal):
    """What was written stays, and a reader may look while a writer has it open."""
    journal.add_items([("a", 0)])
    again = Journal(journal.path)
    again.add_items([("b", 0), ("a", 0)])
    again.close()
    again.close()
    assert rows(journal.path, "items") == [("a", 0), ("b", 0)]


def test_many_threads_may_write(journal):
    """Each write is whole."""
    threads = [threading.Thread(target=lambda n=n: journal.begin(ids(f"t{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(journal.path, "attempts")) == 8


def test_what_is_no_journal_is_refused(tmp_path):
    """A foreign file, one of another release, a missing folder: one sentence each; nothing is overwritten."""
    foreign = tmp_path / "foreign.sqlite"
    foreign.write_bytes(b"not a database, but long enough to look like something" * 20)
    with pytest.raises(ConfigurationError, match="cannot be used as a journal"):
        Journal(foreign)
    assert foreign.read_bytes().startswith(b"not a database")
    newer = sqlite3.connect(tmp_path / "newer.sqlite")
    newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(ConfigurationError, match="another release"):
        Journal(tmp_path / "newer.sqlite")
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        Journal(tmp_path / "none" / "journal.sqlite")
    assert Journal.read_winners(foreign) == {}
    assert Journal.read_winners(tmp_path / "missing") == {}
