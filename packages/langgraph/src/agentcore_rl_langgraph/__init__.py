"""The LangGraph and LangChain adapter of agentcore-rl: models, a rollout collector and the app.

Nothing of LangChain is imported before it is used.
"""

from typing import TYPE_CHECKING

from agentcore_rl.late_imports import late_imports

# Bound here, and not on first access, since a submodule has the same name.
from agentcore_rl_langgraph.adapter import LangGraphAdapter, adapter

if TYPE_CHECKING:
    from agentcore_rl_langgraph.app import LangGraphAgentCoreRLApp
    from agentcore_rl_langgraph.collector import LangGraphRolloutCollector
    from agentcore_rl_langgraph.messages import to_openai_messages
    from agentcore_rl_langgraph.model import create_openai_compatible_model

__all__ = [
    "LangGraphAdapter",
    "LangGraphAgentCoreRLApp",
    "LangGraphRolloutCollector",
    "adapter",
    "create_openai_compatible_model",
    "to_openai_messages",
]

__getattr__, __dir__ = late_imports(
    __name__,
    {
        "app": ("LangGraphAgentCoreRLApp",),
        "collector": ("LangGraphRolloutCollector",),
        "model": ("create_openai_compatible_model",),
        "messages": ("to_openai_messages",),
    },
)
