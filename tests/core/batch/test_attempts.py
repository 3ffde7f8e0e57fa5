"""What infrastructure failed is tried again in a new session; exactly one attempt counts."""

import asyncio
import sqlite3
from contextlib import closing

import pytest

from agentcore_rl.batch import BatchRunner, Pace
from agentcore_rl.exceptions import OutcomeUnknown
from agentcore_rl.limits import Limiter, Quotas
from agentcore_rl.rollout import FailureKind, Status, derive_session
from agentcore_rl.tasks import task_from_payload
from inprocess_launcher import InProcessLauncher, make_attempt, store_rollout, until

PACE = Pace(
    hear_s=0.1,
    list_s=0.1,
    look_s=0.05,
    grace_s=0.05,
    idle_s=5,
    past_deadline_s=0.2,
    store_s=0.5,
    again_s=0.02,
)


def task(name, *tries):
    """A task whose attempts do this, one after the other."""
    return task_from_payload({"id": name, "prompt": "2 + 2?", "does": {"tries": list(tries)}})


def batch(launcher, notices=None, **options):
    """A quick batch on the launcher's own store."""
    options = {"run": "r", "pace": PACE, **options}
    return BatchRunner(launcher, store=launcher.store, notices=notices, **options)


async def all_of(runner, tasks):
    """The outcomes of a batch by rollout id."""
    return {outcome.request.rollout_id: outcome async for outcome in runner.run(tasks)}


def rows(path, query):
    """What a journal says."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


FINE = {"reward": 1.0}


@pytest.mark.parametrize(
    "first",
    [
        {"leaves": "nothing"},
        {"leaves": "garbage"},
        {"leaves": "infrastructure"},
        {"raises": "SessionLost"},
        {"raises": "ZeroDivisionError"},
    ],
    ids=str,
)
async def test_infrastructure_failures_are_tried_again_in_a_new_session(store, notices, first):
    """The second attempt's record is the outcome, and the first one's session is stopped."""
    launcher = InProcessLauncher(store, notices)
    outcome = (await all_of(batch(launcher, notices), [task("a", first, FINE)]))["a.0"]
    assert outcome.status is Status.SUCCEEDED
    assert (outcome.request.attempt, outcome.attempts, outcome.reward.value) == (1, 2, 1.0)
    assert outcome.request.session == derive_session("r", "a", 0, 1)
    assert launcher.alive == []
    assert derive_session("r", "a", 0, 0) in launcher.stopped


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        ({"leaves": "failure"}, FailureKind.AGENT),
        ({"raises": "LaunchRejected"}, FailureKind.CONTRACT),
        ({"raises": "InvalidRequest"}, FailureKind.CONTRACT),
    ],
    ids=str,
)
async def test_what_the_policy_or_the_user_did_is_never_tried_again(store, first, kind):
    """One attempt, one failure."""
    launcher = InProcessLauncher(store)
    outcome = (await all_of(batch(launcher), [task("a", first, FINE)]))["a.0"]
    assert (outcome.failure.kind, outcome.attempts) == (kind, 1)
    assert len(launcher.delivered) == 1


async def test_attempts_are_bounded(store):
    """When all fail, the last one stands, failed; with one attempt nothing is tried again."""
    launcher = InProcessLauncher(store)
    runner = batch(launcher, attempts=3)
    outcome = (await all_of(runner, [task("a", {"leaves": "infrastructure"})]))["a.0"]
    assert (outcome.request.attempt, outcome.attempts) == (2, 3)
    assert outcome.failure.kind is FailureKind.ENVIRONMENT
    assert runner.progress.again == 2
    assert runner.progress.failed == {"environment": 1}
    once = InProcessLauncher(store)
    outcome = (await all_of(batch(once, run="once", attempts=1), [task("a", {"leaves": "nothing"}, FINE)]))[
        "a.0"
    ]
    assert (outcome.failure.kind, outcome.attempts) == (FailureKind.RUNTIME, 1)


async def test_an_attempt_that_arrives_while_its_successor_runs_counts(store, notices, tmp_path):
    """The lowest sound attempt wins; the successor is stopped, and nothing comes twice."""
    launcher = InProcessLauncher(store, notices)
    first = make_attempt("r", "a", session=derive_session("r", "a", 0, 0))

    async def arrive():
        await until(lambda: len(launcher.delivered) == 2)
        await asyncio.to_thread(store_rollout, store, first)

    arriving = asyncio.create_task(arrive())
    runner = batch(launcher, notices, folder=tmp_path / "run")
    outcomes = [outcome async for outcome in runner.run([task("a", {"leaves": "nothing"}, {"seconds": 60})])]
    await arriving
    assert [(each.request.attempt, each.attempts) for each in outcomes] == [(0, 2)]
    assert launcher.alive == []
    assert rows(tmp_path / "run" / "journal.sqlite", "SELECT session FROM winners") == [(first.session,)]


async def test_an_attempt_that_arrives_after_its_successor_was_stored_counts(store, notices):
    """What is stored when the outcome is decided takes part, heard of or not: readers decide the same."""
    first = make_attempt("r", "a", session=derive_session("r", "a", 0, 0))

    class Late(InProcessLauncher):
        async def start(self, session, payload):
            if payload["_rollout"].get("attempt") == 1:
                await asyncio.to_thread(store_rollout, self.store, first)
            return await super().start(session, payload)

    launcher = Late(store, notices)
    deaf = Pace(hear_s=0.1, list_s=600, look_s=0.05, grace_s=0.05, again_s=0.02)
    outcomes = await all_of(batch(launcher, notices, pace=deaf), [task("a", {"leaves": "nothing"}, FINE)])
    assert outcomes["a.0"].request.attempt == 0


async def test_an_attempt_that_arrives_after_delivery_is_late(store, notices, tmp_path):
    """The outcome that was delivered stays; the journal counts the other as late."""
    launcher = InProcessLauncher(store, notices)
    first = make_attempt("r", "a", session=derive_session("r", "a", 0, 0))
    runner = batch(launcher, notices, folder=tmp_path / "run", concurrency=2)
    order = []
    tasks = [task("a", {"leaves": "nothing"}, FINE), task("long", {"seconds": 0.8})]
    async for outcome in runner.run(tasks):
        order.append((outcome.request.task, outcome.request.attempt))
        if outcome.request.task == "a":
            await asyncio.to_thread(store_rollout, store, first)
    assert sorted(order) == [("a", 1), ("long", 0)]
    found = rows(tmp_path / "run" / "journal.sqlite", "SELECT session, late FROM winners WHERE task = 'a'")
    assert found == [(derive_session("r", "a", 0, 1), 1)]


async def test_a_record_of_another_rollout_at_a_key_is_no_record(store):
    """It counts as unreadable, so the rollout is tried again."""
    session = derive_session("r", "a", 0, 0)
    stranger = make_attempt("r", "b", session=session)

    class Mixed(InProcessLauncher):
        async def start(self, session, payload):
            if payload["_rollout"].get("attempt") == 0:
                from agentcore_rl.codec import encode_record

                key = f"r/a.0/{session}.json"
                content = encode_record(stranger, bucket="", key=key)
                await asyncio.to_thread(self.store.put_if_absent, key, content)
            return await super().start(session, payload)

    outcome = (await all_of(batch(Mixed(store)), [task("a", {"seconds": 60}, FINE)]))["a.0"]
    assert (outcome.request.attempt, outcome.reward.value) == (1, 1.0)


async def test_no_answer_to_a_start_never_starts_a_second_session(store):
    """It is asked again with the same session, which joins; then its record is waited for."""
    starts = []

    class Silent(InProcessLauncher):
        async def start(self, session, payload):
            answer = await super().start(session, payload)
            if "probe" not in payload["_rollout"]:
                starts.append(session)
                if len(starts) == 1:
                    raise OutcomeUnknown("No answer within 60 s.")
            return answer

    outcome = (await all_of(batch(Silent(store)), [task("a", {"seconds": 2, "reward": 1.0})]))["a.0"]
    assert outcome.status is Status.SUCCEEDED
    assert starts == [outcome.request.session] * 2


async def test_groups_are_admitted_together(store):
    """All samples of a task begin before those of the next, and a further attempt before what waits."""
    launcher = InProcessLauncher(store)
    quick = {"seconds": 0.01}
    tasks = [
        task("a", {"leaves": "infrastructure"}, quick),
        task("b", quick),
        task("c", quick),
        task("d", quick),
    ]
    pace = Pace(hear_s=0.1, list_s=0.05, look_s=5, again_s=0.001)
    await all_of(batch(launcher, pace=pace, concurrency=1, samples=3), tasks)
    order = [payload["_rollout"]["input_id"] for _, payload in launcher.delivered]
    assert [name for name in order if not name.startswith("a")] == [
        f"{t}.{n}" for t in "bcd" for n in range(3)
    ]
    assert max(at for at, name in enumerate(order) if name.startswith("a")) < order.index("b.1")


async def test_the_budget_is_the_launchers_and_shared(store):
    """Two batches at one launcher keep its number of sessions together, and give all places back."""
    launcher = InProcessLauncher(store, concurrent=3)
    tasks = [task(f"t{n}", {"seconds": 0.02}) for n in range(6)]
    both = [batch(launcher, run=run, concurrency=6) for run in ("one", "two")]
    await asyncio.gather(*(all_of(runner, tasks) for runner in both))
    assert launcher.most_alive <= 3
    assert launcher.limiter.sessions.taken == 0


async def test_new_sessions_keep_their_rate(store):
    """Starts, those of further attempts among them, take their turns from the budget."""
    launcher = InProcessLauncher(store)
    launcher.limiter = Limiter(Quotas(new_sessions_per_s=20))
    began = asyncio.get_running_loop().time()
    await all_of(batch(launcher, concurrency=20), [task(f"t{n}", FINE) for n in range(12)])
    assert asyncio.get_running_loop().time() - began >= 11 / 20 - 0.15  # a few may come at once


async def test_breaking_off_between_two_attempts_leaves_nothing(store):
    """Nothing begins any more, and every place is free."""
    launcher = InProcessLauncher(store, concurrent=2)
    pace = Pace(hear_s=0.1, list_s=0.1, look_s=0.05, again_s=60)
    async with batch(launcher, pace=pace, concurrency=2) as runner:
        async for _ in runner.run([task("a", {"raises": "SessionLost"}), task("b", {"seconds": 0.3})]):
            break
    assert len(launcher.delivered) == 2
    assert launcher.limiter.sessions.taken == 0
    assert launcher.alive == []
