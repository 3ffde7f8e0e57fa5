"""What a recorder has seen, made into what a record holds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agentcore_rl.conversation import MessageTable, TurnGraph
from agentcore_rl.recorder.call import CallInProgress, HeardCall
from agentcore_rl.recorder.calls import Answer
from agentcore_rl.recorder.crosscheck import Heard, Verdicts, Witnessed, compare
from agentcore_rl.rollout import Crosscheck, StopReason
from agentcore_rl.turn import HTTPAttempt, PromptRef, Trajectory, Transcript, Turn

__all__ = ["Recording", "Seen", "recording_of", "transcript_of"]


@dataclass(frozen=True, slots=True)
class Recording:
    """What a recorder has at the end.

    Attributes:
        transcript: tables and trajectories.
        crosscheck: wire against callbacks.
        suspect: reasons why the turns may not be the whole truth.
        stop_reason: the limit that was reached; None when none was.
        counts: further numbers.
        last_call_failed: the last call that was sent got no whole answer.
        endpoint_silent: and that was because the endpoint gave none (as opposed to refusing).
        last_cut: the last answer was cut at its limit of tokens (finish reason `length`).
    """

    transcript: Transcript
    crosscheck: Crosscheck
    suspect: Sequence[str]
    stop_reason: StopReason | None
    counts: Mapping[str, int]
    last_call_failed: bool
    endpoint_silent: bool
    last_cut: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that a recorder holds; read under its lock.

    Attributes:
        graph: where each prompt stands, and the table of messages.
        tools: the table of tool lists.
        calls: in the order in which they began; a call's place is its turn's id.
        callbacks: in the order in which they began.
        collected: whether a collector listened.
        policy_version: of turns whose answer does not say another.
        origin: monotonic time of the rollout's acceptance.
    """

    graph: TurnGraph
    tools: MessageTable
    calls: Sequence[CallInProgress]
    callbacks: Sequence[HeardCall]
    collected: bool
    policy_version: int | None
    origin: float


def recording_of(
    seen: Seen, *, remarks: Iterable[str], counts: Mapping[str, int], stop_reason: StopReason | None
) -> Recording:
    """What the record needs.

    Args:
        seen: what the recorder holds.
        remarks: reasons of the rollout as a whole.
        counts: further numbers.
        stop_reason: the limit that was reached; None when none was.
    """
    verdicts = _crosschecked(seen)
    extra: dict[int, list[str]] = {}
    suspect = set(remarks)
    if seen.collected:
        for turn in verdicts.wire_only:
            extra.setdefault(turn, []).append("wire_only")
        for turn in verdicts.differing:
            extra.setdefault(turn, []).append("differing")
        if verdicts.counts.callback_only:
            suspect.add("callback_only")
    transcript = transcript_of(seen, extra)
    for path in transcript.trajectories:
        for stored in path.turns:
            suspect.update(stored.suspect)
    # The latest to end: what made the handler raise, if a call did.
    ended = [call for call in seen.calls if call.ended is not None]
    last = max(ended, key=lambda call: call.ended or 0.0, default=None)
    answer = last.answer if last is not None else None
    failed = last is not None and (answer is None or not answer.complete)
    return Recording(
        transcript=transcript,
        crosscheck=verdicts.counts if seen.collected else Crosscheck(),
        suspect=sorted(suspect),
        stop_reason=stop_reason,
        counts=dict(counts),
        last_call_failed=failed,
        endpoint_silent=failed and last is not None and _silent(last.http),
        last_cut=answer is not None and answer.finish_reason == "length",
    )


def transcript_of(seen: Seen, extra: Mapping[int, Sequence[str]] | None = None) -> Transcript:
    """The turns so far.

    Args:
        seen: what the recorder holds.
        extra: further reasons to suspect a turn, by its id.
    """
    paths: dict[str, list[Turn]] = {}
    for call in seen.calls:
        reasons = (extra or {}).get(call.placement.turn, ())
        paths.setdefault(call.agent, []).append(_turn(call, reasons, seen))
    parents = {heard.agent: heard.parent for heard in seen.callbacks}
    return Transcript(
        seen.graph.messages.raws(),
        seen.tools.raws(),
        [Trajectory(agent, parents.get(agent), turns) for agent, turns in paths.items()],
    )


def _crosschecked(seen: Seen) -> Verdicts:
    witnessed = [
        Witnessed(
            call.placement.turn,
            call.callback,
            None if call.answer_index is None else seen.graph.form_of(call.answer_index),
            whole=call.answer is not None and call.answer.complete,
        )
        for call in seen.calls
        if call.source == "wire"
    ]
    on_wire = {call.callback for call in seen.calls}
    heard = [
        Heard(call.key, call.form, call.silent)
        for call in seen.callbacks
        # One whose calls were all refused has nothing on the wire, and should not.
        if not call.refused or call.key in on_wire
    ]
    return compare(witnessed, heard)


def _turn(call: CallInProgress, extra: Sequence[str], seen: Seen) -> Turn:
    answer = call.answer or Answer()
    suspect = [*call.suspect, *extra]
    if call.ended is None:
        suspect.append("unfinished_call")
    return Turn(
        id=call.placement.turn,
        parent=call.placement.parent,
        agent=call.agent,
        prompt=PromptRef(call.placement.keep, call.placement.new),
        answer=call.answer_index,
        tools=call.tools,
        model=call.ask.model,
        sampling=call.ask.sampling,
        asked=call.ask.asked,
        finish_reason=answer.finish_reason,
        usage=answer.usage,
        response_id=answer.response_id,
        tokens=call.tokens,
        policy_version=seen.policy_version if answer.policy_version is None else answer.policy_version,
        executions=tuple(call.executions),
        http=tuple(call.http),
        scope="inferred" if call.inferred else "rollout",
        source=call.source,
        labels=call.labels,
        suspect=suspect,
        started_s=call.started - seen.origin,
        seconds=(call.ended or time.monotonic()) - call.started,
    )


def _silent(attempts: Iterable[HTTPAttempt]) -> bool:
    """No attempt got an answer that says more than "not now"."""
    return all(
        attempt.status is None or attempt.status in (408, 429) or attempt.status >= 500
        for attempt in attempts
    )
