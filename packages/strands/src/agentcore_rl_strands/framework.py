"""What of the framework must be installed, and the sentence for when it is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from agentcore_rl.exceptions import MissingDependencyError

__all__ = ["check_openai", "framework"]

_MODULES = {"openai": "The OpenAI SDK", "strands": "Strands Agents"}
_INSTALL = "Install it with: pip install agentcore-rl-strands"
_LOWEST_OPENAI = (2, 47)


@contextmanager
def framework() -> Iterator[None]:
    """Import the framework inside this block.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = _MODULES.get((error.name or "").partition(".")[0])
        if missing is None:
            raise
        raise MissingDependencyError(f"{missing} is not installed here. {_INSTALL}") from None


def check_openai(version: str) -> None:
    """Check that this version of the OpenAI SDK takes our HTTP clients.

    Raises:
        MissingDependencyError: it is too old.
    """
    if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < _LOWEST_OPENAI:
        raise MissingDependencyError(
            f"The OpenAI SDK here is {version}, but 2.47 or newer is needed, which takes our HTTP client. "
            'Install it with: pip install "openai>=2.47,<4"'
        )
