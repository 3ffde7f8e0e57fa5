"""The rollout's turns so far, as an agent gets them while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.turns import Turns

__all__ = ["RolloutData"]


class RolloutData(Sequence[dict[str, Any]]):
    """The rollout's turns so far, as OpenAI-style full histories, expanded on access.

    What `collector.get_rollout_data()` returns; handed back by the agent it is stored once.
    """

    def __init__(self, recorder: Recorder | None) -> None:
        self._recorder = recorder

    def _turns(self) -> Turns | tuple[()]:
        return () if self._recorder is None else Turns(self._recorder.transcript())

    def __len__(self) -> int:
        return len(self._turns())

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        turns = self._turns()
        if isinstance(index, slice):
            return [turn.to_dict() for turn in turns[index]]
        return turns[index].to_dict()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        # One look at the recorder for all of them.
        return (turn.to_dict() for turn in self._turns())

    def belongs_to(self, recorder: Recorder) -> bool:
        """Whether these are that recorder's turns."""
        return self._recorder is recorder
