"""Resume: what an earlier process of this client left, rollout by rollout.

Nothing that is stored is run again. A rollout whose outcome was delivered is delivered again, as it
was; one whose record came since is read; one that was begun and may still run is joined in its
session; one that failed by infrastructure, or was stopped, gets a further attempt.
"""

from __future__ import annotations

from agentcore_rl.batch.flight import Attempt, Item, given_up, location_of, outcome_of, unrecorded
from agentcore_rl.batch.journal import Journal
from agentcore_rl.batch.terms import Terms
from agentcore_rl.batch.threads import Threads
from agentcore_rl.codec import decode_record
from agentcore_rl.exceptions import RecordNotFound, RecordUnreadable
from agentcore_rl.logs import logger_of
from agentcore_rl.outcome import Phases, RequestIds, RolloutOutcome
from agentcore_rl.read.attempts import is_infrastructure_failure
from agentcore_rl.rollout import Rollout
from agentcore_rl.stores import RecordStore

__all__ = ["Resume"]

_log = logger_of(__name__)
_NOTHING = Phases(None, None, None, None, 0.0)


class Resume:
    """What is left of a run.

    Args:
        journal: of the run.
        store: where its records are.
        terms: of the run.
        threads: where blocking calls are made.
    """

    def __init__(self, journal: Journal, store: RecordStore, terms: Terms, threads: Threads) -> None:
        self._journal, self._store, self._terms, self._threads = journal, store, terms, threads
        self._unread: dict[str, list[str]] = {}

    async def prepare(self) -> None:
        """List what is stored and not in the journal.

        Raises:
            StoreUnavailable: the store cannot be listed.
        """
        known = await self._threads.recall(self._journal.recorded_sessions)
        self._unread = await self._threads.call(lambda: self._list(known))

    def _list(self, known: set[str]) -> dict[str, list[str]]:
        unread: dict[str, list[str]] = {}
        for stored in self._store.list(self._terms.folder):
            parts = stored.key.removeprefix(self._terms.folder).split("/")
            if len(parts) == 2 and parts[1].removesuffix(".json") not in known:
                unread.setdefault(parts[0], []).append(stored.key)
        return unread

    async def recall(self, item: Item) -> RolloutOutcome | bool:
        """What is known of an item; its attempts are filled in.

        Returns:
            The outcome that was delivered before; True when one of its attempts counts as it is;
            False when an attempt is to be begun, or joined.
        """
        known = await self._threads.recall(lambda: self._journal.attempts_of(item.task.id, item.sample))
        for each in known:
            if each.won and each.outcome is not None and not is_infrastructure_failure(each.outcome.failure):
                return each.outcome
        attempts = {
            each.ids.session: Attempt(
                each.ids,
                outcome=_stopped(each.ids) if each.outcome is None and each.stopped else each.outcome,
                recorded=each.outcome is not None and each.outcome.location is not None,
            )
            for each in known
        }
        for key in self._unread.pop(item.rollout_id, ()):
            rollout = await self._threads.call(lambda key=key: self._read(key))  # type: ignore[misc]
            if rollout is None or (rollout.run, rollout.input_id) != (self._terms.run, item.rollout_id):
                continue
            ids = self._terms.ids(item.task, item.sample, rollout.attempt)
            if ids.key != key:
                continue
            outcome = outcome_of(ids, rollout, location_of(self._store, key), _NOTHING)
            attempts[ids.session] = Attempt(ids, outcome=outcome, recorded=True)
            await self._threads.note(lambda o=outcome, r=rollout: self._found(o, r))  # type: ignore[misc]
        item.attempts = sorted(attempts.values(), key=lambda attempt: attempt.attempt)
        for attempt in item.attempts:
            if attempt.outcome is None and attempt is not item.current:
                attempt.outcome = _stopped(attempt.ids)
        ended = [attempt for attempt in item.attempts if attempt.outcome is not None]
        if any(not is_infrastructure_failure(attempt.failure) for attempt in ended):
            return True
        if item.attempts and item.current.outcome is None:
            item.current.rejoined = True
        return False

    def _found(self, outcome: RolloutOutcome, rollout: Rollout) -> None:
        self._journal.begin(outcome.request)
        self._journal.attempt_ended(outcome, rollout)

    def _read(self, key: str) -> Rollout | None:
        try:
            return decode_record(self._store.get(key))
        except (RecordNotFound, RecordUnreadable, ValueError) as error:
            _log.warning("%s is no record that can be read: %s", key, error)
            return None


def _stopped(ids: RequestIds) -> RolloutOutcome:
    """Of an attempt that was begun, then given up by an earlier process of this client."""
    return unrecorded(ids, given_up(), _NOTHING)
