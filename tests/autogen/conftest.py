"""A rollout of a real AutoGen agent against a scripted model."""

from typing import Any

import pytest

import agentcore_rl_autogen
from played import play, serving, store

__all__ = ["play", "serving", "store"]


@pytest.fixture
def adapter() -> Any:
    """Whose agents are played."""
    return agentcore_rl_autogen.adapter
