"""A stand-in for AgentCore Runtime on one machine: its HTTP API, one process per session."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentcore_rl.local_runtime.app_file import load_app
    from agentcore_rl.local_runtime.runtime import LocalRuntime

__all__ = ["LocalRuntime", "load_app"]


def __getattr__(name: str) -> Any:
    # Late, so that a session's process imports what the app needs and nothing of the front's.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "app_file" if name == "load_app" else "runtime"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
