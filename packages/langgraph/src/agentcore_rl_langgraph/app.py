"""The AgentCore app with this framework's model at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentcore_rl.aws.app import AgentCoreRLApp
from agentcore_rl_langgraph.model import create_openai_compatible_model

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ["LangGraphAgentCoreRLApp"]


class LangGraphAgentCoreRLApp(AgentCoreRLApp):
    """`AgentCoreRLApp` for LangGraph and LangChain agents."""

    def create_openai_compatible_model(
        self, *, agent: str = "main", provider_model_id: str | None = None, **sampling: Any
    ) -> BaseChatModel:
        """The same as the function `create_openai_compatible_model`, which see."""
        return create_openai_compatible_model(agent=agent, provider_model_id=provider_model_id, **sampling)
