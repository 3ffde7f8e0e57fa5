"""Reading what runs left: records, the attempts that count, figures."""

from agentcore_rl.read.attempts import Choice, choose_attempt, is_infrastructure_failure
from agentcore_rl.read.run import Rollouts, Run, read_run
from agentcore_rl.read.summary import Interval, Summary, mean_interval, summarize
from agentcore_rl.read.tool_calls import ToolCall, tool_calls

__all__ = [
    "Choice",
    "Interval",
    "Rollouts",
    "Run",
    "Summary",
    "ToolCall",
    "choose_attempt",
    "is_infrastructure_failure",
    "mean_interval",
    "read_run",
    "summarize",
    "tool_calls",
]
