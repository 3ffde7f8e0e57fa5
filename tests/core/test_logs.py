"""Logs that say which rollout they belong to, and warnings that are seen."""

from __future__ import annotations

import logging
import subprocess
import sys

from agentcore_rl.logs import RolloutLogFilter
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope


def _rollout_of() -> str:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "text", None, None)
    assert RolloutLogFilter().filter(record)
    return str(record.rollout)  # type: ignore[attr-defined]


def test_a_record_has_the_rollouts_ids() -> None:
    """Inside of one; a dash outside."""
    assert _rollout_of() == "-"
    with rollout_scope(Scope(None, Recorder(), rollout="run/t.0/s")):
        assert _rollout_of() == "run/t.0/s"


def test_an_app_process_without_logging_shows_our_warnings() -> None:
    """And one that has set up its own is left as it is; the root logger is never touched."""
    code = """
import logging, sys
if sys.argv[1:] == ["own"]:
    logging.basicConfig(format="own %(message)s")
import agentcore_rl
from agentcore_rl.logs import show_warnings
show_warnings(); show_warnings()
before = len(logging.getLogger().handlers)
logging.getLogger("agentcore_rl.sink").warning("does not work")
assert len(logging.getLogger().handlers) == before == len(sys.argv) - 1
"""
    for arguments, expected in (
        ([], "WARNING agentcore_rl.sink [-] does not work\n"),
        (["own"], "own does not work\n"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, timeout=30
        )
        assert done.stderr.endswith(expected)
        assert done.stderr.count("does not work") == 1
