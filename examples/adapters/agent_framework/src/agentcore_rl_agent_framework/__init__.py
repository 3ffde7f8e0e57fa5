"""The AgentFramework adapter of agentcore-rl: models, a rollout collector and the app.

Nothing of the framework is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Bound here, and not on first access, since a submodule has the same name.
from agentcore_rl_agent_framework.adapter import AgentFrameworkAdapter, adapter

if TYPE_CHECKING:
    from agentcore_rl_agent_framework.app import AgentFrameworkAgentCoreRLApp
    from agentcore_rl_agent_framework.collector import AgentFrameworkRolloutCollector
    from agentcore_rl_agent_framework.messages import to_openai_messages
    from agentcore_rl_agent_framework.model import create_openai_compatible_model

__all__ = [
    "AgentFrameworkAdapter",
    "AgentFrameworkAgentCoreRLApp",
    "AgentFrameworkRolloutCollector",
    "adapter",
    "create_openai_compatible_model",
    "to_openai_messages",
]

_HOMES = {
    "AgentFrameworkAgentCoreRLApp": "app",
    "AgentFrameworkRolloutCollector": "collector",
    "create_openai_compatible_model": "model",
    "to_openai_messages": "messages",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
