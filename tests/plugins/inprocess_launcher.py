"""A small honest launcher: "sessions" are asyncio tasks that store real records in a real store.

What a session does is said by the task's payload, under `does`:

    seconds       how long it is busy (0.01)
    reward        of its record (None)
    leaves        "record", "failure" (a record that failed), "infrastructure" (one that infrastructure
                  failed), "garbage" (no record at the record's key), "nothing" (it dies silently)
    announced     whether a notice is sent (True), or how often
    raises        name of the error that `start` raises
    later         how often `start` says RetryLater before it accepts
    tries         a list of such objects, one per attempt; the last one holds for all further attempts
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from agentcore_rl import exceptions
from agentcore_rl.codec import encode_record
from agentcore_rl.launchers import SessionStatus
from agentcore_rl.limits import Limiter, Quotas
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Failure, FailureKind, Rollout, Status
from agentcore_rl.stores import Notice, Notices, RecordStore
from made_rollouts import make_rollout


def make_attempt(run: str, task: str, sample: int = 0, *, session: str, **fields: Any) -> Rollout:
    """The record of one attempt with one turn, not judged."""
    ids = {"run": run, "task": task, "sample": sample, "session": session, "input_id": f"{task}.{sample}"}
    return make_rollout(**{"reward": None, **ids, **fields})


def key_of(rollout: Rollout) -> str:
    """The key at which a record lies."""
    return f"{rollout.run}/{rollout.input_id}/{rollout.session}.json"


def store_rollout(store: RecordStore, rollout: Rollout) -> str:
    """Put a record in its place; its key."""
    key = key_of(rollout)
    store.put_if_absent(key, encode_record(rollout, bucket="", key=key))
    return key


def what(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the attempt that this payload asks for does."""
    does: Mapping[str, Any] = payload.get("does", {})
    tries = does.get("tries")
    return tries[min(payload["_rollout"]["attempt"], len(tries) - 1)] if tries else does


class InProcessLauncher:
    """Implements `Launcher`; sessions live in this process."""

    def __init__(
        self,
        store: RecordStore,
        notices: Notices | None = None,
        *,
        concurrent: int | None = None,
    ) -> None:
        self.store = store
        self.notices = notices
        self.limiter = Limiter(Quotas(active_sessions=concurrent))
        self.delivered: list[tuple[str, Mapping[str, Any]]] = []
        self.probes = 0
        self.stopped: list[str] = []
        self.most_alive = 0
        self._said_later: Counter[str] = Counter()
        self._sessions: dict[str, asyncio.Task[None] | None] = {}

    @property
    def alive(self) -> list[str]:
        """Sessions that were started and neither stopped nor died."""
        return [session for session, task in self._sessions.items() if task is not None]

    async def start(self, session: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        fields = payload["_rollout"]
        if "probe" in fields:
            self.probes += 1
            key = f"{fields['exp_id']}/probe-{fields['probe']}.json"
            content = msgspec.json.encode({"probe": fields["probe"]})
            await asyncio.to_thread(self.store.put_if_absent, key, content)
            return {"status": "ready", "probe_key": key, "store": self.store.location}
        does = what(payload)
        if self._said_later[session] < does.get("later", 0):
            self._said_later[session] += 1
            raise exceptions.RetryLater("Too many.", after_s=0.01)
        self.delivered.append((session, payload))
        if does.get("raises") == "OutcomeUnknown":
            self._begin(session, payload)
            raise exceptions.OutcomeUnknown("No answer.")
        if "raises" in does:
            kinds = {"ZeroDivisionError": ZeroDivisionError}
            raise (kinds.get(does["raises"]) or getattr(exceptions, does["raises"]))("It did not work.")
        self._begin(session, payload)
        return {"status": "processing"}

    def _begin(self, session: str, payload: Mapping[str, Any]) -> None:
        if self._sessions.get(session) is not None:  # it joins the rollout that runs
            return
        self._sessions[session] = asyncio.create_task(self._live(session, payload))
        self.most_alive = max(self.most_alive, len(self.alive))

    async def _live(self, session: str, payload: Mapping[str, Any]) -> None:
        does, fields = what(payload), payload["_rollout"]
        await asyncio.sleep(does.get("seconds", 0.01))
        leaves = does.get("leaves", "record")
        if leaves == "nothing":
            self._sessions[session] = None
            return
        task, _, sample = fields["input_id"].rpartition(".")
        changes: dict[str, Any] = {}
        if "reward" in does:
            changes["reward"] = Reward(does["reward"])
        if leaves == "failure":
            changes = {"status": Status.FAILED, "failure": Failure(FailureKind.AGENT, "It raised.")}
        if leaves == "infrastructure":
            failure = Failure(FailureKind.ENVIRONMENT, "It broke.", retryable=True)
            changes = {"status": Status.FAILED, "failure": failure}
        changes["attempt"] = fields["attempt"]
        rollout = make_attempt(fields["exp_id"], task, int(sample), session=session, **changes)
        key = key_of(rollout)
        content = b"no record" if leaves == "garbage" else encode_record(rollout, bucket="", key=key)
        await asyncio.to_thread(self.store.put_if_absent, key, content)
        ids = (rollout.run, rollout.task, rollout.sample, rollout.attempt, session)
        notice = Notice(*ids, key, len(content), "", rollout.status.value, None)
        for _ in range(int(does.get("announced", True)) if self.notices is not None else 0):
            await asyncio.to_thread(self.notices.send, notice)

    async def status(self, session: str) -> SessionStatus:
        task = self._sessions.get(session)
        if task is None:
            return SessionStatus.GONE
        return SessionStatus.IDLE if task.done() else SessionStatus.BUSY

    async def stop(self, session: str) -> None:
        self.stopped.append(session)
        task = self._sessions.get(session)
        self._sessions[session] = None
        if task is not None:
            task.cancel()

    async def aclose(self) -> None:
        for session in self.alive:
            await self.stop(session)


async def until(true: Any, *, within_s: float = 5.0) -> None:
    """Wait until a condition holds; fails when it does not in time."""
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.01)
