"""What a batch is like while it runs: figures of the outcomes and records so far, as lines to show."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator

from agentcore_rl.cli.screen import Line
from agentcore_rl.cli.terminal import duration, number
from agentcore_rl.outcome import Progress, RolloutOutcome
from agentcore_rl.read import Interval, mean_interval, tool_calls
from agentcore_rl.rollout import Rollout

__all__ = ["LiveFigures"]

_WINDOW_S = 60.0
_LINES = 4


class LiveFigures:
    """Counts along; every call costs what is new.

    Args:
        label: what the batch is called.
        began: when it began (monotonic clock).
    """

    def __init__(self, label: str, began: float) -> None:
        self._label = label.removeprefix("run ")
        self._began = began
        self._rewards: dict[str, list[float]] = {}
        self._interval: tuple[int, Interval | None] = (0, None)
        self._judged = 0
        self._read = 0
        self._calls: Counter[str] = Counter()
        self._tokens = 0
        self._lately: deque[tuple[float, int, int]] = deque()
        self._last: list[tuple[str, str]] = []

    def hear(self, outcome: RolloutOutcome) -> None:
        """Count an outcome."""
        if outcome.reward is not None:
            self._rewards.setdefault(outcome.request.task, []).append(outcome.reward.value)
            self._judged += 1

    def read(self, rollout: Rollout) -> None:
        """Count a record."""
        self._read += 1
        self._tokens += rollout.usage.completion_tokens or 0
        for call in tool_calls(rollout):
            if call.error is not None:
                self._calls[call.error.value.replace("_", " ")] += 1
            else:
                self._calls["executed" if call.executed else "well formed"] += 1
        self._last = list(_last_lines(rollout))

    def lines(self, progress: Progress, now: float | None = None) -> Iterator[Line]:
        """What to show.

        Args:
            progress: where the batch stands.
            now: the time (monotonic clock); None: this moment.
        """
        now = time.monotonic() if now is None else now
        per_s, tokens_per_s = self._rates(now, progress.done)
        if not progress.total:
            yield Line("run", f"{self._label}, starting the app, {duration(now - self._began)}")
            return
        left = (progress.total - progress.done) / per_s if per_s else None
        times = f"{duration(now - self._began)}, " + (
            f"{duration(left)} left" if left is not None else "time left unknown"
        )
        states = [f"{progress.done} of {progress.total}", f"{progress.running} running"]
        states += [f"{progress.queued} queued"] if progress.queued else []
        states += [f"{progress.again} tried again"] if progress.again else []
        yield Line("run", f"{self._label}, {times}")
        yield Line("rollouts", ", ".join(states), share=progress.done / progress.total)
        if progress.judged:
            yield Line("reward", f"{number(progress.mean_reward)}{self._spread()} over {progress.judged}")
        if calls := sum(self._calls.values()):
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in self._calls.most_common(5))
            yield Line("tool calls", f"{calls:,}: {kinds}")
        if self._tokens:
            yield Line("tokens", f"{tokens_per_s:,.0f} per second, {self._tokens:,} sampled")
        if progress.failed:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(progress.failed.items()))
            yield Line("failed", kinds, "red")
        for place, (who, text) in enumerate(self._last):
            yield Line("last" if place == 0 else "", f"{who}  {text}", "bright_black")

    def _rates(self, now: float, done: int) -> tuple[float, float]:
        """Rollouts and sampled tokens per second, over the last minute."""
        self._lately.append((now, done, self._tokens))
        while len(self._lately) > 2 and now - self._lately[0][0] > _WINDOW_S:
            self._lately.popleft()
        since, before, tokens = self._lately[0]
        if now <= since:
            return 0.0, 0.0
        return (done - before) / (now - since), (self._tokens - tokens) / (now - since)

    def _spread(self) -> str:
        """The mean's interval; it is worked out anew after every twentieth part more."""
        at, interval = self._interval
        if self._judged > at * 1.05:
            interval = mean_interval(list(self._rewards.values()))
            self._interval = (self._judged, interval)
        return f" [{interval.low:.2f}, {interval.high:.2f}]" if interval is not None else ""


def _last_lines(rollout: Rollout) -> Iterator[tuple[str, str]]:
    """The end of a rollout's transcript: its id and judgement, then who said what."""
    reward = "not judged" if rollout.reward is None else f"reward {rollout.reward.value:g}"
    yield rollout.input_id, f"{rollout.status.value}, {reward}, {len(rollout.turns)} turns"
    if not rollout.turns:
        return
    last = rollout.turns[len(rollout.turns) - 1]
    messages = [*last.prompt[-(_LINES - 2) :], *([last.answer] if last.answer else [])]
    for message in messages[1 - _LINES :]:
        calls = [call.get("function", {}) for call in message.get("tool_calls") or ()]
        said = [
            _text(message.get("content")),
            *(f"{call.get('name')}({call.get('arguments')})" for call in calls),
        ]
        yield str(message.get("role")), " ".join(" ".join(text.split()) for text in said if text)[:400]


def _text(content: object) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
