"""The adapter: this framework behind the protocols of `agentcore_rl.adapter`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agentcore_rl.adapter import Deviations
from agentcore_rl.model_terms import apply_import_env, importing
from agentcore_rl.tools import Tool

if TYPE_CHECKING:
    from crewai import Agent, BaseLLM
    from crewai.tools import BaseTool

    from agentcore_rl_crewai.collector import CrewAIRolloutCollector

__all__ = ["INSTALL", "MODULES", "BuiltAgent", "CrewAIAdapter", "adapter"]

INSTALL = "agentcore-rl-crewai"
"""What pip installs when something is missing."""

MODULES = {"crewai": "CrewAI", "openai": "The OpenAI SDK"}
"""What must be installed: top-level module -> what a person calls it."""


@dataclass(frozen=True, slots=True)
class BuiltAgent:
    """An agent of CrewAI with what it has no place for.

    Attributes:
        agent: the agent.
        instructions: its system prompt.
        collector: what listens while it runs; None: nobody.
    """

    agent: Agent
    instructions: str
    collector: CrewAIRolloutCollector | None


class CrewAIAdapter:
    """CrewAI as a `FrameworkAdapter` and an `AgentBuilder`."""

    name: str = "crewai"
    import_env: Mapping[str, str] = MappingProxyType(
        {
            # Else an exit without network takes ten seconds, and signal handlers are replaced.
            "CREWAI_DISABLE_TELEMETRY": "true",
            # Else the first run on a terminal waits twenty seconds for a consent.
            "CREWAI_TRACING_ENABLED": "false",
            "CREWAI_DISABLE_VERSION_CHECK": "true",
        }
    )
    deviations: Deviations = Deviations(
        tool_exception="answered",
        tool_error_text=r"^Error executing tool: ",
        keeps_text_with_tools=False,
        empty_raises=True,
        adds_name=True,
    )

    def create_openai_compatible_model(
        self, *, agent: str = "main", provider_model_id: str | None = None, **sampling: Any
    ) -> BaseLLM:
        """See `agentcore_rl_crewai.create_openai_compatible_model`."""
        from agentcore_rl_crewai.model import create_openai_compatible_model

        return create_openai_compatible_model(agent=agent, provider_model_id=provider_model_id, **sampling)

    def collector(self) -> CrewAIRolloutCollector:
        """A fresh collector; it hears what runs in `with collector.listening(): ...`."""
        from agentcore_rl_crewai.collector import CrewAIRolloutCollector

        return CrewAIRolloutCollector()

    def to_openai_messages(self, native: Any) -> list[dict[str, Any]]:
        """See `agentcore_rl_crewai.to_openai_messages`."""
        from agentcore_rl_crewai.messages import to_openai_messages

        return to_openai_messages(native)

    def build_agent(
        self,
        model: Any,
        tools: Sequence[Tool],
        instructions: str,
        *,
        collector: Any = None,
        name: str = "main",
    ) -> BuiltAgent:
        """An agent that runs each tool call it makes, as often as it makes it, and leaves retries to us."""
        with importing(MODULES, INSTALL):
            from crewai import Agent
        agent = Agent(
            role=name,
            goal="",
            backstory=instructions,
            llm=model,
            tools=[_crewai_tool(tool) for tool in tools],
            # Else a call with the arguments of an earlier one gets its answer without running.
            cache=False,
            max_retry_limit=0,
            # How many turns there may be is the rollout's to limit; here tools would be taken away.
            max_iter=1_000_000,
        )
        return BuiltAgent(agent, instructions, collector)

    async def run_agent(self, agent: BuiltAgent, prompt: str) -> str:
        """Run the agent on one prompt, quietly; the text of its final answer.

        Raises:
            TypeError: the prompt is no string. CrewAI takes messages too, calls and tool results
                among them.
        """
        if not isinstance(prompt, str):
            raise TypeError(f"A prompt is a string, not {type(prompt).__name__}.")
        with ExitStack() as stack:
            stack.enter_context(_verbatim(agent, prompt))
            if agent.collector is not None:
                stack.enter_context(agent.collector.listening())
            output = await agent.agent.kickoff_async(prompt)
        return output.raw

    def extract_tools(self, agent: BuiltAgent | Agent) -> list[Tool]:
        """The agent's own tools, as CrewAI declares them to the model."""
        from crewai.utilities.agent_utils import convert_tools_to_openai_schema
        from crewai.utilities.pydantic_schema_utils import sanitize_tool_params_for_openai_strict

        native = agent.agent if isinstance(agent, BuiltAgent) else agent
        declared = [Tool.from_openai(each) for each in convert_tools_to_openai_schema(native.tools or [])[0]]
        return [
            Tool(tool.name, tool.description, sanitize_tool_params_for_openai_strict(dict(tool.parameters)))
            for tool in declared
        ]


@contextmanager
def _verbatim(built: BuiltAgent, prompt: str) -> Iterator[None]:
    """Runs in this block print nothing, and this agent's begin with its instructions and the prompt alone.

    CrewAI writes "You are {role}. {backstory}" and "Current Task: {prompt}" around them; a provider
    of human input may set up the messages instead.
    """
    from crewai.core.providers.human_input import SyncHumanInputProvider, reset_provider, set_provider
    from crewai.events.utils.console_formatter import (
        set_suppress_console_output,
        should_suppress_console_output,
    )

    class Verbatim(SyncHumanInputProvider):
        def setup_messages(self, context: Any) -> bool:
            if context.agent is not built.agent:  # an agent that one of its tools runs
                return False
            if built.instructions:
                context.messages.append({"role": "system", "content": built.instructions})
            context.messages.append({"role": "user", "content": prompt})
            return True

    quiet = should_suppress_console_output()
    set_suppress_console_output(True)
    provider = set_provider(Verbatim())
    try:
        yield
    finally:
        reset_provider(provider)
        set_suppress_console_output(quiet)


def _crewai_tool(declared: Tool) -> BaseTool:
    """A tool with our name, description and schema."""
    from crewai.tools import BaseTool
    from crewai.utilities.pydantic_schema_utils import create_model_from_schema

    function = declared.function
    if function is None:
        raise TypeError(f"Tool {declared.name!r} has no function to run.")

    run = function

    class Declared(BaseTool):
        def _run(self, **arguments: Any) -> Any:
            return run(**arguments)

    return Declared(
        name=declared.name,
        description=declared.description or declared.name,
        args_schema=create_model_from_schema(dict(declared.parameters), model_name=declared.name),
    )


adapter = CrewAIAdapter()
"""What the entry point `crewai` of the group `agentcore_rl.adapters` names."""

apply_import_env(adapter.import_env, "crewai")
