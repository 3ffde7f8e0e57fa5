"""The contract of adapters, over each that is installed."""

import asyncio
import warnings
from typing import Any, ClassVar

import pytest

from agentcore_rl.adapter import ADAPTERS
from agentcore_rl.testing import AdapterConformance


class StrandsWays:
    """What only Strands can say of itself: its synchronous call, and a call that its hooks do not see."""

    @staticmethod
    def run_sync(agent: Any, prompt: str) -> str:
        return str(agent(prompt)).removesuffix("\n")

    @staticmethod
    async def hidden_call(agent: Any) -> None:
        from pydantic import BaseModel

        class Anything(BaseModel):
            pass

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            await asyncio.to_thread(agent.structured_output, Anything, "Begin.")


class LangGraphWays:
    @staticmethod
    def run_sync(agent: Any, prompt: str) -> str:
        state = agent.invoke({"messages": [{"role": "user", "content": prompt}]})
        return str(state["messages"][-1].text)


class AutoGenWays:
    # AutoGen warns of each empty answer, before it returns it.
    pytestmark: ClassVar = [pytest.mark.filterwarnings("ignore:No text content or tool calls:UserWarning")]


class CrewAIWays:
    pytestmark: ClassVar = [
        pytest.mark.leaves_running,  # its event bus keeps ten threads
        # It reads fields of its own that it has deprecated.
        pytest.mark.filterwarnings("ignore:(function_calling_llm is )?deprecated:DeprecationWarning"),
        pytest.mark.filterwarnings("ignore:Cannot set an attribute on 'crewai:ImportWarning"),
    ]


WAYS: dict[str, type] = {
    "autogen": AutoGenWays,
    "crewai": CrewAIWays,
    "langgraph": LangGraphWays,
    "strands": StrandsWays,
}

for _name in ADAPTERS:
    _class = f"Test{_name.title()}"
    _bases = (*([WAYS[_name]] if _name in WAYS else []), AdapterConformance)
    globals()[_class] = type(_class, _bases, {"name": _name})


def test_every_installed_adapter_is_held_to_the_contract() -> None:
    """Each has its class of tests here, found by its entry point."""
    assert {f"Test{name.title()}" for name in ADAPTERS} <= set(globals())
