"""What an adapter does when the model's server fails, or the agent is stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from agentcore_rl.rollout import Limits, StopReason
from agentcore_rl.testing.adapter_conformance_player import Played
from agentcore_rl.testing.adapter_conformance_trial import BASIC, AdapterOnTrial
from agentcore_rl.testing.script import Answer, CutBody, CutStream, Drop, Line, Stall, Status, Timeout
from agentcore_rl.testing.served_call import ServedCall

__all__ = ["FaultConformance"]

streaming = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class FaultConformance(AdapterOnTrial):
    """The transport alone tries again, and what was sampled is sampled once."""

    @streaming
    def test_the_transport_alone_retries(self, stream: bool) -> None:
        """What was refused or lost before its first byte is tried again, as attempts of one turn."""
        script: list[Line] = [Status(429, retry_after=0), Drop(), Answer("ok")]
        played = self._play(script, stream=stream)
        assert played.answer == "ok", "the agent hears nothing of it"
        assert _attempts(played) == [[(429, False), (None, False), (200, True)]], "each attempt is recorded"

    @streaming
    @pytest.mark.parametrize("status", [400, 429, 500])
    def test_an_error_of_the_server_ends_the_agent(self, status: int, stream: bool) -> None:
        """Nothing above the transport asks again."""
        played = self._play([Status(status, message="no luck")], stream=stream, retries=0)
        assert played.error is not None, "the error reaches whoever runs the agent"
        assert (_attempts(played), played.recording.suspect, played.agreement) == (
            [[(status, False)]],
            ["no_answer"],
            (1, 0, 0, 0),
        ), "one turn with one attempt is recorded, which callbacks saw end without an answer"

    @streaming
    def test_a_silent_server_is_given_up(self, stream: bool) -> None:
        """After the model's timeout, once."""
        played = self._play([Timeout(6)], stream=stream, timeout=0.8, retries=0)
        assert played.error is not None, "the timeout reaches whoever runs the agent"
        assert _attempts(played) == [[(None, False)]], "the attempt is recorded, and is the only one"
        assert played.turns[0].stored.http[0].seconds < 4, "the model's timeout counts"

    @streaming
    def test_a_cut_answer_is_marked(self, stream: bool) -> None:
        """What was sampled is not sampled again: the agent ends, the record has what came."""
        answer = Answer("one two three four")
        cut = CutStream(answer, after_chunks=3) if stream else CutBody(answer, after_bytes=20)
        played = self._play([cut], stream=stream)
        assert played.error is not None, "the cut reaches whoever runs the agent"
        came = [str((turn.answer or {}).get("content") or "") for turn in played.turns]
        assert list(map(bool, came)) == [stream], "the turn is recorded, with what came of a stream"
        assert (played.recording.suspect, played.agreement) == (
            ["cut_answer" if stream else "no_answer"],
            (1, 0, 0, 0),
        ), "it is marked, and callbacks saw it break off"

    @streaming
    def test_a_cancelled_run_ends(self, stream: bool) -> None:
        """Whoever cancels an agent waits for nothing; the call that was under way is in the record."""
        took: list[float] = []
        asked: list[Callable[[], object]] = []

        def line(call: ServedCall) -> Line:
            for tell in asked:
                tell()
            return Stall(10, Answer("late"))

        async def run() -> None:
            loop, arrived = asyncio.get_running_loop(), asyncio.Event()
            asked.append(lambda: loop.call_soon_threadsafe(arrived.set))
            player = self._player()
            task = asyncio.ensure_future(player.ask(player.build()))
            async with asyncio.timeout(10):
                await arrived.wait()
            started = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            took.append(time.monotonic() - started)

        played = self._play(line, run, stream=stream)
        assert played.error is None, "the agent is cancelled"
        assert max(took) < 2, "at once"
        assert ([turn.answer for turn in played.turns], len(played.calls)) == ([None], 1), (
            "the call is recorded, without an answer, and nothing more is sent"
        )

    def test_a_refused_call_is_refused_once(self) -> None:
        """At a limit the next call is not sent; nothing above the transport tries it again."""
        played = self._play([BASIC[0]], limits=Limits(max_turns=1))
        recording = played.recording
        assert (recording.stop_reason, dict(recording.counts), played.agreement) == (
            StopReason.TURN_LIMIT,
            {"refused_calls": 1},
            (1, 0, 0, 0),
        ), "one call is refused, and callbacks count none that was not sent"


def _attempts(played: Played) -> list[list[tuple[int | None, bool]]]:
    """Of each turn, its HTTP attempts: status, and whether the answer was whole."""
    return [[(http.status, http.complete) for http in turn.stored.http] for turn in played.turns]
