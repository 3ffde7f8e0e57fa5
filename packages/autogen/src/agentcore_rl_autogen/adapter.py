"""The adapter: this framework behind the protocols of `agentcore_rl.adapter`."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agentcore_rl.adapter import Deviations
from agentcore_rl.model_terms import importing
from agentcore_rl.tools import Tool

if TYPE_CHECKING:
    from autogen_agentchat.agents import AssistantAgent
    from autogen_agentchat.base import TaskRunner
    from autogen_core.models import ChatCompletionClient

    from agentcore_rl_autogen.collector import AutoGenRolloutCollector

__all__ = ["INSTALL", "MODULES", "AutoGenAdapter", "adapter"]

INSTALL = "agentcore-rl-autogen"
"""What pip installs when something is missing."""

MODULES = {
    "autogen_agentchat": "AutoGen AgentChat",
    "autogen_core": "AutoGen",
    "autogen_ext": "AutoGen's extensions",
    "openai": "The OpenAI SDK",
    "tiktoken": "AutoGen's OpenAI extension",
}
"""What must be installed: top-level module -> what a person calls it."""


class AutoGenAdapter:
    """AutoGen as a `FrameworkAdapter` and an `AgentBuilder`."""

    name: str = "autogen"
    import_env: Mapping[str, str] = MappingProxyType({})
    deviations: Deviations = Deviations(
        bad_json="kept",
        bad_json_streamed="kept",
        tool_exception="answered",
        tool_error_text=r"^{error}$",  # nothing says that it is an error
    )

    def create_openai_compatible_model(
        self, *, agent: str = "main", provider_model_id: str | None = None, **sampling: Any
    ) -> ChatCompletionClient:
        """See `agentcore_rl_autogen.create_openai_compatible_model`."""
        from agentcore_rl_autogen.model import create_openai_compatible_model

        return create_openai_compatible_model(agent=agent, provider_model_id=provider_model_id, **sampling)

    def collector(self) -> AutoGenRolloutCollector:
        """A fresh collector; it is attached to nothing, and hears from now on."""
        from agentcore_rl_autogen.collector import AutoGenRolloutCollector

        return AutoGenRolloutCollector()

    def to_openai_messages(self, native: Any) -> list[dict[str, Any]]:
        """See `agentcore_rl_autogen.to_openai_messages`."""
        from agentcore_rl_autogen.messages import to_openai_messages

        return to_openai_messages(native)

    def build_agent(
        self,
        model: Any,
        tools: Sequence[Tool],
        instructions: str,
        *,
        collector: Any = None,
        name: str = "main",
    ) -> AssistantAgent:
        """An agent that goes on until the model answers with text, under this name in records.

        AutoGen's agents are named like variables: other characters become underscores there.
        """
        with importing(MODULES, INSTALL):
            from autogen_agentchat.agents import AssistantAgent
        if name != "main" and getattr(model, "announced_as", None) == "main":
            model = model.announcing_as(name)
        identifier = re.sub(r"\W", "_", name)
        return AssistantAgent(
            identifier if identifier.isidentifier() else f"_{identifier}",
            model,
            tools=[_autogen_tool(tool) for tool in tools] or None,
            system_message=instructions or None,
            model_client_stream=bool(getattr(model, "streams", False)),
            # By default tools run once, and what they return is the agent's answer.
            max_tool_iterations=sys.maxsize,
            reflect_on_tool_use=False,
        )

    async def run_agent(self, agent: TaskRunner, prompt: str) -> str:
        """Run an agent or a team on one prompt; the text of its final answer.

        Raises:
            TypeError: the prompt is no string.
        """
        if not isinstance(prompt, str):
            raise TypeError(f"A prompt is a string, not {type(prompt).__name__}.")
        result = await agent.run(task=prompt)
        return result.messages[-1].to_text()

    def extract_tools(self, agent: Any) -> list[Tool]:
        """The tools of an agent, handoffs among them, or of a team's agents, as AutoGen declares them.

        Raises:
            TypeError: the agent's tools are known only to a server that must be asked.
        """
        found = {
            schema["name"]: Tool(schema["name"], schema.get("description", ""), schema.get("parameters", {}))
            for schema in _schemas(agent)
        }
        return list(found.values())


def _schemas(agent: Any) -> Iterator[Mapping[str, Any]]:
    # AutoGen has no public way to an agent's tools: its serialised form would need their source code.
    for participant in getattr(agent, "_participants", ()):
        yield from _schemas(participant)
    for workbench in getattr(agent, "_workbench", ()):
        yield from _at_once(workbench.list_tools())
    for handoff in getattr(agent, "_handoff_tools", ()):
        yield handoff.schema


def _at_once(listing: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that waits for nothing."""
    try:
        listing.send(None)
    except StopIteration as returned:
        return returned.value
    listing.close()
    raise TypeError("The agent's tools are on a server: ask its workbench with list_tools().")


def _autogen_tool(declared: Tool) -> Any:
    """A tool with our name, description and schema; AutoGen would derive them from the signature."""
    import asyncio

    from autogen_core import CancellationToken
    from autogen_core.tools import BaseTool, ToolSchema
    from pydantic import BaseModel, ConfigDict

    if declared.function is None:
        raise TypeError(f"Tool {declared.name!r} has no function to run.")
    function = declared.function

    class Arguments(BaseModel):
        model_config = ConfigDict(extra="allow")

    class DeclaredTool(BaseTool[Arguments, Any]):
        component_config_schema = Arguments

        @property
        def schema(self) -> ToolSchema:
            parameters: Any = dict(declared.parameters)
            return ToolSchema(name=declared.name, description=declared.description, parameters=parameters)

        async def run(self, args: Arguments, cancellation_token: CancellationToken) -> Any:
            given = args.model_extra or {}
            if inspect.iscoroutinefunction(function):
                return await function(**given)
            # AutoGen runs plain functions without the rollout's variables.
            running = asyncio.ensure_future(asyncio.to_thread(function, **given))
            cancellation_token.link_future(running)
            return await running

    return DeclaredTool(Arguments, object, declared.name, declared.description)


adapter = AutoGenAdapter()
"""What the entry point `autogen` of the group `agentcore_rl.adapters` names."""
