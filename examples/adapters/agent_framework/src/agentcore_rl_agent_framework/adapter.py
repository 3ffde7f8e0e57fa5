"""The adapter: this framework behind the protocols of `agentcore_rl.adapter`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agentcore_rl.adapter import Deviations
from agentcore_rl.model_terms import importing
from agentcore_rl.tools import Tool

if TYPE_CHECKING:
    from agent_framework import Agent, BaseChatClient

    from agentcore_rl_agent_framework.collector import AgentFrameworkRolloutCollector

__all__ = ["INSTALL", "MODULES", "AgentFrameworkAdapter", "adapter"]

INSTALL = "agentcore-rl-agent-framework"
"""What pip installs when something is missing."""

MODULES = {
    "agent_framework": "The Agent Framework",
    "agent_framework_openai": "The Agent Framework's OpenAI model",
    "openai": "The OpenAI SDK",
}
"""What must be installed: top-level module -> what a person calls it."""


class AgentFrameworkAdapter:
    """AgentFramework as a `FrameworkAdapter` and an `AgentBuilder`."""

    name: str = "agent_framework"
    import_env: Mapping[str, str] = MappingProxyType({})
    deviations: Deviations = Deviations(
        # agent_framework/_tools.py (1.23.0), line 2016: what was raised is kept from the model, unless the
        # client is made with include_detailed_errors.
        tool_error_text=r"^Error: Function failed\.",
    )

    def create_openai_compatible_model(
        self, *, agent: str = "main", provider_model_id: str | None = None, **sampling: Any
    ) -> BaseChatClient[Any]:
        """See `agentcore_rl_agent_framework.create_openai_compatible_model`."""
        from agentcore_rl_agent_framework.model import create_openai_compatible_model

        return create_openai_compatible_model(agent=agent, provider_model_id=provider_model_id, **sampling)

    def collector(self) -> AgentFrameworkRolloutCollector:
        """A fresh collector, to be passed to `Agent(middleware=[...])`."""
        from agentcore_rl_agent_framework.collector import AgentFrameworkRolloutCollector

        return AgentFrameworkRolloutCollector()

    def to_openai_messages(self, native: Any) -> list[dict[str, Any]]:
        """See `agentcore_rl_agent_framework.to_openai_messages`."""
        from agentcore_rl_agent_framework.messages import to_openai_messages

        return to_openai_messages(native)

    def build_agent(
        self,
        model: Any,
        tools: Sequence[Tool],
        instructions: str,
        *,
        collector: Any = None,
        name: str = "main",
    ) -> Agent[Any]:
        """An agent that keeps its whole history and asks nobody for approval."""
        with importing(MODULES, INSTALL):
            from agent_framework import Agent
        return Agent(
            model,
            instructions or None,
            name=name,
            tools=[_function_tool(tool) for tool in tools],
            middleware=[] if collector is None else [collector],
        )

    async def run_agent(self, agent: Agent[Any], prompt: str) -> str:
        """Run the agent on one prompt; the text of its final answer.

        Raises:
            TypeError: the prompt is no string.
        """
        if not isinstance(prompt, str):
            raise TypeError(f"A prompt is a string, not {type(prompt).__name__}.")
        response = await agent.run(prompt)
        # The response's own `text` is that of all turns, joined.
        said = response.messages[-1].contents if response.messages else []
        return "".join(content.text or "" for content in said if content.type == "text")

    def extract_tools(self, agent: Agent[Any]) -> list[Tool]:
        """The agent's function tools, as the framework declares them to the model.

        Raises:
            TypeError: a tool is none of functions (a hosted one, say).
        """
        from agent_framework import FunctionTool

        found = agent.default_options.get("tools") or []
        if odd := [tool for tool in found if not isinstance(tool, FunctionTool)]:
            raise TypeError(f"These tools are no functions: {odd!r:.200}")
        return [Tool(tool.name, tool.description, dict(tool.parameters())) for tool in found]


def _function_tool(declared: Tool) -> Any:
    """A tool as its author would declare it, with our name, description and schema."""
    from agent_framework import FunctionTool

    if declared.function is None:
        raise TypeError(f"Tool {declared.name!r} has no function to run.")
    return FunctionTool(
        name=declared.name,
        description=declared.description,
        func=declared.function,
        input_model=dict(declared.parameters),
    )


adapter = AgentFrameworkAdapter()
"""What the entry point `agent_framework` of the group `agentcore_rl.adapters` names."""
