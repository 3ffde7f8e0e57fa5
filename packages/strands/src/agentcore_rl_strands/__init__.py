"""The Strands Agents adapter of agentcore-rl: models, a rollout collector and the app.

Nothing of Strands is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Bound here, and not on first access, since a submodule has the same name.
from agentcore_rl_strands.adapter import StrandsAdapter, adapter

if TYPE_CHECKING:
    from agentcore_rl_strands.app import StrandsAgentCoreRLApp
    from agentcore_rl_strands.collector import StrandsRolloutCollector
    from agentcore_rl_strands.messages import to_openai_messages
    from agentcore_rl_strands.model import create_openai_compatible_model

__all__ = [
    "StrandsAdapter",
    "StrandsAgentCoreRLApp",
    "StrandsRolloutCollector",
    "adapter",
    "create_openai_compatible_model",
    "to_openai_messages",
]

_HOMES = {
    "StrandsAgentCoreRLApp": "app",
    "StrandsRolloutCollector": "collector",
    "create_openai_compatible_model": "model",
    "to_openai_messages": "messages",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
