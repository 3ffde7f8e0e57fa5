"""Many rollouts: submitted, heard of, read and stopped; a journal remembers.

The public names are imported when they are asked for: where a run stands, and which runs there are, is told
from its folder without what runs one.
"""

from __future__ import annotations

# Type checkers take it for typing's; importing that would cost every list of the command line.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agentcore_rl.batch.flight import Pace
    from agentcore_rl.batch.folder import new_run_id
    from agentcore_rl.batch.gateway import GatewayControl
    from agentcore_rl.batch.runner import BatchRunner

__all__ = ["BatchRunner", "GatewayControl", "Pace", "new_run_id"]

_HOMES = {"BatchRunner": "runner", "GatewayControl": "gateway", "Pace": "flight", "new_run_id": "folder"}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
