"""Takes payloads that ask for rollouts: checks them, runs each once, keeps its record.

The same ids delivered again join the first delivery and get its answer; with another payload they
are refused. No HTTP here: `aws.app` translates.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from agentcore_rl.codec import encode_record
from agentcore_rl.entrypoint import Entrypoint, RolloutLife
from agentcore_rl.exceptions import (
    ConflictingRequest,
    ContractError,
    NotAcceptingRollouts,
    RecordNotFound,
    StoreError,
)
from agentcore_rl.logs import logger_of
from agentcore_rl.request import Parsed, Probe, parse
from agentcore_rl.rollout import Failure, FailureKind, Rollout, RolloutRequest, Status
from agentcore_rl.settings import Settings
from agentcore_rl.sink import Sink
from agentcore_rl.stores import Notice, RecordStore
from agentcore_rl.stores.places import object_of, open_store

__all__ = ["Acceptance"]

logger = logger_of(__name__)

REMEMBERED = 10_000
"""Deliveries that are remembered, the latest; an older one is answered by its stored record."""
LOOK_S = 3.0
"""Seconds for which a rollout's answer waits for a store that hangs. Then its agent runs, at worst once more:
a record is only put where there is none."""


@dataclass(frozen=True, slots=True)
class _Accepted:
    digest: str
    answer: Mapping[str, Any]


class Acceptance:
    """The rollouts of one app process.

    Args:
        handler: the user's function and its reward.
        settings: the deployment's.
        sink: keeps the records.
        changed: called with a rollout's key and whether it runs, when it starts and when it ends.
    """

    def __init__(
        self,
        handler: Entrypoint,
        *,
        settings: Settings,
        sink: Sink,
        changed: Callable[[str, bool], None] = lambda key, running: None,
    ) -> None:
        self._handler = handler
        self._settings = settings
        self._sink = sink
        self._changed = changed
        self._lock = threading.Lock()
        self._accepted: OrderedDict[tuple[str, str, int, str], _Accepted] = OrderedDict()
        self._lives: dict[str, RolloutLife] = {}
        self._closing = False
        self._told = False

    @property
    def running(self) -> int:
        """Rollouts whose record is not made yet."""
        with self._lock:
            return len(self._lives)

    def deliver(self, payload: Mapping[str, Any], *, session: str | None, context: Any) -> Mapping[str, Any]:
        """Start the rollout that a payload asks for, unless it was started before; the immediate answer.

        Blocks for file and store access, never for the rollout.

        Raises:
            RequestRefused: its subclass says why, and the HTTP status.
        """
        parsed = parse(payload, session=session, settings=self._settings)
        if isinstance(parsed, Probe):
            return self._probe(parsed)
        request = parsed.request
        ids = (request.run, request.task, request.sample, request.session)
        bucket, name = self._object_of(request)
        answer = {"status": "processing", "s3_bucket": bucket, "result_key": name}
        with self._lock:
            known = self._accepted.get(ids)
            if known is not None:
                self._accepted.move_to_end(ids)
                if known.digest != parsed.digest:
                    raise ConflictingRequest(
                        f"Run {request.run}, task {request.task}, sample {request.sample} was delivered to "
                        f"session {request.session} before, with another payload; "
                        "use another session or another sample."
                    )
                return known.answer
            if self._closing:
                raise NotAcceptingRollouts("The app is shutting down and accepts no more rollouts.")
            self._accepted[ids] = _Accepted(parsed.digest, answer)
            while len(self._accepted) > REMEMBERED:
                self._accepted.popitem(last=False)
        try:
            self._begin(parsed, context)
        except BaseException:
            with self._lock:
                self._accepted.pop(ids, None)
            raise
        return answer

    def _begin(self, parsed: Parsed, context: Any) -> None:
        request = parsed.request
        if self._stored(request):
            logger.info("Rollout %s has its record already; the agent is not run again.", request.key)
            return
        if not self._sink.accepting:
            raise NotAcceptingRollouts(
                "The spool of this app cannot be written, so a finished rollout could be lost; "
                "see the app's log for the reason, then deliver this rollout again."
            )
        life = RolloutLife(
            request,
            self._handler,
            settings=self._settings,
            secrets=parsed.secrets,
            context=context,
            keep=lambda rollout: self._keep(rollout, parsed),
        )
        with self._lock:
            if self._closing:
                raise NotAcceptingRollouts("The app is shutting down and accepts no more rollouts.")
            self._lives[request.key] = life
        self._changed(request.key, True)
        life.start()

    def _stored(self, request: RolloutRequest) -> bool:
        """Whether an earlier process of this session finished this rollout."""
        if self._sink.holds(request.key):
            return True
        store = open_store(self._settings.store, bucket=request.destination.bucket)
        found: list[bool | Exception] = []
        look = threading.Thread(
            target=lambda: found.append(_there(store, request.key)), name="look", daemon=True
        )
        look.start()
        look.join(LOOK_S)
        outcome = found[0] if found else TimeoutError(f"{store.location} gave no answer in {LOOK_S:g} s.")
        if isinstance(outcome, bool):
            return outcome
        # Once: a role that may only put is told so for every rollout.
        level = logging.INFO if self._told else logging.WARNING
        self._told = True
        logger.log(level, "Could not look whether %s is stored already: %s", request.key, outcome)
        return False

    def _probe(self, probe: Probe) -> Mapping[str, Any]:
        """Put a small object where a record of this run would go."""
        store = open_store(self._settings.store, bucket=probe.destination.bucket)
        try:
            store.put_if_absent(probe.key, msgspec.json.encode({"probe": probe.token}))
        except StoreError as error:
            raise NotAcceptingRollouts(
                f"The app cannot write to its record store {store.location}: {error}"
            ) from None
        return {
            "status": "ready",
            "probe_key": probe.key,
            "store": store.location,
            "s3_bucket": object_of(self._settings.store, probe.key, bucket=probe.destination.bucket)[0],
        }

    def _keep(self, rollout: Rollout, parsed: Parsed) -> None:
        request = parsed.request
        bucket, name = self._object_of(request)
        try:
            try:
                content = encode_record(rollout, bucket=bucket, key=name, secrets=parsed.secrets)
            except ContractError as error:
                rollout = _unencodable(rollout, error)
                content = encode_record(rollout, bucket=bucket, key=name, secrets=parsed.secrets)
            self._sink.accept(
                content,
                key=request.key,
                location=self._settings.store,
                bucket=request.destination.bucket,
                prefix=request.destination.prefix,
                queue=request.destination.queue,
                notice=_notice(rollout, request, content),
            )
        finally:
            with self._lock:
                self._lives.pop(request.key, None)
            self._changed(request.key, False)

    def _object_of(self, request: RolloutRequest) -> tuple[str, str]:
        """Where clients of S3 find the record: bucket and key, with the store's prefix."""
        return object_of(self._settings.store, request.key, bucket=request.destination.bucket)

    def close(self) -> None:
        """Accept nothing more, and end what runs with a record that says so."""
        with self._lock:
            self._closing = True
            lives = list(self._lives.values())
        for life in lives:
            life.stop("the app was shut down")


def _unencodable(rollout: Rollout, error: ContractError) -> Rollout:
    """The record of a rollout whose output slipped through: everything but that output."""
    failure = Failure(FailureKind.CONTRACT, str(error), type=type(error).__name__)
    return replace(rollout, status=Status.FAILED, failure=failure, output=None, reward=None)


def _notice(rollout: Rollout, request: RolloutRequest, content: bytes) -> Notice:
    return Notice(
        run=rollout.run,
        task=rollout.task,
        sample=rollout.sample,
        attempt=rollout.attempt,
        session=rollout.session,
        key=request.key,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        status=rollout.status.value,
        reward=rollout.reward.value if rollout.reward is not None else None,
    )


def _there(store: RecordStore, key: str) -> bool | Exception:
    """Whether a store has an object, or why that cannot be told."""
    try:
        store.get(key)
    except RecordNotFound:
        return False
    except Exception as error:  # noqa: BLE001 - told by who waits, in another thread
        return error
    return True
