"""The adapter: this framework behind the protocols of `agentcore_rl.adapter`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agentcore_rl.adapter import Deviations
from agentcore_rl.model_terms import importing
from agentcore_rl.tools import Tool

if TYPE_CHECKING:
    from strands import Agent
    from strands.models import Model

    from agentcore_rl_strands.collector import StrandsRolloutCollector

__all__ = ["INSTALL", "MODULES", "StrandsAdapter", "adapter"]

INSTALL = "agentcore-rl-strands"
"""What pip installs when something is missing."""

MODULES = {"openai": "The OpenAI SDK", "strands": "Strands Agents"}
"""What must be installed: top-level module -> what a person calls it."""


class StrandsAdapter:
    """Strands Agents as a `FrameworkAdapter` and an `AgentBuilder`."""

    name: str = "strands"
    import_env: Mapping[str, str] = MappingProxyType({})
    deviations: Deviations = Deviations(
        bad_json="empty_object",
        bad_json_streamed="empty_object",
        tool_exception="answered",
        tool_error_text=r"^Error: ",
        args_reserialised=True,
        content_parts=True,
        length_raises=True,
        empty_tools_list=True,
        hidden_calls=True,
    )

    def create_openai_compatible_model(
        self, *, agent: str = "main", provider_model_id: str | None = None, **sampling: Any
    ) -> Model:
        """See `agentcore_rl_strands.create_openai_compatible_model`."""
        from agentcore_rl_strands.model import create_openai_compatible_model

        return create_openai_compatible_model(agent=agent, provider_model_id=provider_model_id, **sampling)

    def collector(self) -> StrandsRolloutCollector:
        """A fresh collector, to be passed to `Agent(hooks=[...])`."""
        from agentcore_rl_strands.collector import StrandsRolloutCollector

        return StrandsRolloutCollector()

    def to_openai_messages(self, native: Any) -> list[dict[str, Any]]:
        """See `agentcore_rl_strands.to_openai_messages`."""
        from agentcore_rl_strands.messages import to_openai_messages

        return to_openai_messages(native)

    def build_agent(
        self,
        model: Any,
        tools: Sequence[Tool],
        instructions: str,
        *,
        collector: Any = None,
        name: str = "main",
    ) -> Agent:
        """An agent that prints nothing, keeps its whole history, and leaves retries to our transport."""
        with importing(MODULES, INSTALL):
            from strands import Agent
            from strands.agent.conversation_manager import NullConversationManager
        return Agent(
            model=model,
            tools=[_strands_tool(tool) for tool in tools],
            system_prompt=instructions or None,
            name=name,
            hooks=[] if collector is None else [collector],
            callback_handler=None,
            # By default 40 messages are kept: a longer rollout's prompts would lose their beginning.
            conversation_manager=NullConversationManager(),
            retry_strategy=None,
        )

    async def run_agent(self, agent: Agent, prompt: str) -> str:
        """Run the agent on one prompt; the text of its final answer.

        Raises:
            TypeError: the prompt is no string. Strands takes content blocks too, and would run the
                tool that a `toolUse` block names without asking the model.
        """
        if not isinstance(prompt, str):
            raise TypeError(f"A prompt is a string, not {type(prompt).__name__}.")
        answer = await agent.invoke_async(prompt)
        return "".join(block["text"] for block in answer.message["content"] if "text" in block)

    def extract_tools(self, agent: Agent) -> list[Tool]:
        """The agent's tools, as Strands declares them to the model."""
        return [
            Tool(spec["name"], spec["description"], spec["inputSchema"]["json"])
            for spec in agent.tool_registry.get_all_tool_specs()
        ]


def _strands_tool(declared: Tool) -> Any:
    """A tool as its author would declare it, with our name, description and schema."""
    from strands import tool

    if declared.function is None:
        raise TypeError(f"Tool {declared.name!r} has no function to run.")
    return tool(
        name=declared.name,
        description=declared.description or declared.name,
        inputSchema={"json": dict(declared.parameters)},
    )(declared.function)


adapter = StrandsAdapter()
"""What the entry point `strands` of the group `agentcore_rl.adapters` names."""
