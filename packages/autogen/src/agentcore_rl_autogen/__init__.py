"""The AutoGen adapter of agentcore-rl: models, a rollout collector and the app.

Nothing of AutoGen is imported before it is used.
"""

from typing import TYPE_CHECKING

from agentcore_rl.late_imports import late_imports

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

__getattr__, __dir__ = late_imports(
    __name__,
    {
        "app": ("AutoGenAgentCoreRLApp",),
        "collector": ("AutoGenRolloutCollector",),
        "model": ("create_openai_compatible_model",),
        "messages": ("to_openai_messages",),
    },
)
