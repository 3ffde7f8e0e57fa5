"""A listening socket whose requests one app answers, from its start to an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator

from agentcore_rl.logs import logger_of
from agentcore_rl_gateway.http.asking import Asking, Patience
from agentcore_rl_gateway.http.request import ClientLeft, Request
from agentcore_rl_gateway.refusals import CallRefused

__all__ = ["Listener", "caught_signals"]

logger = logger_of(__name__)

App = Callable[[Request], Awaitable[None]]


class Listener:
    """Serves an app; made in the loop that it serves in.

    Args:
        app: answers one request, to its end.
        sock: bound and listening; closed with the server.
        patience: with clients.
        grace_s: that calls under way have at the end.
    """

    def __init__(self, app: App, sock: socket.socket, patience: Patience, *, grace_s: float = 5.0) -> None:
        self._app, self._socket, self._patience, self._grace_s = app, sock, patience, grace_s
        self._connections: set[Asking] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._at_once = asyncio.Event()

    async def serve(self, started: Callable[[], None]) -> None:
        """Serve until `stop`.

        Args:
            started: called once requests are accepted.
        """
        server = await self._loop.create_server(self._connect, sock=self._socket, backlog=2048)
        try:
            started()
            await self._over.wait()
        finally:
            server.close()
            await self._end()

    def stop(self) -> None:
        """End it, from any thread: calls under way may end first. Asked for again, they may not."""
        with contextlib.suppress(RuntimeError):  # its loop has ended already
            self._loop.call_soon_threadsafe((self._at_once if self._over.is_set() else self._over).set)

    def _connect(self) -> Asking:
        connection = Asking(self._begin, self._connections.discard, self._patience)
        self._connections.add(connection)
        return connection

    def _begin(self, request: Request, refusal: CallRefused | None) -> None:
        task = self._loop.create_task(_refuse(request, refusal) if refusal else self._answer(request))
        request.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request) -> None:
        refusal = CallRefused("The gateway has a defect; its log has the details.", status=500)
        try:
            await self._app(request)
        except ClientLeft:
            pass
        except CallRefused as said:
            refusal = said
        except Exception:
            logger.exception("a request could not be answered")
        if request.over or request.gone:
            return
        if request.begun:
            request.wire.cut()
        else:
            await _refuse(request, refusal)

    async def _end(self) -> None:
        """Let what is under way end, for a while; then break it off."""
        for connection in list(self._connections):
            connection.finish()
        if self._tasks:
            hurried = asyncio.create_task(self._at_once.wait())
            work = asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.wait((work, hurried), timeout=self._grace_s, return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(work, hurried, return_exceptions=True)
        for connection in list(self._connections):
            connection.finish()  # answers that are written still leave
        for _ in range(20):
            if not self._connections:
                return
            await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.cut()
        await asyncio.sleep(0)


async def _refuse(request: Request, refusal: CallRefused) -> None:
    request.keep_alive = False
    reply = refusal.reply()
    await request.answer(reply.status, reply.headers, reply.body)


@contextlib.contextmanager
def caught_signals(interrupted: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM call this; what they did before, they do after the block. In a main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def catch(number: int, _: object) -> None:
        caught.append(number)
        interrupted()

    before = {number: signal.signal(number, catch) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if caught:
        signal.raise_signal(caught[-1])
