"""Many rollouts: submitted, heard of, read and stopped; a journal remembers.

The public names are imported when they are asked for: where a run stands, and which runs there are, is told
from its folder without what runs one.
"""

from __future__ import annotations

from agentcore_rl.late_imports import late_imports

# Type checkers take it for typing's; importing that would cost every list of the command line.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from agentcore_rl.batch.flight import Pace
    from agentcore_rl.batch.folder import new_run_id
    from agentcore_rl.batch.gateway import GatewayControl
    from agentcore_rl.batch.runner import BatchRunner

__all__ = ["BatchRunner", "GatewayControl", "Pace", "new_run_id"]

__getattr__, __dir__ = late_imports(
    __name__,
    {
        "runner": ("BatchRunner",),
        "gateway": ("GatewayControl",),
        "flight": ("Pace",),
        "folder": ("new_run_id",),
    },
)
