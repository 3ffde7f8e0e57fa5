"""The protocol by which a framework is added, and the adapters that are installed.

An adapter is an object reachable through the entry point group `agentcore_rl.adapters`; it
implements `FrameworkAdapter` (what an agent author uses) and `AgentBuilder` (what the demo, the
conformance suite and evaluation use to build an agent in this framework).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from agentcore_rl.exceptions import MissingDependencyError
from agentcore_rl.tools import Tool

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["ADAPTERS", "AgentBuilder", "Deviations", "FrameworkAdapter"]

GROUP = "agentcore_rl.adapters"
ALIASES = {"langchain": "langgraph"}


@dataclass(frozen=True, slots=True)
class Deviations:
    """How a framework's messages differ from what the model server sent: declared, and tested both ways.

    Attributes:
        bad_json: what the next prompt holds in place of tool arguments that are not JSON, when the
            answer was not streamed: "kept" verbatim, "empty_object" (`{}`), "dropped" (the call is
            gone), or "stop" (the agent ends).
        bad_json_streamed: the same for a streamed answer; "repaired" where the framework completes
            the JSON and runs the tool.
        tool_exception: what a raising tool does: "answered" (the model sees an error text) or
            "raises" (the exception leaves the agent).
        tool_error_text: regular expression that matches the tool message of a raising tool, and of no
            other; `{error}` in it stands for the exception's text.
        keeps_reasoning: reasoning text of an answer is sent back in the next prompt.
        keeps_text_with_tools: text beside tool calls is sent back.
        args_reserialised: argument JSON is parsed and written anew (spacing, escapes).
        content_parts: text is sent as a list of parts instead of a string.
        adds_name: messages carry a `name` that the author did not write.
        length_raises: a finish reason of `length` raises instead of returning the text so far.
        empty_raises: an answer without text and tool calls raises instead of being returned.
        empty_tools_list: `tools: []` is sent when the agent has none.
        hidden_calls: there are model calls that no callback sees.
    """

    bad_json: Literal["kept", "empty_object", "dropped", "stop"] = "kept"
    bad_json_streamed: Literal["kept", "empty_object", "dropped", "stop", "repaired"] = "kept"
    tool_exception: Literal["answered", "raises"] = "answered"
    tool_error_text: str = ".*"
    keeps_reasoning: bool = False
    keeps_text_with_tools: bool = True
    args_reserialised: bool = False
    content_parts: bool = False
    adds_name: bool = False
    length_raises: bool = False
    empty_raises: bool = False
    empty_tools_list: bool = False
    hidden_calls: bool = False

    def is_tool_error(self, message: str, error: str) -> bool:
        """Whether this is the message of a tool that raised.

        Args:
            message: text of the tool message.
            error: the exception's text.
        """
        pattern = self.tool_error_text.replace("{error}", re.escape(error))
        return self.tool_exception == "answered" and re.search(pattern, message) is not None


@runtime_checkable
class FrameworkAdapter(Protocol):
    """What an agent author uses of a framework's adapter.

    Attributes:
        name: the framework's short name, equal to the entry point's.
        import_env: environment variables that must be set before the framework is imported.
        deviations: how its messages differ from the wire.
    """

    name: str
    import_env: Mapping[str, str]
    deviations: Deviations

    def create_openai_compatible_model(
        self, *, agent: str = "main", provider_model_id: str | None = None, **sampling: Any
    ) -> Any:
        """A model object of the framework that finds its endpoint at each call.

        Args:
            agent: label of the calls that are made through this object.
            provider_model_id: a hosted model (Bedrock and others) instead, for evaluation.
            **sampling: what the agent asks for (temperature, max_tokens, ...); a request's own wins.
        """
        ...

    def collector(self) -> Any:
        """A fresh rollout collector, to be attached to an agent by the framework's official hooks."""
        ...

    def to_openai_messages(self, native: Any) -> list[dict[str, Any]]:
        """OpenAI-style messages from the framework's own; raises TypeError for an unknown type."""
        ...


@runtime_checkable
class AgentBuilder(Protocol):
    """Builds and runs an agent, the same way in every framework."""

    def build_agent(
        self,
        model: Any,
        tools: Sequence[Tool],
        instructions: str,
        *,
        collector: Any = None,
        name: str = "main",
    ) -> Any:
        """An agent of the framework, with nothing of an earlier run in it.

        Args:
            model: a model object of the framework.
            tools: its function tools; each has a callable.
            instructions: the system prompt, sent verbatim.
            collector: a collector of this adapter to attach, or None.
            name: the agent's name.
        """
        ...

    async def run_agent(self, agent: Any, prompt: str) -> str:
        """Run the agent on one user prompt to its end; the final answer's text."""
        ...

    def extract_tools(self, agent: Any) -> list[Tool]:
        """The tools that this agent has, as declarations."""
        ...


class _Adapters(Mapping[str, Any]):
    """name -> adapter, found by entry point and loaded on first access."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def _found(self) -> dict[str, EntryPoint]:
        from importlib.metadata import entry_points  # costs more than the whole rest of this module

        return {point.name: point for point in entry_points(group=GROUP)}

    def __getitem__(self, name: str) -> Any:
        name = ALIASES.get(name, name)
        if name not in self._loaded:
            point = self._found().get(name)
            if point is None:
                raise KeyError(name)
            self._loaded[name] = point.load()
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        """Whether it is installed; loads nothing."""
        return name in self._loaded or ALIASES.get(str(name), name) in self._found()

    def require(self, name: str) -> Any:
        """The adapter, or an error that names the package to install.

        Raises:
            MissingDependencyError: no adapter of this name is installed.
        """
        try:
            return self[name]
        except KeyError:
            package = ALIASES.get(name, name)
            raise MissingDependencyError(
                f"There is no adapter for {name!r} here (installed: {', '.join(self) or 'none'}). "
                f'Install it with: pip install "agentcore-rl-{package}"'
            ) from None

    def import_env(self) -> dict[str, str]:
        """What the installed frameworks must find in the environment before they are imported.

        Sessions that are started for an app get it, whatever framework the app uses. What a person
        has set stands; adapters that cannot be loaded are left out.
        """
        merged: dict[str, str] = {}
        for name in self:
            with suppress(Exception):  # its own import says what is wrong with it, where it is used
                merged |= self[name].import_env
        return {name: value for name, value in merged.items() if name not in os.environ}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._found()))

    def __len__(self) -> int:
        return len(self._found())


ADAPTERS = _Adapters()
"""The adapters that are installed: name -> adapter, loaded on first access."""
