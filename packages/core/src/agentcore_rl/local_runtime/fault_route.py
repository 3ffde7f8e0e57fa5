"""`/_faults`: what goes wrong on purpose, told over HTTP, from this machine alone."""

from __future__ import annotations

import ipaddress
import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.local_runtime.faults import Faults

__all__ = ["PATH", "FaultRoute"]

PATH = "/_faults"
"""GET lists the rules, POST adds one, DELETE forgets all."""
_LONGEST_BODY = 65_536


class FaultRoute:
    """Answers requests to `/_faults`.

    Args:
        faults: the rules.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def answer(self, request: Request, body: bytes | None) -> Response:
        """Answer one request, whose whole body was read."""
        if request.client is None or not _is_loopback(request.client.host):
            return _no(403, f"{PATH} is open to this machine alone.")
        if request.method == "POST":
            # A web page may post without asking first, but not as JSON.
            if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                return _no(415, f"A rule is posted to {PATH} as application/json.")
            try:
                rule = json.loads((body or b"")[:_LONGEST_BODY])
                if not isinstance(rule, dict):
                    raise ValueError
                return JSONResponse(self._faults.add_json(rule).as_json(), 201)
            except ConfigurationError as error:
                return _no(400, str(error))
            except ValueError:
                return _no(400, 'A rule is a JSON object such as {"fault": "throttle", "count": 5}.')
        if request.method == "DELETE":
            self._faults.clear()
        elif request.method != "GET":
            return _no(405, f"{PATH} knows GET, POST and DELETE, not {request.method}.")
        return JSONResponse([rule.as_json() for rule in self._faults.rules])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _no(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)
