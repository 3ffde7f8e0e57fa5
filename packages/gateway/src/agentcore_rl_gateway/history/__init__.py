"""A rollout's conversations as token ids: which turn a prompt goes on with, and rows for training."""

from agentcore_rl_gateway.history.history import History, Plan
from agentcore_rl_gateway.history.rows import Account, Row

__all__ = ["Account", "History", "Plan", "Row"]
