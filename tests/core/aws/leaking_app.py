"""An agent that puts every key it can find wherever its payload says.

python leaking_app.py DESCRIPTOR
"""

import json
import logging
import os
import sys
from typing import Any, cast

import openai

from agentcore_rl.aws.app import AgentCoreRLApp
from agentcore_rl.recorder.wire import clients, openai_arguments
from app_process import serve

MODEL = openai.OpenAI(http_client=cast(Any, clients()[0]), **openai_arguments(agent="main", timeout_s=30))
SECRETS = [os.environ[name] for name in os.environ["PLANTED"].split()]


class Loud:
    """No JSON, and says all it knows."""

    def __repr__(self) -> str:
        return f"Loud({SECRETS})"


def every_spelling() -> dict[str, Any]:
    """The keys as texts, as names, in JSON and in JSON within JSON."""
    return {
        "plain": SECRETS,
        "named": {f"the key {secret}": "x" for secret in SECRETS},
        "json": json.dumps(SECRETS),
        "json in json": json.dumps({"arguments": json.dumps({"of": SECRETS})}),
        "no ascii": json.dumps([json.dumps(SECRETS, ensure_ascii=False)], ensure_ascii=False),
    }


def say(*messages: dict[str, Any], stream: bool = False) -> Any:
    """One model call."""
    asked: Any = {"model": "policy", "messages": list(messages)}
    if stream:
        with MODEL.chat.completions.stream(**asked) as events:
            return events.get_final_completion()
    return MODEL.chat.completions.create(**asked)


def talk(payload: dict[str, Any]) -> Any:
    """The keys are in every message, and a tool's arguments and results."""
    texts = every_spelling()
    call = {"id": f"call-{SECRETS[0]}", "type": "function"}
    call["function"] = {"name": "login", "arguments": texts["json in json"]}  # type: ignore[assignment]
    say(
        {"role": "system", "content": str(texts["plain"])},
        {"role": "user", "content": [{"type": "text", "text": texts["no ascii"]}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"call-{SECRETS[0]}", "content": texts["json"]},
        {"role": "user", "content": f"{payload['prompt']} {payload['github_token']}"},
    )
    return {**texts, "prompt": payload["prompt"]}


def ask(payload: dict[str, Any]) -> Any:
    """Says nothing of its own; what the model knows comes back, whole and streamed."""
    greeting = {"role": "user", "content": "hello"}
    first = say(greeting).choices[0].message
    answer = {"role": "assistant", "content": first.content}
    second = say(greeting, answer, {"role": "user", "content": "hello again"}, stream=True)
    return [first.content, second.choices[0].message.content]


def fail(payload: dict[str, Any]) -> Any:
    """The keys are in an exception, its cause, a note and the lines of its traceback."""
    try:
        raise KeyError(*SECRETS)
    except KeyError as error:
        error.add_note(json.dumps(SECRETS))
        raise RuntimeError(f"{payload['github_token']} {every_spelling()}") from error


def leave(payload: dict[str, Any]) -> Any:
    """Ends as a program does."""
    sys.exit(" ".join(SECRETS))


def give(payload: dict[str, Any]) -> Any:
    """Returns what no record can hold."""
    cut = [("abcdefghij" * 50)[:length] + SECRETS[2] for length in range(470, 500, 5)]
    return {
        ("key", "x" * 30 + SECRETS[1]): "no name",
        "loud": Loud(),
        "bytes": " ".join(SECRETS).encode(),
        SECRETS[0]: {SECRETS[1]},
        "cut": [text.encode() for text in cut],
    }


def judge(payload: dict[str, Any], output: Any, rollout: Any) -> Any:
    """Raises with the keys, or names a score by one."""
    if payload["do"] == "be misjudged":
        raise ValueError(f"no reward for {SECRETS}")
    return {"scores": {f"score of {SECRETS[0]}": 1.0}, "weights": {f"score of {SECRETS[0]}": 1.0}}


WAYS = {
    "talk": talk,
    "ask": ask,
    "fail": fail,
    "leave": leave,
    "give": give,
    "be misjudged": lambda payload: every_spelling(),
}

if __name__ == "__main__":
    # Of the SDK that makes the calls, whose users may ask it to print what it sends, only warnings.
    logging.basicConfig(level=logging.DEBUG)
    logging.getLogger("openai").setLevel(logging.WARNING)
    app = AgentCoreRLApp(debug=True)
    app.rollout_entrypoint(reward=judge)(lambda payload: WAYS[payload["do"]](payload))
    serve(app, int(sys.argv[1]))
