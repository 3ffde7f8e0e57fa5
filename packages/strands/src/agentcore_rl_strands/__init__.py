"""The Strands Agents adapter of agentcore-rl: models, a rollout collector and the app.

Nothing of Strands is imported before it is used.
"""

from typing import TYPE_CHECKING

from agentcore_rl.late_imports import late_imports

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

__getattr__, __dir__ = late_imports(
    __name__,
    {
        "app": ("StrandsAgentCoreRLApp",),
        "collector": ("StrandsRolloutCollector",),
        "model": ("create_openai_compatible_model",),
        "messages": ("to_openai_messages",),
    },
)
