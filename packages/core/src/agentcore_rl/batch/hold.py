"""One client per run: a lock in the run's folder that dies with its process."""

from __future__ import annotations

import os
from contextlib import suppress

from agentcore_rl.exceptions import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Hold", "is_held"]

_NAME = "client.lock"


class Hold:
    """Holds a run's folder for this process.

    On systems without `flock` (Windows) it holds nothing.

    Args:
        folder: the run's folder; it must exist.

    Raises:
        ConfigurationError: another client holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = _locked(folder / _NAME)
        if self._descriptor is None and _can_lock():
            raise ConfigurationError(
                f"Another client runs {folder.name} right now; wait until it has ended, or end it."
            )

    def release(self) -> None:
        """Let go. Releasing twice is fine."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def is_held(folder: str | os.PathLike[str]) -> bool:
    """Whether a client is at work on the run in this folder. Blocks for a moment."""
    path = os.path.join(folder, _NAME)
    if not os.path.exists(path) or not _can_lock():
        return False
    try:
        descriptor = _locked(path)
    except OSError:  # another user's
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _can_lock() -> bool:
    return os.name != "nt"


def _locked(path: str | os.PathLike[str]) -> int | None:
    """A descriptor that holds the lock; None when another process has it."""
    if not _can_lock():
        return None
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    os.close(descriptor)
    return None
