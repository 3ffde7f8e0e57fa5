"""The CrewAI adapter of agentcore-rl: models, a rollout collector and the app.

Nothing of CrewAI is imported before it is used; what CrewAI reads from the environment when it is
imported is set as soon as this is.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Bound here, and not on first access, since a submodule has the same name.
from agentcore_rl_crewai.adapter import CrewAIAdapter, adapter

if TYPE_CHECKING:
    from agentcore_rl_crewai.app import CrewAIAgentCoreRLApp
    from agentcore_rl_crewai.collector import CrewAIRolloutCollector
    from agentcore_rl_crewai.messages import to_openai_messages
    from agentcore_rl_crewai.model import create_openai_compatible_model

__all__ = [
    "CrewAIAdapter",
    "CrewAIAgentCoreRLApp",
    "CrewAIRolloutCollector",
    "adapter",
    "create_openai_compatible_model",
    "to_openai_messages",
]

_HOMES = {
    "CrewAIAgentCoreRLApp": "app",
    "CrewAIRolloutCollector": "collector",
    "create_openai_compatible_model": "model",
    "to_openai_messages": "messages",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
