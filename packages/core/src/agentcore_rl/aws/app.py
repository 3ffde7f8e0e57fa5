"""`AgentCoreRLApp`: BedrockAgentCoreApp with a rollout entrypoint.

Everything of the SDK's app keeps working: plain payloads, streaming, `@app.entrypoint`,
`@app.ping`, `@app.websocket`, `async_task`, request headers.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

from bedrock_agentcore.runtime import BedrockAgentCoreApp, PingStatus
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from agentcore_rl.acceptance import Acceptance
from agentcore_rl.entrypoint import Entrypoint
from agentcore_rl.exceptions import ConfigurationError, RequestRefused
from agentcore_rl.logs import logger_of, show_warnings
from agentcore_rl.recorder.scope import Scope, scoped
from agentcore_rl.request import is_rollout
from agentcore_rl.settings import Settings
from agentcore_rl.sink import Sink

__all__ = ["AgentCoreRLApp"]

logger = logger_of(__name__)

_Function = TypeVar("_Function", bound=Callable[..., Any])
_UNDECLARED: Any = object()
CLOSING_S = 10.0
"""Seconds that a shutdown waits for the spool to empty; what is left stays in it for the next start."""


class AgentCoreRLApp(BedrockAgentCoreApp):
    """A drop-in replacement for `BedrockAgentCoreApp` whose agent can be asked for rollouts.

    A payload with `_rollout` (or `_training`) is answered at once; its rollout runs in the
    background, is judged, and its record is stored. Any other payload is answered as before.

    Args:
        debug, lifespan, middleware: as in `BedrockAgentCoreApp`.
        settings: what the environment says, unless given; read at the first use.
    """

    def __init__(
        self,
        debug: bool = False,
        lifespan: Callable[[Any], Any] | None = None,
        middleware: Sequence[Middleware] | None = None,
        *,
        settings: Settings | None = None,
    ) -> None:
        super().__init__(debug=debug, lifespan=self._around(lifespan), middleware=middleware)
        show_warnings()
        self._given_settings = settings
        self._handler: Entrypoint | None = None
        self._acceptance: Acceptance | None = None
        self._sink: Sink | None = None
        self._opening = threading.Lock()
        self._tasks: dict[str, int] = {}

    # ---- what an agent author uses

    @overload
    def rollout_entrypoint(self, function: _Function) -> _Function: ...
    @overload
    def rollout_entrypoint(
        self, *, reward: Callable[..., Any] | None = ...
    ) -> Callable[[_Function], _Function]: ...
    def rollout_entrypoint(
        self, function: Callable[..., Any] | None = None, *, reward: Callable[..., Any] | None = _UNDECLARED
    ) -> Any:
        """Decorator: the agent's entrypoint, for production and for rollouts.

        The function takes the payload, and the request's context if it has a second parameter. It
        may be sync or async, a generator or not, and returns its answer as in production.

        With `reward=`, the reward function is called for rollouts only, outside the handler, with
        `(payload, output, rollout)`. Bare (`@app.rollout_entrypoint`), the function returns a dict
        with `rewards` (and `rollout_data`, if it likes).

        Args:
            function: the function, when the decorator is used bare.
            reward: a `RewardFunction`, or any callable with the same arguments, sync or async;
                None: rollouts are not judged.

        Raises:
            ConfigurationError: the reward is not callable.
        """
        if function is None:
            return functools.partial(self._register, reward=reward)
        return self._register(function, reward=reward)

    def _register(self, function: Callable[..., Any], *, reward: Any) -> Callable[..., Any]:
        declared = reward is not _UNDECLARED
        judge = reward if declared else None
        if judge is not None and not callable(judge):
            raise ConfigurationError(
                f"reward must be a RewardFunction or another callable, not {type(judge).__name__}."
            )
        if isinstance(judge, type):
            raise ConfigurationError(
                f"reward is the class {judge.__name__}; pass an instance: {judge.__name__}()."
            )
        handler = Entrypoint.of(function, judge, declared=declared)
        self._handler = handler
        registered = self.entrypoint(
            self._asynchronous(handler) if _is_async(function) else self._synchronous(handler)
        )
        with contextlib.suppress(AttributeError):  # a bound method takes no attributes
            function.run = registered.run  # type: ignore[attr-defined]
        return function

    def get_current_ping_status(self) -> PingStatus:
        """The SDK's status, but never less than HealthyBusy while a rollout runs or a record waits."""
        status = super().get_current_ping_status()
        return PingStatus.HEALTHY_BUSY if self._busy() else status

    # ---- requests

    def _synchronous(self, handler: Entrypoint) -> Callable[..., Any]:
        # A plain function: the SDK runs it in its thread pool, as it would the handler itself.
        def invoke(payload: Any, context: Any) -> Any:
            with _refusing():
                if is_rollout(payload):
                    return self._deliver(payload, context)
            with scoped(self._plain_scope()):
                value = handler.call(payload, context)
                return _stream(value, contextvars.copy_context()) if inspect.isgenerator(value) else value

        return invoke

    def _asynchronous(self, handler: Entrypoint) -> Callable[..., Any]:
        # A coroutine function: the SDK runs it on its own loop, where nothing may block.
        async def invoke(payload: Any, context: Any) -> Any:
            with _refusing():
                if is_rollout(payload):
                    return await asyncio.to_thread(self._deliver, payload, context)
            scope = self._plain_scope()
            with scoped(scope):
                value = handler.call(payload, context)
                if inspect.isasyncgen(value):
                    return _async_stream(value, scope)
                return await value

        return invoke

    def _deliver(self, payload: Mapping[str, Any], context: Any) -> Mapping[str, Any]:
        return self._open().deliver(payload, session=getattr(context, "session_id", None), context=context)

    def _plain_scope(self) -> Scope:
        settings = self._settings()
        return Scope(settings.endpoint, retries=settings.model_retries)

    # ---- life

    def _settings(self) -> Settings:
        if self._given_settings is None:
            self._given_settings = Settings.from_environment()
            for fence in self._given_settings.open_fences:
                logger.warning("%s is *: a payload may name anything there.", fence)
        return self._given_settings

    def _open(self) -> Acceptance:
        """The acceptance, with its sink, made at the first rollout or at start-up."""
        with self._opening:
            if self._acceptance is None:
                if self._handler is None:
                    raise ConfigurationError(
                        "The app has no rollout entrypoint: decorate one with @app.rollout_entrypoint."
                    )
                settings = self._settings()
                self._sink = Sink(settings.spool)
                self._sink.start()
                self._acceptance = Acceptance(
                    self._handler, settings=settings, sink=self._sink, changed=self._changed
                )
            return self._acceptance

    def _changed(self, key: str, running: bool) -> None:
        """Show each running rollout among the SDK's async tasks."""
        if running:
            self._tasks[key] = self.add_async_task("rollout", {"key": key})
        else:
            task = self._tasks.pop(key, None)
            if task is not None:
                self.complete_async_task(task)

    def _busy(self) -> bool:
        acceptance, sink = self._acceptance, self._sink
        return (acceptance is not None and acceptance.running > 0) or (sink is not None and sink.pending > 0)

    def _around(self, lifespan: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
        @contextlib.asynccontextmanager
        async def around(app: Any) -> AsyncIterator[Any]:
            if self._handler is not None:
                self._open()  # a few calls of the file system, before anything is served
            try:
                if lifespan is None:
                    yield
                else:
                    async with lifespan(app) as state:
                        yield state
            finally:
                await asyncio.to_thread(self._close)

        return around

    def _close(self) -> None:
        with self._opening:
            acceptance, sink = self._acceptance, self._sink
            self._acceptance = self._sink = None
        if acceptance is not None:
            acceptance.close()
        if sink is not None:
            sink.close(CLOSING_S)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Turn a refusal into the HTTP answer that the SDK makes of it."""
    try:
        yield
    except RequestRefused as error:
        raise HTTPException(error.status, str(error)) from None


def _is_async(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    call = getattr(function, "__call__", None)  # noqa: B004 - an object whose __call__ is async counts
    return any(
        inspect.iscoroutinefunction(candidate) or inspect.isasyncgenfunction(candidate)
        for candidate in (function, call)
    )


def _stream(values: Iterator[Any], context: contextvars.Context) -> Iterator[Any]:
    """The same values, each made in the request's own scope whatever thread asks for it."""
    done = object()
    try:
        while (value := context.run(next, values, done)) is not done:
            yield value
    finally:
        close = getattr(values, "close", None)
        if close is not None:
            context.run(close)


async def _async_stream(values: Any, scope: Scope) -> AsyncIterator[Any]:
    with scoped(scope):
        async for value in values:
            yield value
