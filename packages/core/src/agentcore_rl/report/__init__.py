"""The HTML report: one file that shows a run, or several side by side, and needs nothing else."""

from agentcore_rl.report.vocabulary import Vocabulary
from agentcore_rl.report.writer import Report, write_report

__all__ = ["Report", "Vocabulary", "write_report"]
