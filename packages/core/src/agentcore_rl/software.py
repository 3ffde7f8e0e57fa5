"""Which releases made a record."""

from __future__ import annotations

import functools
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

__all__ = ["software_versions"]

# Distribution -> the module whose presence says that it is in use.
_NOTED = {
    "agentcore-rl": "agentcore_rl",
    "bedrock-agentcore": "bedrock_agentcore",
    "openai": "openai",
    "httpx2": "httpx2",
    "agentcore-rl-strands": "agentcore_rl_strands",
    "strands-agents": "strands",
    "agentcore-rl-langgraph": "agentcore_rl_langgraph",
    "langchain": "langchain",
    "langchain-openai": "langchain_openai",
    "langgraph": "langgraph",
    "agentcore-rl-autogen": "agentcore_rl_autogen",
    "autogen-agentchat": "autogen_agentchat",
    "agentcore-rl-crewai": "agentcore_rl_crewai",
    "crewai": "crewai",
}


def software_versions() -> Mapping[str, str]:
    """Versions of what is loaded in this process and shapes a record, by distribution."""
    return _versions(tuple(name for name, module in _NOTED.items() if module in sys.modules))


@functools.lru_cache(maxsize=8)
def _versions(names: tuple[str, ...]) -> Mapping[str, str]:
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
