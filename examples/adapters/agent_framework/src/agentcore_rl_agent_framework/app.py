"""The AgentCore app with this framework's model at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentcore_rl.aws.app import AgentCoreRLApp
from agentcore_rl_agent_framework.model import create_openai_compatible_model

if TYPE_CHECKING:
    from agent_framework import BaseChatClient

__all__ = ["AgentFrameworkAgentCoreRLApp"]


class AgentFrameworkAgentCoreRLApp(AgentCoreRLApp):
    """`AgentCoreRLApp` for agents of the Agent Framework."""

    def create_openai_compatible_model(
        self, *, agent: str = "main", provider_model_id: str | None = None, **sampling: Any
    ) -> BaseChatClient[Any]:
        """The same as the function `create_openai_compatible_model`, which see."""
        return create_openai_compatible_model(agent=agent, provider_model_id=provider_model_id, **sampling)
