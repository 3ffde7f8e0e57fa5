"""agentcore-rl: RL rollouts and evaluation for agents on Amazon Bedrock AgentCore Runtime.

The public names are imported when they are asked for, so that `import agentcore_rl` costs neither
the AWS SDKs nor pydantic, an HTTP client or an agent framework.
"""

from __future__ import annotations

from agentcore_rl.late_imports import late_imports

# Type checkers take it for typing's; importing that would cost every start of the command line.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from agentcore_rl.adapter import ADAPTERS, AgentBuilder, Deviations, FrameworkAdapter
    from agentcore_rl.aws.app import AgentCoreRLApp
    from agentcore_rl.batch import BatchRunner
    from agentcore_rl.client import RolloutClient
    from agentcore_rl.endpoint import Endpoint
    from agentcore_rl.exceptions import (
        AgentCoreRLError,
        ConfigurationError,
        ContractError,
        LauncherError,
        MissingDependencyError,
        ModelCallRefused,
        RequestRefused,
        StoreError,
    )
    from agentcore_rl.outcome import RolloutOutcome
    from agentcore_rl.read.run import read_run
    from agentcore_rl.reward import Reward, RewardFunction
    from agentcore_rl.rollout import (
        Failure,
        FailureKind,
        Rollout,
        RolloutRequest,
        Status,
        StopReason,
        Trajectory,
        Turn,
    )
    from agentcore_rl.tools import Tool

__all__ = [
    "ADAPTERS",
    "AgentBuilder",
    "AgentCoreRLApp",
    "AgentCoreRLError",
    "BatchRunner",
    "ConfigurationError",
    "ContractError",
    "Deviations",
    "Endpoint",
    "Failure",
    "FailureKind",
    "FrameworkAdapter",
    "LauncherError",
    "MissingDependencyError",
    "ModelCallRefused",
    "RequestRefused",
    "Reward",
    "RewardFunction",
    "Rollout",
    "RolloutClient",
    "RolloutOutcome",
    "RolloutRequest",
    "Status",
    "StopReason",
    "StoreError",
    "Tool",
    "Trajectory",
    "Turn",
    "read_run",
]

__getattr__, __dir__ = late_imports(
    __name__,
    {
        "adapter": ("ADAPTERS", "AgentBuilder", "Deviations", "FrameworkAdapter"),
        "aws.app": ("AgentCoreRLApp",),
        "batch": ("BatchRunner",),
        "client": ("RolloutClient",),
        "endpoint": ("Endpoint",),
        "exceptions": (
            "AgentCoreRLError",
            "ConfigurationError",
            "ContractError",
            "LauncherError",
            "MissingDependencyError",
            "ModelCallRefused",
            "RequestRefused",
            "StoreError",
        ),
        "outcome": ("RolloutOutcome",),
        "read.run": ("read_run",),
        "reward": ("Reward", "RewardFunction"),
        "rollout": (
            "Failure",
            "FailureKind",
            "Rollout",
            "RolloutRequest",
            "Status",
            "StopReason",
            "Trajectory",
            "Turn",
        ),
        "tools": ("Tool",),
    },
)
