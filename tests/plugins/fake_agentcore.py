"""AgentCore Runtime, S3 and SQS in one light process, for measuring clients: the agent is a timer.

A session's rollout sleeps for as long as its payload says (`seconds`), then stores a small record in the
request's bucket and announces it in the queue. What is there of each service is what clients of rollouts use:

    bedrock-agentcore   InvokeAgentRuntime (with latency and quotas), StopRuntimeSession
    s3                  PutObject (If-None-Match), GetObject, HeadObject, ListObjectsV2
    sqs                 SendMessage, ReceiveMessage (long poll, visibility), DeleteMessageBatch,
                        ChangeMessageVisibilityBatch

GET /_counts says how often which operation was called, and when each record was stored (wall clock).
Run as a program it prints its URL, and ends when its standard input does, so that no service outlives
its user:

    python tests/plugins/fake_agentcore.py [--speed 1] [--cold-start 0.5] [--rate 25] [--sessions 5000]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from bisect import bisect_left, bisect_right, insort
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

import uvicorn

from agentcore_rl.aws.bodies import write_body
from agentcore_rl.codec import encode_record
from agentcore_rl.limits import RateLimiter
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Crosscheck, Rollout, Status, StopReason, Timings, Usage
from agentcore_rl.stores import Notice
from agentcore_rl.stores.keys import split_input_id

ARN = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/fake-0123456789"
BUCKET, QUEUE = "fake-bucket", "fake-queue"
_SESSION = "x-amzn-bedrock-agentcore-runtime-session-id"
_RUNTIME = re.compile(r"/runtimes/[^/]+/(invocations|stopruntimesession)")

Answer = tuple[int, Mapping[str, str], bytes]


def _json(value: Any, status: int = 200, **headers: str) -> Answer:
    return status, {"content-type": "application/json", **headers}, json.dumps(value).encode()


def _refused(code: str, status: int, message: str = "The fake service's quota.") -> Answer:
    return _json({"message": message}, status, **{"x-amzn-errortype": code})


class Objects:
    """S3, of all buckets as one: names are `bucket/key`, since nobody here needs two."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self._names: list[str] = []

    def put(self, name: str, content: bytes) -> bool:
        """Store what is not there yet."""
        if name in self.content:
            return False
        self.content[name] = content
        insort(self._names, name)
        return True

    def answer(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> tuple[str, Answer]:
        """The name of an operation, and its answer."""
        name = unquote(path).strip("/")
        if "list-type" in query:
            return "ListObjectsV2", self._list(name, query)
        if method == "PUT":
            made = self.put(name, body)
            return "PutObject", (200, {"etag": _etag(body)}, b"") if made else _missing(
                "PreconditionFailed", 412
            )
        operation = "HeadObject" if method == "HEAD" else "GetObject"
        content = self.content.get(name)
        if content is None:
            status, headers, said = _missing("NoSuchKey", 404)
            return operation, (status, headers, b"" if method == "HEAD" else said)
        fields = {"content-type": "application/json", "etag": _etag(content)}
        if method == "HEAD":
            return operation, (200, {**fields, "content-length": str(len(content))}, b"")
        return operation, (200, fields, content)

    def _list(self, bucket: str, query: Mapping[str, str]) -> Answer:
        root = f"{bucket}/"
        prefix = root + query.get("prefix", "")
        after = query.get("continuation-token") or query.get("start-after") or ""
        begin = max(bisect_left(self._names, prefix), bisect_right(self._names, root + after) if after else 0)
        most, found = int(query.get("max-keys", 1000)), []
        for name in itertools.islice(self._names, begin, begin + most + 1):
            if not name.startswith(prefix):
                break
            found.append(name)
        more, found = len(found) > most, found[:most]
        token = (
            f"<NextContinuationToken>{escape(found[-1].removeprefix(root))}</NextContinuationToken>"
            if more
            else ""
        )
        rows = "".join(
            f"<Contents><Key>{escape(name.removeprefix(root))}</Key><Size>{len(self.content[name])}</Size></Contents>"
            for name in found
        )
        text = (
            f"<ListBucketResult><Name>{bucket}</Name><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"<KeyCount>{len(found)}</KeyCount>{token}{rows}</ListBucketResult>"
        )
        return 200, {"content-type": "application/xml"}, text.encode()


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def _missing(code: str, status: int) -> Answer:
    return (
        status,
        {"content-type": "application/xml"},
        f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode(),
    )


class Queue:
    """SQS, of all queues as one."""

    def __init__(self) -> None:
        self._visible: deque[tuple[str, str, int]] = deque()
        self._hidden: dict[str, tuple[str, str, int]] = {}
        self._numbers = itertools.count()
        self._changed = asyncio.Condition()

    @property
    def left(self) -> int:
        """Messages that nobody has removed."""
        return len(self._visible) + len(self._hidden)

    async def answer(self, operation: str, asked: Mapping[str, Any]) -> Answer:
        """What SQS's JSON protocol answers."""
        match operation:
            case "SendMessage":
                return _json(await self.send(asked["MessageBody"]))
            case "ReceiveMessage":
                return _json({"Messages": await self._receive(asked)})
            case "DeleteMessageBatch":
                for entry in asked["Entries"]:
                    self._hidden.pop(entry["ReceiptHandle"], None)
            case "ChangeMessageVisibilityBatch":
                for entry in asked["Entries"]:
                    self._later(entry["VisibilityTimeout"], entry["ReceiptHandle"])
            case _:
                return _json({"__type": "com.amazonaws.sqs#UnsupportedOperation", "message": operation}, 400)
        return _json({"Successful": [{"Id": entry["Id"]} for entry in asked["Entries"]], "Failed": []})

    async def send(self, body: str) -> Mapping[str, str]:
        """Add a message."""
        message = f"m-{next(self._numbers)}"
        await self._show((message, body, 0))
        return {"MessageId": message, "MD5OfMessageBody": _md5(body)}

    async def _show(self, message: tuple[str, str, int]) -> None:
        async with self._changed:
            self._visible.append(message)
            self._changed.notify()

    async def _receive(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        async with self._changed:
            with suppress(TimeoutError):
                async with asyncio.timeout(asked.get("WaitTimeSeconds", 0) or 0.001):
                    await self._changed.wait_for(lambda: self._visible)
        received = []
        while self._visible and len(received) < asked.get("MaxNumberOfMessages", 1):
            message, body, count = self._visible.popleft()
            receipt = f"r-{next(self._numbers)}"
            self._hidden[receipt] = (message, body, count + 1)
            self._later(asked.get("VisibilityTimeout", 30), receipt)
            received.append(
                {
                    "MessageId": message,
                    "ReceiptHandle": receipt,
                    "Body": body,
                    "MD5OfBody": _md5(body),
                    "Attributes": {"ApproximateReceiveCount": str(count + 1)},
                }
            )
        return received

    def _later(self, seconds: float, receipt: str) -> None:
        def again() -> None:
            message = self._hidden.pop(receipt, None)
            if message is not None:
                _keep(asyncio.ensure_future(self._show(message)))

        asyncio.get_running_loop().call_later(seconds, again)


def _md5(body: str) -> str:
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


_kept: set[asyncio.Future[Any]] = set()


def _keep(future: asyncio.Future[Any]) -> None:
    _kept.add(future)
    future.add_done_callback(_kept.discard)


class Sessions:
    """AgentCore Runtime: sessions that are timers."""

    def __init__(self, objects: Objects, queue: Queue, args: argparse.Namespace) -> None:
        self._objects, self._queue, self._args = objects, queue, args
        self._new = RateLimiter(args.rate, burst=max(1.0, args.rate))
        self._calls = RateLimiter(args.calls, burst=max(1.0, args.calls))
        self._alive: dict[str, asyncio.Task[None] | None] = {}
        self.most_alive = self.throttled = 0
        self.began: dict[str, float] = {}
        self.stored: dict[str, float] = {}

    async def answer(self, operation: str, session: str, body: bytes) -> Answer:
        """What the data plane answers."""
        if self._calls.try_take():
            self.throttled += 1
            return _refused("ThrottlingException", 429)
        if operation == "stopruntimesession":
            if session not in self._alive:
                return _refused("ResourceNotFoundException", 404, "There is no such session.")
            task = self._alive.pop(session)
            if task is not None:
                task.cancel()
            return _json({}, **{_SESSION: session})
        if session not in self._alive:
            if len(self._alive) >= self._args.sessions:
                return _refused("ServiceQuotaExceededException", 402)
            if self._new.try_take():
                self.throttled += 1
                return _refused("ThrottlingException", 429)
            self._alive[session] = None
            self.most_alive = max(self.most_alive, len(self._alive))
            await asyncio.sleep(self._args.cold_start / self._args.speed)
        return _json(self._accept(session, json.loads(body)), **{_SESSION: session})

    def _accept(self, session: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        fields = payload["_rollout"]
        bucket = fields.get("s3_bucket", BUCKET)
        if "probe" in fields:
            key = f"{fields['exp_id']}/probe-{fields['probe']}.json"
            self._objects.put(f"{bucket}/{key}", json.dumps({"probe": fields["probe"]}).encode())
            return {"status": "ready", "probe_key": key, "store": f"s3://{bucket}", "s3_bucket": bucket}
        key = f"{fields['exp_id']}/{fields['input_id']}/{session}.json"
        if self._alive.get(session) is None and key not in self.began:
            self.began[key] = time.time()
            self._alive[session] = asyncio.ensure_future(self._live(session, payload, bucket, key))
        return {"status": "processing", "s3_bucket": bucket, "result_key": key}

    async def _live(self, session: str, payload: Mapping[str, Any], bucket: str, key: str) -> None:
        await asyncio.sleep(payload["seconds"] / self._args.speed)
        record = _record(session, payload)
        content = encode_record(record, bucket=bucket, key=key)
        self._objects.put(f"{bucket}/{key}", content)
        self.stored[key] = time.time()
        if self._args.notices:
            ids = (record.run, record.task, record.sample, record.attempt, session)
            notice = Notice(*ids, key, len(content), "", record.status.value, None)
            await self._queue.send(write_body(notice, f"s3://{bucket}"))


def _record(session: str, payload: Mapping[str, Any]) -> Rollout:
    fields = payload["_rollout"]
    task, sample = split_input_id(fields["input_id"])
    return Rollout(
        run=fields["exp_id"],
        task=task,
        sample=sample or 0,
        attempt=fields.get("attempt", 0),
        session=session,
        input_id=fields["input_id"],
        status=Status.SUCCEEDED,
        stop_reason=StopReason.FINISHED,
        failure=None,
        messages=[],
        tools=[],
        trajectories=[],
        reward=Reward(1.0),
        output={"seconds": payload["seconds"], "text": "x" * 1000},
        suspect=[],
        usage=Usage(None, None),
        timings=Timings(time.time(), payload["seconds"], 0.0, payload["seconds"]),
        model=None,
        policy_versions=[],
        software={},
        crosscheck=Crosscheck(),
        counts={},
        trace_id=None,
        payload={"seconds": payload["seconds"]},
    )


class FakeService:
    """An ASGI app: all three services on one port, told apart by what requests look like."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.calls: Counter[str] = Counter()
        self._objects, self._queue = Objects(), Queue()
        self._sessions = Sessions(self._objects, self._queue, args)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        chunks, more = [], True
        while more:
            event = await receive()
            chunks.append(event.get("body", b""))
            more = event.get("more_body", False)
        status, headers, body = await self._answer(scope, b"".join(chunks))
        fields = {"content-length": str(len(body)), "x-amzn-requestid": "fake", **headers}
        raw = [(name.encode(), value.encode()) for name, value in fields.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Any, body: bytes) -> Answer:
        path, method = scope["raw_path"].decode(), scope["method"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if path == "/_counts":
            return _json(self._counted())
        runtime = _RUNTIME.fullmatch(path)
        if runtime is not None:
            name = "InvokeAgentRuntime" if runtime[1] == "invocations" else "StopRuntimeSession"
            self.calls[name] += 1
            return await self._sessions.answer(runtime[1], headers.get(_SESSION, ""), body)
        target = headers.get("x-amz-target", "")
        if target:
            operation = target.rpartition(".")[2]
            self.calls[operation] += 1
            return await self._queue.answer(operation, json.loads(body))
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        operation, answer = self._objects.answer(method, path, query, body)
        self.calls[operation] += 1
        return answer

    def _counted(self) -> Mapping[str, Any]:
        sessions = self._sessions
        return {
            "calls": dict(self.calls),
            "throttled": sessions.throttled,
            "most_alive": sessions.most_alive,
            "messages": self._queue.left,
            "began": sessions.began,
            "stored": sessions.stored,
        }


class Running:
    """A fake service in a process of its own.

    Attributes:
        url: where it is.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.queue_url = f"{url}/000000000000/{QUEUE}"

    def counts(self) -> Mapping[str, Any]:
        """What it has counted until now."""
        with urllib.request.urlopen(f"{self.url}/_counts") as answer:
            counted: Mapping[str, Any] = json.load(answer)
        return counted


@contextmanager
def running(*options: str) -> Iterator[Running]:
    """Start the service in a process of its own; it ends with the block."""
    command = [sys.executable, __file__, *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Running(process.stdout.readline().strip())
    finally:
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--speed", type=float, default=1.0, help="rollouts and cold starts are shorter by this"
    )
    parser.add_argument("--cold-start", type=float, default=0.5, help="seconds until a new session answers")
    parser.add_argument("--rate", type=float, default=25.0, help="new sessions per second")
    parser.add_argument("--calls", type=float, default=200.0, help="interactions per second")
    parser.add_argument("--sessions", type=int, default=5000, help="sessions alive at once")
    parser.add_argument("--no-notices", dest="notices", action="store_false", help="send no messages")
    args = parser.parse_args()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(1024)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        FakeService(args),
        log_level="error",
        lifespan="off",
        ws="none",
        timeout_keep_alive=120,  # AWS does not hang up on a client that is slow for five seconds
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)

    def end() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end, daemon=True).start()
    server.run(sockets=[listening])


if __name__ == "__main__":
    main()
