"""ScriptedModel: an OpenAI-compatible model server that plays a script and logs every byte.

    with ScriptedModel([Answer(tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), Answer("3")]) as model:
        run_my_agent(base_url=model.base_url)

It runs in a thread of this process, with an event loop of its own. Files: `script.py` has the lines,
`spelling.py` makes answers of them, `playing.py` bytes, and `http1.py` moves these.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeAlias, get_args

from agentcore_rl.testing.http1 import BadRequest, Connection, Request
from agentcore_rl.testing.playing import Action, Close, Pause, Send, play, status, whole
from agentcore_rl.testing.script import Line, ScriptError, Status, answer_of, mismatch
from agentcore_rl.testing.served_call import ServedCall, invalid, marked_conversation
from agentcore_rl.testing.spelling import Engine, Spelling, to_json

__all__ = [
    "Conversation",
    "Script",
    "ScriptedModel",
]

_BACKLOG = 1024


Conversation: TypeAlias = Sequence[Line]
"""Lines that are played in order."""
Script: TypeAlias = Conversation | Mapping[str, Conversation] | Callable[[ServedCall], Line]
"""What `ScriptedModel` plays: one conversation, several by key, or a function that returns each line."""


class ScriptedModel:
    """An OpenAI-compatible chat completions server on 127.0.0.1 that plays a script, one line per request.

    Use it as a context manager: leaving the block stops the server and raises ScriptError if the script was
    not played as written. A request that the script does not foresee is answered with a 400 whose error code
    is "script_violation", and is kept in `violations`.
    """

    def __init__(
        self,
        script: Script,
        *,
        key: Callable[[ServedCall], str | None] | None = None,
        engine: Engine = "vllm",
        model_id: str = "scripted",
    ) -> None:
        """Prepare a server.

        Args:
            script: Lines, played in order of arrival; or several conversations by key, each played in its
                own order; or a function of the call that returns the line to play (called in a thread, at
                most 32 at once; what it raises is a violation).
            key: Which conversation a call belongs to, for a script of several. None: KEY of the first
                `[[conversation:KEY]]` that stands in the messages.
            engine: How token ids are given: "vllm" (`return_token_ids`), "llama.cpp" (in the logprobs), or
                "openai" (not at all).
            model_id: What `/v1/models` lists, and answers carry where the request names no model.

        Raises:
            TypeError: The script holds something that is no line.
        """
        self._choose: Callable[[ServedCall], Line] | None = None
        self._conversations: dict[str | None, tuple[Line, ...]] = {}
        if isinstance(script, Mapping):
            self._conversations.update({name: tuple(lines) for name, lines in script.items()})
        elif callable(script):
            self._choose = script
        else:
            self._conversations[None] = tuple(script)
        for lines in self._conversations.values():
            for line in lines:
                _check_line(line)
        self._read = dict.fromkeys(self._conversations, 0)
        self._several = isinstance(script, Mapping)
        self._key = key or marked_conversation
        self._engine = engine
        self._model_id = model_id
        self._calls: list[ServedCall] = []
        self._number = 0
        self._violations: list[str] = []
        self._quiet = threading.Condition()
        self._under_way = 0
        self._connections: set[Connection] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._thread: threading.Thread | None = None
        self._port: int | None = None

    # Life

    def start(self) -> Self:
        """Listen on a free port; requests are answered from now on. A model is started once."""
        if self._thread is not None:
            raise RuntimeError("this ScriptedModel has been started already; make a new one for another play")
        listening = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        # asyncio sets it only on sockets that it makes itself; without it a small answer waits 40 ms.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port = listening.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(
            target=self._run, args=(listening,), name=f"scripted-model-{self._port}", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Break off what is under way and stop listening. A second call does nothing."""
        if self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None:
            self.assert_finished()
        elif complaint := self._complaint():
            error.add_note(complaint)  # often the cause of the error, and must not hide it

    # What happened

    @property
    def base_url(self) -> str:
        """The address to give to a client, e.g. "http://127.0.0.1:40123/v1"."""
        if self._port is None:
            raise RuntimeError("this ScriptedModel is not started; use it in a with-block, or call start()")
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def model_id(self) -> str:
        """The model's id, as `/v1/models` lists it."""
        return self._model_id

    @property
    def calls(self) -> tuple[ServedCall, ...]:
        """All requests so far, of any path, in order of arrival."""
        return tuple(self._calls)

    @property
    def violations(self) -> tuple[str, ...]:
        """What broke the script so far, one sentence each."""
        return tuple(self._violations)

    @property
    def unread(self) -> tuple[Line, ...]:
        """The lines that no request has consumed yet."""
        return tuple(
            line for name, lines in self._conversations.items() for line in lines[self._read[name] :]
        )

    def settle(self, timeout_s: float = 5.0) -> None:
        """Wait until no call is under way; after it the log of calls that clients left is complete too.

        Raises:
            TimeoutError: A call was still under way after `timeout_s` seconds.
        """
        with self._quiet:
            if not self._quiet.wait_for(lambda: not self._under_way, timeout_s):
                raise TimeoutError(f"{self._under_way} calls are still under way after {timeout_s} s")

    def take_calls(self) -> tuple[ServedCall, ...]:
        """Return all requests so far and forget them, so that a long test stays small."""
        taken, self._calls = self._calls, []
        return tuple(taken)

    def assert_finished(self) -> None:
        """Raise ScriptError if lines are unread or a request broke the script."""
        complaint = self._complaint()
        if complaint:
            raise ScriptError(complaint)

    def _complaint(self) -> str:
        said = [f"the script was broken: {violation}" for violation in self._violations]
        for name, lines in self._conversations.items():
            if self._read[name] < len(lines):
                where = f"conversation {name!r}" if self._several else "the script"
                said.append(
                    f"{where} has {len(lines)} lines and {len(lines) - self._read[name]} were not read; "
                    f"next would have been {lines[self._read[name]]!r:.300}"
                )
        return "\n".join(said)

    # The server's thread

    def _run(self, listening: socket.socket) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._listen(listening))
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)

    async def _listen(self, listening: socket.socket) -> None:
        server = await self._loop.create_server(
            lambda: Connection(self._serve, self._refuse, self._connections), sock=listening, backlog=_BACKLOG
        )
        await self._stopping.wait()
        server.close()
        tasks = [connection.task for connection in self._connections]
        for connection in self._connections:
            connection.task.cancel()
            connection.abort()
        await asyncio.gather(*tasks, return_exceptions=True)  # asyncio closes the sockets meanwhile

    async def _serve(self, request: Request, connection: Connection) -> None:
        call = ServedCall(self._number, request)
        self._number += 1
        self._calls.append(call)
        with self._quiet:
            self._under_way += 1
        try:
            call.status, actions = await self._respond(call)
            await _perform(actions, call, connection)
        except Exception as error:  # noqa: BLE001 - a defect here must fail the test, not hang it
            self._violate(call, f"the scripted model itself failed: {error!r}")
            connection.close()
        finally:
            call.ended = call.ended or time.monotonic()
            with self._quiet:
                self._under_way -= 1
                self._quiet.notify_all()

    async def _refuse(self, error: BadRequest, connection: Connection) -> None:
        self._violations.append(str(error))
        for action in status(Status(400, str(error), "script_violation")):
            if isinstance(action, Send):
                await connection.send(action.wire)

    async def _respond(self, call: ServedCall) -> tuple[int | None, list[Action]]:
        path = call.path.split("?")[0]
        if call.method == "GET" and path == "/v1/models":
            model = {"id": self._model_id, "object": "model", "created": 0, "owned_by": "agentcore-rl"}
            body = to_json({"object": "list", "data": [model]})
            return 200, whole(200, {"content-type": "application/json"}, body)
        if call.method != "POST" or path != "/v1/chat/completions":
            sentence = f"ScriptedModel has no {call.method} {path}, only chat completions and models."
            return 404, status(Status(404, sentence))
        asked = call.json
        wrong = "the body is not a JSON object" if asked is None else invalid(asked)
        if asked is None or wrong:
            return self._violate(call, f"{wrong}: {call.body[:200]!r}")
        try:
            return await self._play(call, asked)
        except ScriptError as error:
            return self._violate(call, str(error))

    async def _play(self, call: ServedCall, asked: dict[str, Any]) -> tuple[int | None, list[Action]]:
        call._parsed = asked
        try:
            call.line, seat = await self._next_line(call)
        finally:
            call._parsed = None
        answer = answer_of(call.line)
        if answer is None:
            return play(call.line, None)
        different = mismatch(answer.expect, asked)
        if different:
            raise ScriptError(different)
        return play(
            call.line, Spelling(answer, asked, self._engine, asked.get("model") or self._model_id, seat)
        )

    async def _next_line(self, call: ServedCall) -> tuple[Line, str]:
        """Return the line to play, and a name of its place in the script."""
        if self._choose is not None:
            return await self._chosen(self._choose, call), str(call.number)
        if self._several:
            try:
                call.conversation = self._key(call)
            except Exception as error:  # the key is the user's code
                raise ScriptError(f"key raised {type(error).__name__}: {error}") from error
            if call.conversation not in self._conversations:
                raise ScriptError(
                    f"the call belongs to conversation {call.conversation!r}, "
                    f"which is none of the script's {len(self._conversations)}"
                )
        name = call.conversation
        lines, at = self._conversations[name], self._read[name]
        if at >= len(lines):
            where = "" if name is None else f" in conversation {name!r}"
            raise ScriptError(
                f"script exhausted: all {len(lines)} lines{where} were read before this request"
            )
        self._read[name] = at + 1
        return lines[at], f"{name or ''}/{at}"

    async def _chosen(self, choose: Callable[[ServedCall], Line], call: ServedCall) -> Line:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(32, "script")
        try:
            line = await self._loop.run_in_executor(self._pool, choose, call)
            _check_line(line)
        except Exception as error:  # the script is the user's code
            raise ScriptError(f"the script raised {type(error).__name__}: {error}") from error
        return line

    def _violate(self, call: ServedCall, sentence: str) -> tuple[int, list[Action]]:
        call.violation = sentence
        self._violations.append(f"call {call.number}: {sentence}")
        return 400, status(Status(400, sentence, "script_violation"))


async def _perform(actions: list[Action], call: ServedCall, connection: Connection) -> None:
    """Perform a response's actions, each logged before it is done."""
    for at, action in enumerate(actions):
        last = at + 1 == len(actions)
        if last and not isinstance(action, Pause):
            call.ended = time.monotonic()
        match action:
            case Send(wire, payload):
                call._wire.append(wire)
                call._payload.append(payload)
                stands = await connection.send(wire)
            case Pause(seconds):
                stands = await connection.pause(seconds)
            case Close(reset):
                connection.close(reset)
                stands = True
        if not stands:
            call.client_left = True
            connection.close()
            return


def _check_line(line: object) -> None:
    if not isinstance(line, get_args(Line)):
        raise TypeError(f"a script is made of Answer, Status, Drop and the like, not {line!r:.100}")
