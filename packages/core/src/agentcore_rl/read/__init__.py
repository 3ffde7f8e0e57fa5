"""Reading what runs left: records, the attempts that count, figures."""

from agentcore_rl.read.attempts import Choice, choose_attempt, is_infrastructure_failure
from agentcore_rl.read.call_errors import Finding, ToolCallError
from agentcore_rl.read.comparison import Comparison, compare
from agentcore_rl.read.interval import Interval, Share, mean_interval
from agentcore_rl.read.reliability import CallFigures, Reliability, framework_of, reliability
from agentcore_rl.read.run import Rollouts, Run, read_run
from agentcore_rl.read.spelled import SpelledCall, spelled_calls
from agentcore_rl.read.summary import Summary, summarize
from agentcore_rl.read.tool_calls import ToolCall, tool_calls

__all__ = [
    "CallFigures",
    "Choice",
    "Comparison",
    "Finding",
    "Interval",
    "Reliability",
    "Rollouts",
    "Run",
    "Share",
    "SpelledCall",
    "Summary",
    "ToolCall",
    "ToolCallError",
    "choose_attempt",
    "compare",
    "framework_of",
    "is_infrastructure_failure",
    "mean_interval",
    "read_run",
    "reliability",
    "spelled_calls",
    "summarize",
    "tool_calls",
]
