"""What a llama.cpp server is asked before anything is served: its tokenizer, its template, one token."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl_gateway.engines.alignment import align
from agentcore_rl_gateway.rendering.self_test import OneToken

__all__ = ["LlamaView"]


class LlamaView:
    """A llama.cpp server for the start-up test. It blocks: the test runs in a thread.

    Args:
        url: the server's address.
    """

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)

    def tokenize(self, text: str) -> Sequence[int] | None:
        """Ids of text in which control tokens are read."""
        said = self._post("/tokenize", {"content": text, "add_special": False, "parse_special": True})
        return list(said["tokens"])

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
    ) -> Sequence[int] | None:
        """Ids of a prompt by the server's own template."""
        body = {"messages": list(messages), **({"tools": list(tools)} if tools else {})}
        return self.tokenize(str(self._post("/apply-template", body)["prompt"]))

    def one_token(self, prompt: Sequence[int]) -> OneToken | None:
        """One sampled token behind a prompt, a whole character."""
        body = {
            "prompt": list(prompt),
            "n_predict": 1,
            "n_probs": 1,
            "return_tokens": True,
            "grammar": 'root ::= "a"',
        }
        said = self._post("/completion", body)
        ids = list(said["tokens"])
        entries = [(one["id"], one["logprob"]) for one in said.get("completion_probabilities") or ()]
        return OneToken(said["tokens_evaluated"], ids, align(ids, entries).logprobs or [None] * len(ids))

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        connection = http.client.HTTPConnection(
            self._address.hostname or "", self._address.port or 80, timeout=60
        )
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = json.loads(answer.read())
            if answer.status != 200:
                raise ValueError(f"it answered {answer.status}: {str(said)[:200]}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ConfigurationError(
                f"llama.cpp at {self._address.geturl()} does not answer {path} ({error}): see its log."
            ) from error
        finally:
            connection.close()
        return said
