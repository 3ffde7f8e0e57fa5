"""The AutoGen adapter of agentcore-rl: models, a rollout collector and the app.

Nothing of AutoGen is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Bound here, and not on first access, since a submodule has the same name.
from agentcore_rl_autogen.adapter import AutoGenAdapter, adapter

if TYPE_CHECKING:
    from agentcore_rl_autogen.app import AutoGenAgentCoreRLApp
    from agentcore_rl_autogen.collector import AutoGenRolloutCollector
    from agentcore_rl_autogen.messages import to_openai_messages
    from agentcore_rl_autogen.model import create_openai_compatible_model

__all__ = [
    "AutoGenAdapter",
    "AutoGenAgentCoreRLApp",
    "AutoGenRolloutCollector",
    "adapter",
    "create_openai_compatible_model",
    "to_openai_messages",
]

_HOMES = {
    "AutoGenAgentCoreRLApp": "app",
    "AutoGenRolloutCollector": "collector",
    "create_openai_compatible_model": "model",
    "to_openai_messages": "messages",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
