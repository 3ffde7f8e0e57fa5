"""A running gateway, as the trainer's side and plain clients use it."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import OpenAI

from agentcore_rl_gateway.serving import GatewayServer


@dataclass
class Desk:
    """A running gateway as the trainer's side sees it."""

    server: GatewayServer
    folder: Path

    @property
    def root(self) -> str:
        """Its address without the version path."""
        return self.server.base_url.removesuffix("/v1")

    def send(
        self, method: str, path: str, body: Any = None, key: str | None = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """One plain request: status, decoded body (or text) and headers."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.root + path, content, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                status, said, kept = answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            status, said, kept = error.code, error.read(), dict(error.headers)
        try:
            return status, json.loads(said), kept
        except ValueError:
            return status, said.decode(), kept

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """One request of the control route; it must succeed."""
        status, said, _ = self.send(method, "/control" + path, body, self.server.admin_key)
        assert status < 300, said
        return said

    def open(self, session: str = "r1", **fields: Any) -> str:
        """A new session's key."""
        return str(self.control("POST", "/sessions", {"session": session, **fields})["key"])

    def client(self, key: str) -> OpenAI:
        """The SDK with that key; it retries nothing."""
        return OpenAI(base_url=self.server.base_url, api_key=key, max_retries=0, timeout=20)

    def chat(self, key: str, messages: list[Any], **fields: Any) -> tuple[int, Any, dict[str, str]]:
        """One plain chat completion; header fields are written with a leading `h_`."""
        headers = {name[2:]: fields.pop(name) for name in list(fields) if name.startswith("h_")}
        asked = {"model": "scripted", "messages": messages, **fields}
        return self.send("POST", "/v1/chat/completions", asked, key, **headers)
