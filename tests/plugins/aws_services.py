"""S3 and SQS for tests, and what can go wrong on the way to them.

    aws             fixture (module): `AWSServices`, a real server of S3 and SQS and a `FaultyAWS` before
                    it; AWS_ENDPOINT_URL of this process and its children leads to the proxy.
    faulty_aws      fixture (test): its `FaultyAWS`, with no fault set before and after the test.

The server is moto in a process of its own, one per test process; AGENTCORE_RL_TEST_AWS=http://host:port
names another (scripts/ministack.sh starts one).

`FaultyAWS` is a proxy in front of any HTTP service. It knows the name of each operation (`PutObject`,
`SendMessage`, `InvokeAgentRuntime`, ...) and does, per operation or for all of them ("*"), what it is told:

    proxy.fault("PutObject", status=503, code="SlowDown", times=2)   answer so twice, then pass on
    proxy.fault("PutObject", status=403, code="AccessDenied")        until `clear`
    proxy.fault("SendMessage", drop="before")       close the connection, the service has seen nothing
    proxy.fault("PutObject", drop="after", times=1) pass on, then close it: applied, and no answer
    proxy.fault("GetObject", drop="half")           pass on, and close it amid the answer's body
    proxy.fault("*", every=2, ...)                  only every second request that fits
    proxy.fault("*", delay_s=0.5)                   wait, then pass on (or answer as told besides)
    proxy.fault("GetObject", where="task-3", ...)   only requests whose path or body contains this text
    proxy.fault("SendMessage", headers={"retry-after": "1"}, status=429, code="ThrottlingException")
    proxy.fault("SendMessage", status=200, body=b"{}")   answer with these bytes
    proxy.hold("PutObject")                         a with statement: requests wait until it ends
    proxy.clear("PutObject"); proxy.clear()         of one operation; of all

    proxy.calls["PutObject"]    requests that came (also those that a fault answered)
    proxy.passed["PutObject"]   of those, what the service was asked
    proxy.requests              every request in order: operation, method, path, headers, body, answered
    proxy.down()                a with statement: nothing listens on the port, as in an outage

Of several faults that fit a request the one that was set last is done.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

import pytest

from answering_server import ManyServer

# It ends with its parent, however that ends.
_MOTO = """
import os, sys, threading
from werkzeug.serving import WSGIRequestHandler, make_server
from moto.server import DomainDispatcherApplication, create_backend_app
WSGIRequestHandler.protocol_version = "HTTP/1.1"
WSGIRequestHandler.log = lambda *args, **fields: None
WSGIRequestHandler.disable_nagle_algorithm = True
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
threading.Thread(target=lambda: os._exit(len(sys.stdin.read())), daemon=True).start()
print(server.server_port, flush=True)
server.serve_forever()
"""
_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "content-length", "date", "server"}


# ── which operation a request is


def operation_of(method: str, path: str, headers: Mapping[str, str]) -> str:
    """The operation's name in botocore's models; method and first part of the path where none is known."""
    target = {name.lower(): value for name, value in headers.items()}.get("x-amz-target", "")
    if target:
        return target.rpartition(".")[2]
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    if parts.path.startswith("/runtimes/"):
        verb = parts.path.rstrip("/").rpartition("/")[2]
        known = {"invocations": "InvokeAgentRuntime", "stopruntimesession": "StopRuntimeSession"}
        return known.get(verb, f"{method} {verb}")
    if "x-amz-date" in {name.lower() for name in headers} or "authorization" in {n.lower() for n in headers}:
        return _s3_operation(method, parts.path, query)
    return f"{method} /{parts.path.strip('/').partition('/')[0]}"


def _s3_operation(method: str, path: str, query: Mapping[str, Any]) -> str:
    kind = "Object" if path.strip("/").partition("/")[2] else "Bucket"
    if kind == "Bucket" and not path.strip("/"):
        return "ListBuckets"
    if "uploadId" in query or "uploads" in query:
        return {
            ("POST", True): "CreateMultipartUpload",
            ("POST", False): "CompleteMultipartUpload",
            ("PUT", False): "UploadPart",
            ("DELETE", False): "AbortMultipartUpload",
            ("GET", True): "ListMultipartUploads",
            ("GET", False): "ListParts",
        }.get((method, "uploads" in query), f"{method} upload")
    if method == "GET" and "list-type" in query:
        return "ListObjectsV2"
    if "notification" in query:
        return ("Put" if method == "PUT" else "Get") + "BucketNotificationConfiguration"
    verb = {"PUT": "Put" if kind == "Object" else "Create", "GET": "Get", "HEAD": "Head", "DELETE": "Delete"}
    return f"{verb.get(method, method)}{kind}"


# ── the proxy


@dataclass(eq=False)
class Fault:
    """What is done to requests of one operation. See the top of this file."""

    operation: str
    status: int | None = None
    code: str = "InternalError"
    message: str = "A fault of the test."
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: Literal["before", "after", "half"] | None = None
    delay_s: float = 0.0
    body: bytes | None = None
    times: int | None = None
    every: int = 1
    where: str = ""
    until: threading.Event | None = None
    met: int = 0


@dataclass(frozen=True)
class Seen:
    """One request that came."""

    operation: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    answered: int | None
    """The HTTP status that went back; None when the connection was dropped."""


class FaultyAWS:
    """A proxy on localhost that goes wrong as it is told; use it in a with statement.

    Args:
        upstream: URL of the service.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream)
        self.calls: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()
        self.requests: list[Seen] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where clients are to be sent."""
        return f"http://127.0.0.1:{self._port}"

    def fault(self, operation: str, **how: Any) -> Fault:
        """Do something to requests of this operation ("*": of every) from now on."""
        fault = Fault(operation, **how)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self, operation: str | None = None) -> None:
        """Pass on what was spoilt; without an operation everything is, and counting begins anew."""
        with self._lock:
            cleared = [f for f in self._faults if operation in (None, f.operation)]
            self._faults = [f for f in self._faults if f not in cleared]
            if operation is None:
                self.calls.clear()
                self.passed.clear()
                self.requests.clear()
        for fault in cleared:
            if fault.until is not None:
                fault.until.set()

    @contextmanager
    def hold(self, operation: str, **how: Any) -> Iterator[None]:
        """Let requests of this operation wait until the with statement ends."""
        fault = self.fault(operation, until=threading.Event(), **how)
        try:
            yield
        finally:
            with self._lock:
                self._faults.remove(fault)
            assert fault.until is not None
            fault.until.set()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Nothing listens; connections that were open are closed."""
        self._close()
        try:
            yield
        finally:
            self._open()

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()
        self._close()

    def _open(self) -> None:
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.hang_up()
            server.server_close()
            self._thread.join()

    def chosen(self, operation: str, path: str, body: bytes) -> Fault | None:
        """The fault that this request meets; counts the request."""
        with self._lock:
            self.calls[operation] += 1
            for fault in reversed(self._faults):
                text = fault.where.encode()
                if (
                    fault.operation in ("*", operation)
                    and fault.times != 0
                    and (text in path.encode() or text in body)
                ):
                    fault.met += 1
                    if fault.met % fault.every:
                        continue
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def note(self, seen: Seen, passed: bool) -> None:
        """Count what was done."""
        with self._lock:
            self.passed[seen.operation] += passed
            self.requests.append(seen)


class _Server(ManyServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], proxy: FaultyAWS) -> None:
        self.proxy = proxy
        self.open: set[socket.socket] = set()
        super().__init__(address, _Conversation)

    def hang_up(self) -> None:
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)
        self._upstream: http.client.HTTPConnection | None = None

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        if self._upstream is not None:
            self._upstream.close()
        super().finish()

    def log_message(self, *args: Any) -> None: ...

    def _serve(self) -> None:
        proxy, body = self.server.proxy, self._body()
        headers = dict(self.headers.items())
        operation = operation_of(self.command, self.path, headers)
        fault = proxy.chosen(operation, self.path, body) or Fault(operation)
        if fault.until is not None:
            fault.until.wait(60)
        time.sleep(fault.delay_s)
        status: int | None = None
        passed = fault.drop != "before" and fault.status is None
        content, fields = b"", {}
        if passed:
            status, fields, content = self._pass_on(headers, body)
        elif fault.status is not None:
            status, fields, content = _said(fault, headers)
        seen = Seen(
            operation,
            self.command,
            self.path,
            headers,
            body,
            None if fault.drop in ("before", "after") else status,
        )
        proxy.note(seen, passed)
        if fault.drop in ("before", "after"):
            self._hang_up()
            return
        assert status is not None
        self._answer(status, fields, content, half=fault.drop == "half")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - names of the standard library

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _pass_on(self, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        upstream = self.server.proxy.upstream
        forwarded = {name: value for name, value in headers.items() if name.lower() not in _HOP}
        for last in (False, True):
            if self._upstream is None:
                assert upstream.hostname is not None
                self._upstream = http.client.HTTPConnection(
                    upstream.hostname, upstream.port or 80, timeout=60
                )
                self._upstream.connect()
                self._upstream.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self._upstream.request(
                    self.command, self.path, body or None, {**forwarded, "content-length": str(len(body))}
                )
                answer = self._upstream.getresponse()
                content = answer.read()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                # The service had closed a connection that was idle.
                self._upstream.close()
                self._upstream = None
                if last:
                    raise
                continue
            fields = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
            if self.command == "HEAD" and answer.getheader("content-length"):
                fields["content-length"] = str(answer.getheader("content-length"))
            return answer.status, fields, content
        raise AssertionError("unreachable")

    def _answer(self, status: int, fields: Mapping[str, str], content: bytes, *, half: bool) -> None:
        self.send_response_only(status)
        for name, value in fields.items():
            self.send_header(name, value)
        if "content-length" not in fields and status != 204:
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if half else content)
        if half:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _said(fault: Fault, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
    """The fault's answer in the protocol of whoever asked."""
    assert fault.status is not None
    given = {name.lower(): value for name, value in headers.items()}
    # S3 signs the content of every request, and speaks XML whatever it is.
    if "json" in given.get("content-type", "") and "x-amz-content-sha256" not in given:
        content = json.dumps({"__type": fault.code, "message": fault.message}).encode()
        kind = "application/x-amz-json-1.0"
    else:
        content = (
            f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{fault.code}</Code>'
            f"<Message>{fault.message}</Message><RequestId>test</RequestId></Error>"
        ).encode()
        kind = "application/xml"
    if fault.body is not None:
        return fault.status, {"content-type": kind, **fault.headers}, fault.body
    return fault.status, {"content-type": kind, "x-amzn-errortype": fault.code, **fault.headers}, content


# ── the services


@dataclass(frozen=True)
class AWSServices:
    """S3 and SQS.

    Attributes:
        url: of the server itself, for what a test prepares and looks at.
        proxy: what stands before it; AWS_ENDPOINT_URL names it.
        is_moto: whether the server is moto (else ministack, or whatever was named).
    """

    url: str
    proxy: FaultyAWS
    is_moto: bool

    def client(self, service: str) -> Any:
        """A client that goes to the server itself, past the proxy and its counters."""
        return _direct_client(service, self.url)

    def bucket(self, name: str) -> str:
        """A new bucket; its name."""
        configuration = {"LocationConstraint": "us-west-2"}
        self.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration=configuration)
        return name

    def queue(self, name: str, **attributes: str) -> str:
        """A new queue; its URL, which leads through the proxy."""
        made = self.client("sqs").create_queue(QueueName=name, Attributes=attributes)
        return self.proxy.url + urlsplit(made["QueueUrl"]).path

    def keys(self, bucket: str) -> list[str]:
        """The keys of all objects in a bucket."""
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [stored["Key"] for page in pages for stored in page.get("Contents", ())]

    def messages(self, queue: str) -> int:
        """How many messages lie in a queue, visible or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        sqs = self.client("sqs")
        found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


_direct: dict[tuple[str, str], Any] = {}


def _direct_client(service: str, url: str) -> Any:
    if (service, url) not in _direct:
        import botocore.session
        from botocore.config import Config

        session = botocore.session.Session()
        config = Config(retries={"total_max_attempts": 1})
        _direct[service, url] = session.create_client(
            service, region_name="us-west-2", endpoint_url=url, config=config
        )
    return _direct[service, url]


@pytest.fixture(scope="session")
def _aws_server() -> Iterator[tuple[str, bool]]:
    named = os.environ.get("AGENTCORE_RL_TEST_AWS")
    if named:
        yield named, False
        return
    command = [sys.executable, "-c", _MOTO]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}", True
        finally:
            process.kill()


@pytest.fixture(scope="module")
def aws(_aws_server: tuple[str, bool]) -> Iterator[AWSServices]:
    """S3 and SQS on localhost, behind a proxy that this process's clients are led to."""
    url, is_moto = _aws_server
    before = os.environ.get("AWS_ENDPOINT_URL")
    with FaultyAWS(url) as proxy:
        os.environ["AWS_ENDPOINT_URL"] = proxy.url
        try:
            yield AWSServices(url, proxy, is_moto)
        finally:
            del os.environ["AWS_ENDPOINT_URL"]
            if before is not None:
                os.environ["AWS_ENDPOINT_URL"] = before


@pytest.fixture
def faulty_aws(aws: AWSServices) -> Iterator[FaultyAWS]:
    """The proxy before S3 and SQS, without a fault to begin with."""
    aws.proxy.clear()
    yield aws.proxy
    aws.proxy.clear()
