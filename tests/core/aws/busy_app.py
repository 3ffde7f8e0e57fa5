"""An agent whose payload says how it makes its model calls: in which thread, on which loop, streamed or not.

    python busy_app.py DESCRIPTOR sync|async [ROLLOUTS_AT_ONCE]

With a number, each rollout waits until so many are in their handlers at once.
"""

import asyncio
import contextvars
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import openai

from agentcore_rl.aws.app import AgentCoreRLApp
from agentcore_rl.recorder.wire import clients, openai_arguments
from app_process import serve

TURNS = 3
ARGUMENTS = openai_arguments(agent="main", timeout_s=30)
# One model object each for the whole process, as users make them at import.
MODEL = openai.OpenAI(http_client=cast(Any, clients()[0]), **ARGUMENTS)
ASYNC_MODEL = openai.AsyncOpenAI(http_client=cast(Any, clients()[1]), **ARGUMENTS)

AT_ONCE = threading.Barrier(int(sys.argv[3]) if len(sys.argv) > 3 else 1)

Say = dict[str, Any]


def ask(messages: list[Say], streamed: bool) -> Say:
    """One call of the blocking client."""
    asked: Any = {"model": "policy", "messages": messages}
    if streamed:
        with MODEL.chat.completions.stream(**asked) as events:
            answer: Any = events.get_final_completion()
    else:
        answer = MODEL.chat.completions.create(**asked)
    return dict(answer.choices[0].message.model_dump(exclude_none=True))


async def ask_async(messages: list[Say], streamed: bool) -> Say:
    """One call of the other client."""
    asked: Any = {"model": "policy", "messages": messages}
    if streamed:
        async with ASYNC_MODEL.chat.completions.stream(**asked) as events:
            answer: Any = await events.get_final_completion()
    else:
        answer = await ASYNC_MODEL.chat.completions.create(**asked)
    return dict(answer.choices[0].message.model_dump(exclude_none=True))


def in_executor(messages: list[Say], streamed: bool) -> Say:
    """One call in a thread that has a copy of the context."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, ask, messages, streamed).result()


def on_a_loop_of_its_own(messages: list[Say], streamed: bool) -> Say:
    """As frameworks do it that offer a blocking call over an asynchronous model."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(
            contextvars.copy_context().run, lambda: asyncio.run(ask_async(messages, streamed))
        ).result()


async def in_task(messages: list[Say], streamed: bool) -> Say:
    """One call in a task of its own."""
    return await asyncio.create_task(ask_async(messages, streamed))


async def in_thread(messages: list[Say], streamed: bool) -> Say:
    """One call of the blocking client, off the loop."""
    return await asyncio.to_thread(ask, messages, streamed)


SYNC: dict[str, Callable[[list[Say], bool], Say]] = {
    "plainly": ask,
    "in an executor": in_executor,
    "on a loop": on_a_loop_of_its_own,
}
ASYNC: dict[str, Callable[[list[Say], bool], Awaitable[Say]]] = {
    "plainly": ask_async,
    "in a task": in_task,
    "in a thread": in_thread,
}


def with_answer(messages: list[Say], answer: Say) -> list[Say]:
    """The next prompt: the answer, and what its tools found."""
    found = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"found {call['function']['arguments']}"}
        for call in answer.get("tool_calls") or ()
    ]
    return [*messages, answer, *found]


def strayed(prompt: str) -> str:
    """What a call gets whose thread knows nothing of the rollout that started it."""
    heard: list[str] = []

    def stray() -> None:
        try:
            heard.append(str(ask([{"role": "user", "content": prompt}], False)["content"]))
        except openai.PermissionDeniedError as error:
            heard.append(f"refused: {error}")

    thread = threading.Thread(target=stray)
    thread.start()
    thread.join()
    return heard[0]


def solve(payload: Say) -> Any:
    """The agent, as a blocking function."""
    if payload["how"] == "astray":
        return strayed(payload["prompt"])
    if payload["how"] == "astray together":
        AT_ONCE.wait(30)
        said = strayed(payload["prompt"])
        AT_ONCE.wait(30)
        return said
    AT_ONCE.wait(30)
    messages = [{"role": "user", "content": payload["prompt"]}]
    for _ in range(TURNS):
        answer = SYNC[payload["how"]](messages, payload["streamed"])
        messages = with_answer(messages, answer)
    return messages[-1]["content"]


async def solve_async(payload: Say) -> Any:
    """The agent, as a coroutine function."""
    # Blocking its own loop, it would deadlock here if rollouts shared one.
    AT_ONCE.wait(30)
    messages = [{"role": "user", "content": payload["prompt"]}]
    for _ in range(TURNS):
        answer = await ASYNC[payload["how"]](messages, payload["streamed"])
        messages = with_answer(messages, answer)
    return messages[-1]["content"]


if __name__ == "__main__":
    app = AgentCoreRLApp()
    app.rollout_entrypoint(reward=lambda payload, output, rollout: float(len(rollout.turns)))(
        {"sync": solve, "async": solve_async}[sys.argv[2]]
    )
    serve(app, int(sys.argv[1]))
