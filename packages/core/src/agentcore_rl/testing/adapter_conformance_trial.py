"""An adapter on trial: which one it is, and a script played in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from agentcore_rl.adapter import ADAPTERS
from agentcore_rl.testing.adapter_conformance_deviations import HiddenCall
from agentcore_rl.testing.adapter_conformance_player import Played, Player
from agentcore_rl.testing.script import Answer, ToolCall
from agentcore_rl.testing.scripted_model import Script

__all__ = ["ADD", "BASIC", "AdapterOnTrial"]

ADD = ToolCall("add", {"a": 1, "b": 2}, id="call_add")
"""A call of a tool that works."""
BASIC = (Answer(tool_calls=[ADD]), Answer("3"))
"""That call, and the answer."""


class AdapterOnTrial:
    """What every part of the suite needs to know of an adapter."""

    name: str = ""
    """Name of the adapter's entry point."""

    adapter: Any = None
    """The adapter itself, where it has no entry point."""

    place: str = ""
    """`module:attribute` of an adapter without an entry point, for tests that need a new process."""

    hidden_call: HiddenCall | None = None
    """Where the adapter declares `hidden_calls`: given an agent, makes the framework call the model where
    no callback sees it, by the framework's own means. The model answers `{}` to everything."""

    run_sync: Callable[[Any, str], str] | None = None
    """The framework's own synchronous call of an agent, as a static method; None where it has none."""

    rollouts = 100
    """How many rollouts run at once, in the test of that."""

    exit_s = 2.0
    """Seconds for which a process may wait before it ends."""

    def _adapter(self) -> Any:
        return ADAPTERS.require(self.name) if self.adapter is None else self.adapter

    def _player(self) -> Player:
        return Player(self._adapter(), self.run_sync)

    def _play(self, script: Script, *args: Any, **options: Any) -> Played:
        """Play a script; what holds for all of them is checked here."""
        played = asyncio.run(self._player().play(script, *args, **options))
        if played.broken and played.error is not None:
            raise AssertionError("; ".join(played.broken)) from played.error
        assert played.broken == [], "the script is played as written: no line left, no call too many"
        assert played.labels == set(), "no label of ours reaches the server"
        return played
