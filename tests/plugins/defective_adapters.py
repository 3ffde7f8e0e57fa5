"""Adapters that are found by a new process, each with a mistake of somebody. They have no framework."""

import asyncio
import atexit
import contextlib
import importlib
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from agentcore_rl.adapter import Deviations
from agentcore_rl.exceptions import MissingDependencyError
from agentcore_rl.tools import Tool

TOLD = 'Frames is not installed here. Install it with: pip install "agentcore-rl-frames"'


class Frameless:
    """An adapter of its own little loop."""

    name = "frameless"
    import_env: ClassVar[Mapping[str, str]] = {}
    deviations = Deviations()

    def create_openai_compatible_model(self, **_: Any) -> Any:
        try:
            return importlib.import_module("openai")
        except ModuleNotFoundError:
            raise MissingDependencyError(TOLD) from None

    def collector(self) -> Any:
        return None

    def to_openai_messages(self, native: Any) -> list[dict[str, Any]]:
        return []

    def build_agent(self, model: Any, tools: Sequence[Tool], instructions: str, **_: Any) -> Any:
        if model is None:
            raise MissingDependencyError(TOLD)
        return {tool.name: tool.function for tool in tools}

    async def run_agent(self, agent: Any, prompt: str) -> str:
        from agentcore_rl.recorder.wire import PLACEHOLDER_URL, clients

        messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
        while True:
            asked = {"model": "policy", "messages": messages}
            answer = await clients()[1].post(f"{PLACEHOLDER_URL}/chat/completions", json=asked)
            message = answer.json()["choices"][0]["message"]
            if not message.get("tool_calls"):
                return str(message["content"])
            messages += [message, {"role": "tool", "tool_call_id": "call_add", "content": "3"}]

    def extract_tools(self, agent: Any) -> list[Tool]:
        return []


class ImportsItsFramework(Frameless):
    @property
    def deviations(self) -> Deviations:  # type: ignore[override]
        importlib.import_module("openai")
        return Deviations()


class NeedsNothing(Frameless):
    def create_openai_compatible_model(self, **_: Any) -> Any:
        return object()


class SaysNotHow(Frameless):
    def create_openai_compatible_model(self, **_: Any) -> Any:
        return importlib.import_module("openai")


class BreaksInANewProcess(Frameless):
    async def run_agent(self, agent: Any, prompt: str) -> str:
        raise RuntimeError("no home")


class PhonesHome(Frameless):
    async def run_agent(self, agent: Any, prompt: str) -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
            there.sendto(b"hello", ("127.0.0.1", 9))
        return await super().run_agent(agent, prompt)


class LooksUpItsHome(Frameless):
    async def run_agent(self, agent: Any, prompt: str) -> str:
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().getaddrinfo("telemetry.invalid", 443)
        return await super().run_agent(agent, prompt)


class Asks(Frameless):
    async def run_agent(self, agent: Any, prompt: str) -> str:
        with contextlib.suppress(EOFError):
            await asyncio.to_thread(input)
        return await super().run_agent(agent, prompt)


class Prints(Frameless):
    async def run_agent(self, agent: Any, prompt: str) -> str:
        print("thinking ...")
        return await super().run_agent(agent, prompt)


class Lingers(Frameless):
    async def run_agent(self, agent: Any, prompt: str) -> str:
        atexit.register(time.sleep, 1)
        return await super().run_agent(agent, prompt)


frameless = Frameless()
imports_its_framework = ImportsItsFramework()
needs_nothing = NeedsNothing()
says_not_how = SaysNotHow()
breaks_in_a_new_process = BreaksInANewProcess()
phones_home = PhonesHome()
looks_up_its_home = LooksUpItsHome()
asks = Asks()
prints = Prints()
lingers = Lingers()
