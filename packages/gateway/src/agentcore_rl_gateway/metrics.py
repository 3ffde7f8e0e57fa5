"""What is counted over all sessions, in Prometheus' text format."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate

from agentcore_rl_gateway.log import CallAnswered

__all__ = ["Metrics"]

_BOUNDS = (0.05, 0.25, 1.0, 5.0, 30.0, 120.0)


class Metrics:
    """Counters since the start of the process."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.undelivered = 0
        self.refused: Counter[int] = Counter()
        self.forks: Counter[str] = Counter()
        self.sampled = 0
        self.masked: Counter[str] = Counter()
        self.restored: Counter[str] = Counter()
        self.without_ids = 0
        self.tools_offered_none_parsed = 0
        self._seconds = 0.0
        self._buckets = [0] * (len(_BOUNDS) + 1)

    def answered(self, entry: CallAnswered, seconds: float) -> None:
        """A call is in the log with its whole answer."""
        self.calls["answered"] += 1
        self._seconds += seconds
        self._buckets[bisect_left(_BOUNDS, seconds)] += 1
        self.sampled += len(entry.answer or b"") // 4
        self.without_ids += entry.answer is None
        for first, last, reason in entry.masked:
            self.masked[reason] += last - first
        if entry.restored:
            self.restored.update(entry.restored)
        if entry.fork is not None:
            self.forks[entry.fork] += 1
        if "tools_offered_none_parsed" in entry.remarks:
            self.tools_offered_none_parsed += 1

    def failed(self, status: int) -> None:
        """A call ended without a whole answer."""
        self.calls["failed"] += 1
        self.refused[status] += 1

    def text(self, gauges: Mapping[str, float]) -> str:
        """The page that Prometheus reads; `gauges` are what holds now."""
        return "".join(f"{line}\n" for line in self._lines(gauges))

    def _lines(self, gauges: Mapping[str, float]) -> Iterator[str]:
        prefix = "agentcore_rl_gateway_"
        for name, now in gauges.items():
            yield f"# TYPE {prefix}{name} gauge"
            yield f"{prefix}{name} {now:g}"
        labelled: dict[str, tuple[str, Mapping[str, int]]] = {
            "calls_total": ("outcome", self.calls),
            "failures_total": ("status", {str(name): count for name, count in self.refused.items()}),
            "forks_total": ("reason", self.forks),
            "restored_messages_total": ("kind", self.restored),
            "masked_tokens_total": ("reason", self.masked),
        }
        for name, (label, counts) in labelled.items():
            yield f"# TYPE {prefix}{name} counter"
            for value, count in sorted(counts.items()):
                yield f'{prefix}{name}{{{label}="{value}"}} {count}'
        plain = {
            "sampled_tokens_total": self.sampled,
            "undelivered_calls_total": self.undelivered,
            "answers_without_ids_total": self.without_ids,
            "tools_offered_none_parsed_total": self.tools_offered_none_parsed,
        }
        for name, count in plain.items():
            yield f"# TYPE {prefix}{name} counter"
            yield f"{prefix}{name} {count}"
        yield f"# TYPE {prefix}call_seconds histogram"
        for bound, count in zip(_BOUNDS, accumulate(self._buckets), strict=False):
            yield f'{prefix}call_seconds_bucket{{le="{bound:g}"}} {count}'
        yield f'{prefix}call_seconds_bucket{{le="+Inf"}} {self.calls["answered"]}'
        yield f"{prefix}call_seconds_sum {self._seconds:g}"
        yield f"{prefix}call_seconds_count {self.calls['answered']}"
