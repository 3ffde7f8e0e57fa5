"""One rollout from request to record: agent, reward, judgement of what went wrong. No HTTP, no AWS.

`RolloutLife` runs in a thread of its own with an event loop of its own, so that blocking code in
it stalls nothing else, and makes exactly one record, whichever of the handler's end, the deadline
or a shutdown comes first.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import inspect
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agentcore_rl.codec import ROLLOUT_DATA, check_json, envelope_conflicts, salvage
from agentcore_rl.endpoint import Secret
from agentcore_rl.exceptions import ContractError
from agentcore_rl.logs import logger_of
from agentcore_rl.recorder.recorder import Recorder, Recording
from agentcore_rl.recorder.scope import Scope, rollout_scope, scoped
from agentcore_rl.recorder.turns_so_far import RolloutData
from agentcore_rl.reward import Reward, raised_by_reward, to_reward
from agentcore_rl.rollout import (
    Failure,
    FailureKind,
    Rollout,
    RolloutRequest,
    Status,
    StopReason,
    Timings,
    Usage,
)
from agentcore_rl.settings import Settings
from agentcore_rl.software import software_versions

__all__ = ["Entrypoint", "RolloutLife"]

logger = logger_of(__name__)


@dataclass(frozen=True, slots=True)
class Entrypoint:
    """The user's function, and how rollouts of it are judged.

    Attributes:
        function: sync or async, a generator or not; takes the payload, and the request's context
            when it has a second parameter.
        reward: called with `(payload, output, rollout)`; None: the handler returns its `rewards`.
        declared: whether the documented form was used, where the reward is declared with the handler.
        takes_context: whether the function has a second parameter.
    """

    function: Callable[..., Any]
    reward: Callable[..., Any] | None = None
    declared: bool = False
    takes_context: bool = False

    @classmethod
    def of(
        cls, function: Callable[..., Any], reward: Callable[..., Any] | None, *, declared: bool
    ) -> Entrypoint:
        """The handler for a function, whatever its second parameter is called."""
        positional = [
            parameter
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
        return cls(function, reward, declared, len(positional) >= 2)

    def call(self, payload: Any, context: Any) -> Any:
        """Call the function with what it takes."""
        return self.function(payload, context) if self.takes_context else self.function(payload)


@dataclass(slots=True)
class _Ended:
    """How the handler ended."""

    output: Any = None
    reward: Reward | None = None
    failure: Failure | None = None
    raised: bool = False
    stop_reason: StopReason = StopReason.FINISHED
    handler_s: float = 0.0
    reward_s: float | None = None
    remarks: list[str] = field(default_factory=list)


class RolloutLife:
    """One rollout, from acceptance to its record.

    Args:
        request: what is asked for.
        handler: the user's function and its reward.
        settings: the deployment's.
        secrets: values that never enter the record.
        context: the request's context, for handlers that take one.
        keep: takes the finished record; called exactly once, from any thread.
    """

    def __init__(
        self,
        request: RolloutRequest,
        handler: Entrypoint,
        *,
        settings: Settings,
        secrets: Sequence[Secret] = (),
        context: Any = None,
        keep: Callable[[Rollout], None],
    ) -> None:
        self.request = request
        self._handler = handler
        self._settings = settings
        self._secrets = secrets
        self._context = context
        self._keep = keep
        self._accepted_at = time.time()
        self._started = time.monotonic()
        self._trace_id = _trace_id()
        self._recorder = Recorder(
            limits=request.limits, secrets=secrets, policy_version=request.policy_version
        )
        self._once = threading.Lock()
        self._recorded = False
        self._cancel: Callable[[], None] | None = None
        self._thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._run,),
            name=f"rollout-{request.session[:24]}",
            daemon=True,
        )
        self._timer: threading.Timer | None = None

    def start(self) -> None:
        """Run it; returns at once."""
        deadline_s = self.request.limits.deadline_s
        if deadline_s is not None:
            self._recorder.deadline = self._started + deadline_s
            self._timer = threading.Timer(deadline_s, self._expire, args=(deadline_s,))
            self._timer.daemon = True
            self._timer.start()
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for its thread; whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def stop(self, why: str) -> None:
        """End it now with a record that says so; nothing happens when it has one already."""
        failure = Failure(FailureKind.RUNTIME, why, retryable=True)
        self._break_off(failure, StopReason.STOPPED, why)

    def _expire(self, deadline_s: float) -> None:
        failure = Failure(
            FailureKind.TIMEOUT,
            f"The handler had not returned {deadline_s:g} s after the rollout was accepted, its deadline.",
        )
        self._break_off(failure, StopReason.TIME_LIMIT, "its deadline has passed")

    def _break_off(self, failure: Failure, stop_reason: StopReason, why: str) -> None:
        if not self._claim():
            return
        self._recorder.close(why)
        handler_s = time.monotonic() - self._started
        ended = _Ended(failure=failure, stop_reason=stop_reason, handler_s=handler_s)
        self._record(ended, self._recorder.finish())
        if self._cancel is not None:
            self._cancel()

    def _claim(self) -> bool:
        """True for the one caller that makes the record."""
        with self._once:
            first, self._recorded = not self._recorded, True
            return first

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            ended = self._agent(runner, loop)
            if self._timer is not None:
                self._timer.cancel()
            if not self._claim():
                return
            self._recorder.close("its handler has returned")
            recording = self._recorder.finish()
            self._classify(ended, recording)
            self._judge(ended, recording, runner)
            self._record(ended, recording)

    # ---- the agent

    def _agent(self, runner: asyncio.Runner, loop: asyncio.AbstractEventLoop) -> _Ended:
        """Run the handler in the rollout's scope."""
        ended = _Ended()
        scope = Scope(
            self.request.endpoint,
            self._recorder,
            stream=self.request.stream,
            retries=self._settings.model_retries,
            rollout=f"{self.request.run}/{self.request.input_id}/{self.request.session}",
        )
        started = time.monotonic()
        try:
            with rollout_scope(scope):
                ended.output = self._called(runner, loop)
        except BaseException as error:  # noqa: BLE001 - some frameworks raise SystemExit in an agent
            ended.raised = True
            kind = FailureKind.REWARD if raised_by_reward(error) else FailureKind.AGENT
            ended.failure = _failure(kind, error)
        ended.handler_s = time.monotonic() - started
        return ended

    def _called(self, runner: asyncio.Runner, loop: asyncio.AbstractEventLoop) -> Any:
        # A copy: what the handler does to its payload is not what was asked.
        value = self._handler.call(copy.deepcopy(self.request.payload), self._context)
        if inspect.isasyncgen(value):
            return self._awaited(_listed(value), runner, loop)
        if inspect.isgenerator(value):
            return list(value)
        if inspect.isawaitable(value):
            return self._awaited(_await(value), runner, loop)
        return value

    def _awaited(
        self, coroutine: Coroutine[Any, Any, Any], runner: asyncio.Runner, loop: asyncio.AbstractEventLoop
    ) -> Any:
        """Run it on the rollout's loop, so that a deadline can cancel it."""

        async def cancellable() -> Any:
            task = asyncio.current_task()
            if task is not None:
                self._cancel = lambda: _call_soon(loop, task.cancel)
            try:
                return await coroutine
            finally:
                self._cancel = None

        return runner.run(cancellable(), context=contextvars.copy_context())

    # ---- the judgement

    def _classify(self, ended: _Ended, recording: Recording) -> None:
        """What the handler's end means, in the light of what the wire saw."""
        ended.remarks.extend(recording.suspect)
        if recording.stop_reason is not None:
            ended.stop_reason = recording.stop_reason
            if ended.raised and ended.failure is not None and ended.failure.kind is FailureKind.AGENT:
                # The refusal of a further model call made the framework raise: a limit, no failure.
                ended.failure, ended.output = None, None
        elif ended.failure is not None and ended.failure.kind is FailureKind.AGENT and recording.last_cut:
            # Some frameworks raise where an answer is cut at its limit of tokens: it is judged all the same.
            ended.failure, ended.stop_reason = None, StopReason.TOKEN_LIMIT
        elif (
            ended.failure is not None
            and ended.failure.kind is FailureKind.AGENT
            and recording.last_call_failed
        ):
            ended.failure = replace(
                ended.failure, kind=FailureKind.MODEL, retryable=recording.endpoint_silent
            )
        if not ended.raised:
            self._check_output(ended)

    def _check_output(self, ended: _Ended) -> None:
        """Refer to the rollout's own turns instead of repeating them; keep what JSON can hold."""
        output = ended.output
        if isinstance(output, RolloutData):
            output = ROLLOUT_DATA
        elif isinstance(output, Mapping) and isinstance(output.get("rollout_data"), RolloutData):
            output = {**output, "rollout_data": ROLLOUT_DATA}
        ended.output = output
        try:
            check_json(output, secrets=self._secrets)
        except ContractError as error:
            ended.output = salvage(output, secrets=self._secrets)
            ended.failure = Failure(FailureKind.CONTRACT, str(error), type=type(error).__name__)
            return
        owned = envelope_conflicts(output)
        if owned:
            ended.failure = Failure(
                FailureKind.CONTRACT,
                f"The handler returned {', '.join(map(repr, owned))}, which the record's envelope owns; "
                "return them under other names.",
            )

    def _judge(self, ended: _Ended, recording: Recording, runner: asyncio.Runner) -> None:
        """Call the reward function, or take the rewards that the handler returned."""
        if ended.failure is not None:
            return
        turns = sum(len(path.turns) for path in recording.transcript.trajectories)
        if not self._handler.declared:
            rewards = ended.output.get("rewards") if isinstance(ended.output, Mapping) else None
            try:
                ended.reward = _returned_reward(rewards, turns)
            except ContractError as error:
                ended.failure = Failure(FailureKind.CONTRACT, str(error), type=type(error).__name__)
            return
        if self._handler.reward is None:
            return
        started = time.monotonic()
        try:
            # A judge's own model calls are not the policy's turns.
            with scoped(Scope(self._settings.endpoint, retries=self._settings.model_retries)):
                value = self._handler.reward(
                    self.request.payload, ended.output, self._rollout(ended, recording)
                )
                if inspect.isawaitable(value):
                    value = runner.run(_await(value), context=contextvars.copy_context())
            ended.reward = to_reward(value, turns=turns)
        except BaseException as error:  # noqa: BLE001 - one that exits is a reward that failed
            ended.failure = _failure(FailureKind.REWARD, error)
        ended.reward_s = time.monotonic() - started

    # ---- the record

    def _record(self, ended: _Ended, recording: Recording) -> None:
        rollout = self._rollout(ended, recording)
        try:
            self._keep(rollout)
        except Exception:
            logger.exception("The record of rollout %s could not be kept.", self.request.key)

    def _rollout(self, ended: _Ended, recording: Recording) -> Rollout:
        request = self.request
        transcript = recording.transcript
        turns = [turn for path in transcript.trajectories for turn in path.turns]
        versions = [
            turn.policy_version
            for turn in sorted(turns, key=lambda t: t.id)
            if turn.policy_version is not None
        ]
        return Rollout(
            run=request.run,
            task=request.task,
            sample=request.sample,
            attempt=request.attempt,
            session=request.session,
            input_id=request.input_id,
            status=Status.FAILED if ended.failure is not None else Status.SUCCEEDED,
            stop_reason=ended.stop_reason,
            failure=ended.failure,
            messages=transcript.messages,
            tools=transcript.tools,
            trajectories=transcript.trajectories,
            reward=ended.reward,
            output=ended.output,
            suspect=sorted(set(recording.suspect) | set(ended.remarks)),
            usage=_usage([turn.usage for turn in turns]),
            timings=Timings(
                self._accepted_at, ended.handler_s, ended.reward_s, time.monotonic() - self._started
            ),
            model=request.endpoint.model if request.endpoint is not None else None,
            policy_versions=[versions[0], versions[-1]] if versions else [],
            software=software_versions(),
            crosscheck=recording.crosscheck,
            counts=recording.counts,
            trace_id=self._trace_id,
            payload=request.payload,
        )


async def _await(value: Any) -> Any:
    return await value


async def _listed(values: Any) -> list[Any]:
    return [value async for value in values]


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], Any]) -> None:
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:  # the loop is closed: there is nothing left to cancel
        return


def _failure(kind: FailureKind, error: BaseException) -> Failure:
    text = "".join(traceback.format_exception(error))
    return Failure(kind, str(error) or type(error).__name__, type(error).__name__, text)


def _returned_reward(rewards: Any, turns: int) -> Reward | None:
    """The `rewards` that a handler returned: one reward, or a list with one number per turn.

    A list of one number is that number. A list with as many numbers as turns is their sum, kept as
    rewards per turn.
    """
    if isinstance(rewards, Sequence) and not isinstance(rewards, str | bytes):
        if len(rewards) == 1:
            return to_reward(rewards[0])
        if len(rewards) != turns:
            raise ContractError(
                f"`rewards` is a list of {len(rewards)} numbers; "
                f"return one number, or one for each of the {turns} turns."
            )
        parts = [to_reward(item) for item in rewards]
        numbers = [part.value for part in parts if part is not None]
        if len(numbers) != turns:
            raise ContractError("`rewards` holds None; a list must have a number for each turn.")
        return Reward(sum(numbers), turn_rewards=numbers)
    return to_reward(rewards, turns=turns)


def _usage(reported: Sequence[Usage | None]) -> Usage:
    def total(values: list[int | None]) -> int | None:
        known = [value for value in values if value is not None]
        return sum(known) if known else None

    found = [usage for usage in reported if usage is not None]
    return Usage(
        total([usage.prompt_tokens for usage in found]), total([usage.completion_tokens for usage in found])
    )


def _trace_id() -> str | None:
    """The current OpenTelemetry trace, if the process uses OpenTelemetry at all."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    identity = trace.get_current_span().get_span_context()
    return f"{identity.trace_id:032x}" if identity.is_valid else None
