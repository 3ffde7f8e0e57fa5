"""The HTTP API of AgentCore Runtime, in front of the sessions."""

from __future__ import annotations

import contextlib
import re
import uuid
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from agentcore_rl.exceptions import LauncherError
from agentcore_rl.launchers.answers import error_sentence
from agentcore_rl.local_runtime.connection import Connection
from agentcore_rl.local_runtime.fault_route import PATH, FaultRoute
from agentcore_rl.local_runtime.protocol import drop
from agentcore_rl.local_runtime.refusals import AnswerLost, Refused, ServiceError
from agentcore_rl.local_runtime.service import DEFAULT_QUALIFIER, Service

__all__ = ["ARN", "SESSION_HEADER", "Front"]

ARN = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/local-0000000000"
"""A well-formed ARN to use; any other will do as well."""
SESSION_HEADER = "x-amzn-bedrock-agentcore-runtime-session-id"
"""Names the session, in requests and in answers."""
_LONGEST_BODY = 100_000_000
_ARN = re.compile(
    r"arn:aws(-[^:]+)?:bedrock-agentcore:[a-z0-9-]+:[0-9]{12}:runtime/[a-zA-Z]\w{0,47}-[a-zA-Z0-9]{10}"
)
_PATH = re.compile(r"/runtimes/([^/]+)/(invocations|stopruntimesession)")
# AWS's own fields and signature (a bearer token goes on) end at the service, and so do those of a connection.
_KEPT_BACK = re.compile(
    rb"(x-amz-.*|amz-sdk-.*|host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|content-length|"
    rb"x-amzn-bedrock-agentcore-runtime-session-id): .*|authorization: AWS.*",
    re.DOTALL,
)
_PASSED_BACK = re.compile("content-(type|length|encoding)|mcp-.*|x-amzn-trace-id|trace(parent|state)|baggage")


class Front:
    """InvokeAgentRuntime and StopRuntimeSession, as botocore's model of `bedrock-agentcore` shapes them."""

    def __init__(self, service: Service, fault_route: FaultRoute | None) -> None:
        self._service, self._fault_route = service, fault_route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        session = request.headers.get(SESSION_HEADER) or str(uuid.uuid4())
        with contextlib.suppress(ClientDisconnect):
            body = await _body(request)
            try:
                response = await self._answer(request, session, body)
            except AnswerLost:
                await drop(scope, receive)
                return
            response.headers[SESSION_HEADER] = session
            await response(scope, receive, send)

    async def _answer(self, request: Request, session: str, body: bytes | None) -> Response:
        if self._fault_route is not None and request.url.path == PATH:
            return self._fault_route.answer(request, body)
        try:
            operation = self._operation(request)
            if operation == "stopruntimesession":
                return await self._stop(request)
            return await self._invoke(request, session, body)
        except Refused as error:
            return _error(error.error, str(error))
        except LauncherError as error:
            return _error(ServiceError.RUNTIME_CLIENT, str(error))
        except OSError as error:
            return _error(ServiceError.INTERNAL, f"No session could be started: {error}.")

    def _operation(self, request: Request) -> str:
        # On the raw path: the ARN in it has a slash, as %2F.
        found = _PATH.fullmatch(request.scope["raw_path"].decode("latin-1"))
        if found is None or request.method != "POST":
            raise Refused(
                ServiceError.VALIDATION,
                "The local runtime knows InvokeAgentRuntime (POST /runtimes/ARN/invocations) and "
                "StopRuntimeSession (POST /runtimes/ARN/stopruntimesession), with the ARN percent-encoded; "
                f"not {request.method} {request.url.path}.",
            )
        if not _ARN.fullmatch(unquote(found[1])):
            raise Refused(
                ServiceError.VALIDATION,
                f"{unquote(found[1])!r} is no ARN of a runtime; any well-formed one is: {ARN}.",
            )
        return found[2]

    async def _invoke(self, request: Request, session: str, body: bytes | None) -> Response:
        if body is None:
            raise Refused(ServiceError.VALIDATION, f"A payload has at most {_LONGEST_BODY:,} bytes.")
        passed = [(n, v) for n, v in request.headers.raw if not _KEPT_BACK.fullmatch(n + b": " + v)]
        passed.append((SESSION_HEADER.encode(), session.encode("latin-1")))
        connection = await self._service.invoke(session, body, passed, _qualifier(request))
        if connection.status < 400:
            return _AppAnswer(connection)
        said = error_sentence(await connection.content())
        raise Refused(
            ServiceError.RUNTIME_CLIENT, f"Received error ({connection.status}) from runtime: {said}"
        )

    async def _stop(self, request: Request) -> Response:
        session = request.headers.get(SESSION_HEADER)
        if session is None:
            raise Refused(ServiceError.VALIDATION, f"StopRuntimeSession needs the header {SESSION_HEADER}.")
        if not await self._service.stop(session, _qualifier(request)):
            raise Refused(ServiceError.MISSING, f"There is no session {session} (any more).")
        return JSONResponse({})


class _AppAnswer(StreamingResponse):
    """Hands the app's answer on as it comes."""

    def __init__(self, connection: Connection) -> None:
        passed = {name: value for name, value in connection.headers.items() if _PASSED_BACK.fullmatch(name)}
        super().__init__(connection.chunks(), connection.status, passed)
        self._connection = connection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            # Where the session dies meanwhile, an answer that breaks off is all that tells its reader.
            with contextlib.suppress(LauncherError):
                await super().__call__(scope, receive, send)
        finally:
            self._connection.close()


async def _body(request: Request) -> bytes | None:
    """The whole body; None when it is too long (it is read to its end so that the answer gets through)."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= _LONGEST_BODY:
            chunks.append(chunk)
    return b"".join(chunks) if size <= _LONGEST_BODY else None


def _qualifier(request: Request) -> str:
    return request.query_params.get("qualifier", DEFAULT_QUALIFIER)


def _error(error: ServiceError, message: str) -> Response:
    return JSONResponse({"message": message}, error.status, {"x-amzn-errortype": error.code})
