"""Writes a report while it reads the run: one pass, one chunk of rollouts in memory at a time."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.read import Run, ToolCall, compare, summarize
from agentcore_rl.report.blocks import Chunks, block
from agentcore_rl.report.figures import Figures
from agentcore_rl.report.index import Index
from agentcore_rl.report.page import page_end, page_script, page_start
from agentcore_rl.report.transcript import page_form
from agentcore_rl.report.vocabulary import Vocabulary
from agentcore_rl.rollout import Rollout

__all__ = ["MOST_BYTES", "MOST_ROLLOUTS", "Report", "write_report"]

FORMAT = "agentcore-rl/report/1"
MOST_ROLLOUTS = 20_000
"""Rollouts that a page lists; browsers become slow above."""
MOST_BYTES = 64 * 1024 * 1024
"""Bytes of transcripts that a page carries; browsers become slow above."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was written.

    Attributes:
        path: the file.
        size: its bytes.
        rollouts: how many rollouts the figures count.
        listed: of these, how many the page lists.
        transcripts: of these, how many it carries the transcript of.
        unreadable: objects in the runs that are not readable records.
    """

    path: Path
    size: int
    rollouts: int
    listed: int
    transcripts: int
    unreadable: int


def write_report(
    runs: Sequence[Run],
    path: str | os.PathLike[str],
    *,
    failed: bool = False,
    limit: int | None = None,
    vocabulary: Vocabulary | None = None,
    most_bytes: int = MOST_BYTES,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Write one HTML file that shows these runs; it appears when it is whole.

    The figures count every rollout, whatever is listed.

    Args:
        runs: one or more; with several the page compares each with the first.
        path: the file; an older one is replaced.
        failed: list only rollouts that failed or are suspect.
        limit: list at most so many, spread evenly over the runs (with `failed`, the first). None is
            `MOST_ROLLOUTS`, and more are never listed.
        vocabulary: the texts of token ids; None shows the ids.
        most_bytes: beyond so many bytes of transcripts, further rollouts are listed without theirs.
        progress: called with the number of rollouts done and the number of all.

    Raises:
        ConfigurationError: there is no run, or the file cannot be written.
        StoreUnavailable: a record cannot be read now.
    """
    if not runs:
        raise ConfigurationError("A report needs a run.")
    target = Path(path).absolute()
    try:
        with tempfile.TemporaryFile(dir=target.parent) as blocks:
            listed = min(limit or MOST_ROLLOUTS, MOST_ROLLOUTS)
            writing = _Writing(runs, blocks, failed, listed, vocabulary, most_bytes, progress)
            writing.read()
            return writing.assemble(target)
    except OSError as error:
        raise ConfigurationError(f"The report cannot be written to {target}: {error.strerror}.") from None


class _Writing:
    def __init__(
        self,
        runs: Sequence[Run],
        blocks: IO[bytes],
        failed: bool,
        limit: int,
        vocabulary: Vocabulary | None,
        most_bytes: int,
        progress: Callable[[int, int], None],
    ) -> None:
        self._runs = runs
        self._blocks = blocks
        self._failed = failed
        self._limit = limit
        self._vocabulary = vocabulary
        self._ids: set[int] = set()
        self._most_bytes = most_bytes
        self._progress = progress
        self._total = sum(len(run.ids) for run in runs)
        self._index = Index()
        self._chunks = Chunks()
        self._done = 0
        self._transcripts = 0
        self._size = 0
        self._told: list[dict[str, Any]] = []

    def read(self) -> None:
        """Read every run; the transcripts go to the temporary file."""
        for number, run in enumerate(self._runs):
            figures = Figures()
            summary = summarize(run.rollouts, seen=partial(self._seen, number, figures))
            self._told.append(
                {
                    "id": run.id,
                    "location": _location(run),
                    "asked": run.asked,
                    "unreadable": dict(run.unreadable),
                    "late": sum(run.late.values()),
                    "summary": summary.to_dict(),
                    "figures": figures.to_dict(),
                }
            )
        self._flush()

    def _seen(self, number: int, figures: Figures, rollout: Rollout, calls: list[ToolCall]) -> None:
        figures.add(rollout)
        if self._wanted(rollout):
            self._take(number, rollout, calls)
            if self._chunks.full:
                self._flush()
        self._done += 1
        self._progress(self._done, self._total)

    def _wanted(self, rollout: Rollout) -> bool:
        if len(self._index) >= self._limit:
            return False
        if self._failed:
            return rollout.failure is not None or bool(rollout.suspect)
        if self._total <= self._limit:
            return True
        # The n-th of `limit` is listed where n / limit is passed: evenly, and exactly so many.
        return (self._done + 1) * self._limit // self._total > self._done * self._limit // self._total

    def _take(self, number: int, rollout: Rollout, calls: Sequence[ToolCall]) -> None:
        place = None
        if self._size < self._most_bytes:
            location = f"{_location(self._runs[number])}/{rollout.input_id}/{rollout.session}.json"
            place = self._chunks.add(page_form(rollout, calls, self._chunks.tokens, location=location))
            self._transcripts += 1
        self._index.add(rollout, calls, run=number, place=place)

    def _flush(self) -> None:
        if self._vocabulary is not None:
            self._ids.update(self._chunks.tokens.ids)
        for sealed in self._chunks.seal():
            self._blocks.write(sealed)
            self._size += len(sealed)

    def assemble(self, target: Path) -> Report:
        """Put the page together beside its place, then there."""
        self._blocks.seek(0)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as page:
                page.writelines(page_start(f"{', '.join(run.id for run in self._runs)} · agentcore-rl"))
                page.write(block("index", msgspec.json.encode(self._contents())))
                page.write(page_script())
                shutil.copyfileobj(self._blocks, page, 1024 * 1024)
                page.write(page_end())
                size = page.tell()
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
        unreadable = sum(len(told["unreadable"]) for told in self._told)
        return Report(target, size, self._done, len(self._index), self._transcripts, unreadable)

    def _contents(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "made_at": time.time(),
            "failed_only": self._failed,
            "counted": self._done,
            "transcripts": self._transcripts,
            "runs": self._told,
            "comparisons": [compare(self._runs[0], run).to_dict() for run in self._runs[1:]],
            "index": self._index.to_dict(),
            "pieces": None if self._vocabulary is None else self._vocabulary.texts(self._ids),
        }


def _location(run: Run) -> str:
    """Where a run's records are, for a person."""
    return f"{run.store.location.rstrip('/')}/{run.prefix}{run.id}"
