"""A stand-in for AgentCore Runtime on one machine: its HTTP API, one process per session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentcore_rl.late_imports import late_imports

if TYPE_CHECKING:
    from agentcore_rl.local_runtime.app_file import load_app
    from agentcore_rl.local_runtime.runtime import LocalRuntime

__all__ = ["LocalRuntime", "load_app"]


# A session's process imports what the app needs and nothing of the front's.
__getattr__, __dir__ = late_imports(__name__, {"app_file": ("load_app",), "runtime": ("LocalRuntime",)})
