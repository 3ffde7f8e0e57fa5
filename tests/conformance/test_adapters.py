"""The contract of adapters, over each that is installed."""

import asyncio
import warnings
from typing import Any, ClassVar

import pytest

from agentcore_rl.adapter import ADAPTERS
from agentcore_rl.testing import AdapterConformance
from agentcore_rl.testing.adapter_conformance_comparison import compare_adapter


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


# CrewAI reads fields of its own that it has deprecated.
CREWAI_WARNINGS = (
    "ignore:(function_calling_llm is )?deprecated:DeprecationWarning",
    "ignore:Cannot set an attribute on 'crewai:ImportWarning",
)


class CrewAIWays:
    # Its event bus keeps ten threads.
    pytestmark: ClassVar = [pytest.mark.leaves_running, pytest.mark.filterwarnings(*CREWAI_WARNINGS)]


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


@pytest.mark.leaves_running
@pytest.mark.filterwarnings(*CREWAI_WARNINGS)
@pytest.mark.parametrize("stream", [False, True])
def test_one_script_yields_equal_messages(stream: bool) -> None:
    """In the records of all adapters, but for what each declares."""
    undeclared = {
        name: [difference for difference in differences if difference.deviation is None]
        for name in ADAPTERS
        for differences in [asyncio.run(compare_adapter(ADAPTERS[name], stream=stream))]
    }
    assert undeclared == {name: [] for name in ADAPTERS}
