"""The adapter: this framework behind the protocols of `agentcore_rl.adapter`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agentcore_rl.adapter import Deviations
from agentcore_rl.model_terms import importing
from agentcore_rl.tools import Tool

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.pregel import Pregel

    from agentcore_rl_langgraph.collector import LangGraphRolloutCollector

__all__ = ["FRAMEWORK", "INSTALL", "LangGraphAdapter", "adapter"]

FRAMEWORK: Mapping[str, str] = MappingProxyType(
    {
        "langchain": "LangChain",
        "langchain_core": "LangChain",
        "langchain_openai": "LangChain's OpenAI model",
        "langgraph": "LangGraph",
        "openai": "The OpenAI SDK",
    }
)
"""What must be installed, by what a person calls it."""
INSTALL = "agentcore-rl-langgraph"


class LangGraphAdapter:
    """LangGraph and LangChain as a `FrameworkAdapter` and an `AgentBuilder`."""

    name: str = "langgraph"
    # LangSmith is off unless asked for; then whole prompts leave, and the exit waits for it.
    import_env: Mapping[str, str] = MappingProxyType(
        {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false"}
    )
    deviations: Deviations = Deviations(
        bad_json="stop",
        bad_json_streamed="repaired",
        tool_exception="answered",
        tool_error_text=r"^Error: ",
        args_reserialised=True,
        adds_name=True,
    )

    def create_openai_compatible_model(
        self, *, agent: str = "main", provider_model_id: str | None = None, **sampling: Any
    ) -> BaseChatModel:
        """See `agentcore_rl_langgraph.create_openai_compatible_model`."""
        with importing(FRAMEWORK, INSTALL):
            # `build_agent` and `collector` need these: made at import, they are there before a fork.
            import langchain.agents  # noqa: F401

            import agentcore_rl_langgraph.collector  # noqa: F401
        from agentcore_rl_langgraph.model import create_openai_compatible_model

        return create_openai_compatible_model(agent=agent, provider_model_id=provider_model_id, **sampling)

    def collector(self) -> LangGraphRolloutCollector:
        """A fresh collector, to be passed as `config={"callbacks": [...]}`."""
        from agentcore_rl_langgraph.collector import LangGraphRolloutCollector

        return LangGraphRolloutCollector()

    def to_openai_messages(self, native: Any) -> list[dict[str, Any]]:
        """See `agentcore_rl_langgraph.to_openai_messages`."""
        from agentcore_rl_langgraph.messages import to_openai_messages

        return to_openai_messages(native)

    def build_agent(
        self,
        model: Any,
        tools: Sequence[Tool],
        instructions: str,
        *,
        collector: Any = None,
        name: str = "main",
    ) -> Pregel[Any]:
        """An agent of `create_agent` whose model is told of tools that raise.

        By default LangGraph lets a tool's exception end the agent, and a model's wrong argument
        would end a rollout.
        """
        with importing(FRAMEWORK, INSTALL):
            from langchain.agents import create_agent
            from langchain.agents.middleware import ToolErrorMiddleware
        agent: Pregel[Any] = create_agent(
            model,
            [_langchain_tool(tool) for tool in tools],
            system_prompt=instructions or None,
            middleware=[ToolErrorMiddleware(_told)] if tools else [],
            name=name,
        )
        return agent if collector is None else agent.with_config(callbacks=[collector])

    async def run_agent(self, agent: Pregel[Any], prompt: str) -> str:
        """Run the agent on one prompt; the text of its final answer.

        Raises:
            TypeError: the prompt is no string.
        """
        if not isinstance(prompt, str):
            raise TypeError(f"A prompt is a string, not {type(prompt).__name__}.")
        state = await agent.ainvoke({"messages": [{"role": "user", "content": prompt}]})
        return str(state["messages"][-1].text)

    def extract_tools(self, agent: Pregel[Any]) -> list[Tool]:
        """The tools of the graph's own tool nodes, as LangChain declares them to the model."""
        from langchain_core.utils.function_calling import convert_to_openai_tool

        return [Tool.from_openai(convert_to_openai_tool(tool)) for tool in _tools(agent)]


def _tools(graph: Any) -> Iterator[Any]:
    from langgraph.prebuilt import ToolNode

    for node in graph.nodes.values():
        if isinstance(node.bound, ToolNode):
            yield from node.bound.tools_by_name.values()


def _told(error: Exception, _: Any) -> str:
    """What the model reads of an exception, in the words of LangGraph's own `ToolNode`."""
    from langgraph.prebuilt.tool_node import TOOL_CALL_ERROR_TEMPLATE

    return str(TOOL_CALL_ERROR_TEMPLATE.format(error=repr(error)))


def _langchain_tool(declared: Tool) -> Any:
    """A tool with our name, description and schema."""
    from langchain_core.tools import StructuredTool

    function = declared.function
    if function is None:
        raise TypeError(f"Tool {declared.name!r} has no function to run.")
    asynchronous = inspect.iscoroutinefunction(function)
    return StructuredTool.from_function(
        None if asynchronous else function,
        function if asynchronous else None,
        name=declared.name,
        description=declared.description or declared.name,
        args_schema=dict(declared.parameters),
    )


adapter = LangGraphAdapter()
"""What the entry point `langgraph` of the group `agentcore_rl.adapters` names."""

for _name, _value in adapter.import_env.items():
    os.environ.setdefault(_name, _value)  # what a person has set stands
