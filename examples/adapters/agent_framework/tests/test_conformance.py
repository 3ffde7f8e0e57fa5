"""The adapter meets the contract of every adapter."""

from agentcore_rl.testing import AdapterConformance


class TestConformance(AdapterConformance):
    """Each test says, when it fails, what is owed."""

    name = "agent_framework"
