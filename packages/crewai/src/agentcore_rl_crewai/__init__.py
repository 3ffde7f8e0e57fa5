"""The CrewAI adapter of agentcore-rl: models, a rollout collector and the app.

Nothing of CrewAI is imported before it is used; what CrewAI reads from the environment when it is
imported is set as soon as this is.
"""

from typing import TYPE_CHECKING

from agentcore_rl.late_imports import late_imports

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

__getattr__, __dir__ = late_imports(
    __name__,
    {
        "app": ("CrewAIAgentCoreRLApp",),
        "collector": ("CrewAIRolloutCollector",),
        "model": ("create_openai_compatible_model",),
        "messages": ("to_openai_messages",),
    },
)
