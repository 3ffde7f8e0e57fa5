"""Before a batch begins: whether its app writes where its client reads."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from agentcore_rl.batch.submit import start_patiently
from agentcore_rl.batch.threads import Threads, finish
from agentcore_rl.exceptions import (
    ConfigurationError,
    LaunchRejected,
    RecordNotFound,
    RequestRefused,
    StoreUnavailable,
)
from agentcore_rl.launchers import Launcher
from agentcore_rl.stores import RecordStore

__all__ = ["probe"]

_PATIENCE_S = 10.0  # an app that cannot write says "later" too, and whoever waits should read why


async def probe(
    launcher: Launcher,
    store: RecordStore,
    session: str,
    *,
    payload_of: Callable[[str], Mapping[str, Any]],
    busy_s: float,
    threads: Threads,
    stop: Callable[[str], Coroutine[Any, Any, None]],
) -> None:
    """Let the app put a small object where it would put a record, and read it from here.

    Args:
        launcher: reaches the app.
        store: that this client reads.
        session: that is started for it, and stays for the first rollout.
        payload_of: what asks the app to put this token there.
        busy_s: that the app may say it is busy.
        threads: where the store is read.
        stop: ends the session, where the app does not pass.

    Raises:
        ConfigurationError: it writes elsewhere, or is no app of this library.
        StoreUnavailable: this client cannot read its store.
    """
    token = secrets.token_hex(8)
    try:
        try:
            answer = await start_patiently(
                launcher,
                session,
                payload_of(token),
                patience_s=_PATIENCE_S,
                busy_s=max(busy_s, _PATIENCE_S),
            )
        except (LaunchRejected, RequestRefused) as error:
            raise ConfigurationError(f"The app takes no rollouts of this run: {error}") from error
        await _check(answer, token, store, threads)
    except BaseException:
        await finish(stop(session))
        raise


async def _check(answer: Mapping[str, Any], token: str, store: RecordStore, threads: Threads) -> None:
    key = answer.get("probe_key")
    if not isinstance(key, str):
        raise ConfigurationError(
            "The app was asked where it writes its records and answered something else: it has no "
            "function under @app.rollout_entrypoint, or is no agentcore-rl app of this release."
        )
    content = b""
    until = time.monotonic() + _PATIENCE_S
    pauses = [0.0, 0.2, 0.5]
    while pauses:
        await asyncio.sleep(pauses.pop(0))
        try:
            content = await threads.call(lambda: store.get(key))
            break
        except (RecordNotFound, ValueError):
            continue
        except StoreUnavailable:
            if time.monotonic() > until:
                raise
            pauses.insert(0, 0.5)
    if token.encode() not in content:
        there = next(
            (answer[name] for name in ("store", "location") if isinstance(answer.get(name), str)), None
        )
        raise ConfigurationError(
            f"The app writes its records to {there} (it put {key} there), but this client reads "
            f"{store.location}, where that is not: give both the same store "
            "(AGENTCORE_RL_STORE is the app's)."
        )
