"""Log records that say which rollout they belong to.

handler.addFilter(RolloutLogFilter())   # then %(rollout)s in a format is RUN/TASK.SAMPLE/SESSION
"""

from __future__ import annotations

import logging

__all__ = ["RolloutLogFilter", "logger_of", "show_warnings"]

_ROOT = "agentcore_rl"


def logger_of(module: str) -> logging.Logger:
    """The logger of a module of ours; silent unless the process asks for logs."""
    ours = logging.getLogger(_ROOT)
    if not ours.handlers:
        ours.addHandler(logging.NullHandler())
    return logging.getLogger(module)


class RolloutLogFilter(logging.Filter):
    """Gives each log record the attribute `rollout`: the current rollout's ids, or "-"."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; adds the attribute."""
        from agentcore_rl.recorder.scope import current_scope  # which logs itself

        scope = current_scope()
        record.rollout = (scope.rollout if scope is not None else None) or "-"
        return True


def show_warnings() -> None:
    """Send our own warnings to standard error, in a process that has set up no logging at all.

    A library stays silent; an app process whose spool or store does not work must not.
    """
    ours = logging.getLogger(_ROOT)
    if logging.getLogger().handlers or any(
        not isinstance(handler, logging.NullHandler) for handler in ours.handlers
    ):
        return
    handler = logging.StreamHandler()
    handler.addFilter(RolloutLogFilter())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s [%(rollout)s] %(message)s"))
    ours.addHandler(handler)
