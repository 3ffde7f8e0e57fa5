"""A recorder with the SDK's clients around it: what tests of the wire share."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import openai

from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.recorder.recorder import Recorder, Recording
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.recorder.wire import clients, openai_arguments
from agentcore_rl.rollout import ExpandedTurn, Limits, Turns
from agentcore_rl.testing import ServedCall


@contextmanager
def recording_from(
    base_url: str,
    *,
    retries: int = 2,
    limits: Limits | None = None,
    secrets: Sequence[str] = (),
    **endpoint: Any,
) -> Iterator[Recorder]:
    """A rollout's scope whose model calls go to `base_url`."""
    recorder = Recorder(limits=limits, secrets=[Secret(secret) for secret in secrets])
    fields = {"model": "real-id", "api_key": Secret("sk-endpoint-key"), **endpoint}
    with rollout_scope(Scope(Endpoint(base_url, **fields), recorder, retries=retries)):
        yield recorder


def sync_sdk(*, agent: str = "main", timeout_s: float = 5.0) -> openai.OpenAI:
    """The SDK's synchronous client on our transport."""
    return openai.OpenAI(
        http_client=cast(Any, clients()[0]), **openai_arguments(agent=agent, timeout_s=timeout_s)
    )


def async_sdk(*, agent: str = "main", timeout_s: float = 5.0) -> openai.AsyncOpenAI:
    """The SDK's asynchronous client on our transport."""
    return openai.AsyncOpenAI(
        http_client=cast(Any, clients()[1]), **openai_arguments(agent=agent, timeout_s=timeout_s)
    )


def ended(recorder: Recorder) -> Recording:
    """What the recorder has, once it is closed."""
    recorder.close("the test is over")
    return recorder.finish()


def turns_of(recording: Recording) -> list[ExpandedTurn]:
    """Its turns, in the order in which their calls began."""
    return list(Turns(recording.transcript))


def request_of(turn: ExpandedTurn) -> dict[str, Any]:
    """The request's JSON, as the record has it."""
    body: dict[str, Any] = {**turn.stored.sampling, "messages": turn.prompt}
    if turn.stored.model is not None:
        body["model"] = turn.stored.model
    if turn.stored.tools is not None:
        body["tools"] = turn.tools
    return body


def spelled(body: bytes) -> dict[str, Any] | None:
    """The message that an answer's body has, or that a stream's deltas spell; written apart from ours."""
    if not body.lstrip().startswith((b"data:", b":")):
        try:
            return cast(dict[str, Any], json.loads(body)["choices"][0]["message"])
        except ValueError:
            return None
    message: dict[str, Any] = {}
    calls: dict[int, dict[str, Any]] = {}
    text = body.decode(errors="ignore").replace("\r\n", "\n").replace("\r", "\n")
    for event in text.split("\n\n"):
        content = "\n".join(line[5:] for line in event.split("\n") if line.startswith("data:")).strip()
        if not content or content == "[DONE]":
            continue
        for choice in json.loads(content)["choices"]:
            for key, value in choice["delta"].items():
                if key == "tool_calls":
                    for part in value:
                        call = calls.setdefault(part["index"], {"function": {"arguments": ""}})
                        call |= {name: part[name] for name in ("id", "type") if name in part}
                        call["function"]["arguments"] += part["function"]["arguments"]
                        if "name" in part["function"]:
                            call["function"]["name"] = part["function"]["name"]
                elif isinstance(value, str) and key != "role":
                    message[key] = (message.get(key) or "") + value
                else:
                    message[key] = value
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return message or None


def forwarded_names(call: ServedCall) -> set[str]:
    """Names of the headers that reached the server, in lower case."""
    return {name.lower() for name, _ in call.headers}
