"""A callback that says that its call is over, and nothing of what came of it."""

from __future__ import annotations

import msgspec
import pytest

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder.calls import Answer, prepare
from agentcore_rl.recorder.recorder import Recorder

USER = {"role": "user", "content": "hi"}
SAID = {"role": "assistant", "content": "no JSON"}


@pytest.mark.parametrize(
    ("silent", "answer", "counts"),
    [(True, None, (1, 0)), (False, None, (0, 1)), (True, {**SAID, "content": "other"}, (0, 1))],
)
def test_silence_contradicts_nothing(
    silent: bool, answer: dict[str, str] | None, counts: tuple[int, int]
) -> None:
    """A framework that raises over an answer did see the call; one that tells an answer is not silent."""
    recorder = Recorder()
    recorder.callback_started("a", agent="main")
    ask = prepare(msgspec.json.encode({"messages": [USER]}), Endpoint("http://x/v1"))
    assert ask is not None
    recorder.end(
        recorder.begin(ask, labels={}, inferred=False),
        Answer(message=msgspec.json.encode(SAID), complete=True),
    )
    recorder.callback_ended("a", answer=answer, silent=silent)
    recording = recorder.finish()
    assert (recording.crosscheck.matched, recording.crosscheck.differing) == counts
    assert recording.suspect == ([] if counts == (1, 0) else ["differing"])
