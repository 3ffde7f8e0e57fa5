"""Which rollout a model call belongs to.

A contextvar holds the scope of the current request: a rollout with its recorder, or a plain
request that records nothing. Contexts are copied into threads and tasks that frameworks start the
usual ways; for the others (a raw thread, a runtime started elsewhere) there is one rule: if the
process runs exactly one rollout, the call is that rollout's and marked as inferred; if several,
it is refused and counted in each; if none, it uses the environment's endpoint.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.exceptions import AmbiguousRollout
from agentcore_rl.settings import Settings

if TYPE_CHECKING:
    from agentcore_rl.recorder.recorder import Recorder

__all__ = ["Scope", "current_recorder", "current_scope", "find_scope", "rollout_scope", "scoped"]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a model call in this place belongs to.

    Attributes:
        endpoint: where its model calls go; None when the deployment names none.
        recorder: of the rollout; None for a plain request.
        stream: what the rollout's request says of streaming.
        retries: further HTTP attempts of one model call.
        rollout: the rollout's ids as one word, for logs; None for a plain request.
    """

    endpoint: Endpoint | None
    recorder: Recorder | None = None
    stream: bool | None = None
    retries: int = 4
    rollout: str | None = None


_scope: ContextVar[Scope | None] = ContextVar("agentcore_rl_scope", default=None)
_running: dict[int, Scope] = {}
_lock = threading.Lock()


def current_scope() -> Scope | None:
    """The scope of this context; None outside of any request."""
    return _scope.get()


def current_recorder() -> Recorder | None:
    """The recorder of the rollout that this code belongs to; None where there is none.

    Outside of any request this is the one rollout that the process runs, if it runs exactly one.
    """
    scope = _scope.get()
    if scope is None:
        with _lock:
            scope = next(iter(_running.values())) if len(_running) == 1 else None
    return scope.recorder if scope is not None else None


def find_scope() -> tuple[Scope, bool]:
    """The scope that a model call made here belongs to, and whether that was inferred.

    Raises:
        AmbiguousRollout: none is in scope and several rollouts are running.
    """
    scope = _scope.get()
    if scope is not None:
        return scope, False
    with _lock:
        running = list(_running.values())
    if len(running) == 1:
        return running[0], True
    if running:
        for other in running:
            if other.recorder is not None:
                other.recorder.count("ambiguous_calls")
        raise AmbiguousRollout(
            f"This model call comes from outside any rollout's own threads while {len(running)} rollouts are "
            "running, so it cannot be assigned to one. Start the thread with contextvars.copy_context().run, "
            "or run one rollout per process."
        )
    settings = Settings.from_environment()
    return Scope(settings.endpoint, retries=settings.model_retries), False


@contextmanager
def scoped(scope: Scope | None) -> Iterator[None]:
    """Make `scope` that of this context."""
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)


@contextmanager
def rollout_scope(scope: Scope) -> Iterator[None]:
    """Make `scope` that of this context and count its rollout as running in this process."""
    with _lock:
        _running[id(scope)] = scope
    try:
        with scoped(scope):
            yield
    finally:
        with _lock:
            _running.pop(id(scope), None)
