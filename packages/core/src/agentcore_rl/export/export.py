"""A run, written for a trainer or another tool, and what became of every rollout and every sampled token."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.export.conversations import conversations_of
from agentcore_rl.export.files import WholeFile
from agentcore_rl.export.formats import Format, format_named
from agentcore_rl.export.formats.unfit import Unfit
from agentcore_rl.export.row import Account, Row
from agentcore_rl.export.rows import account_of, rows_of
from agentcore_rl.export.terms import Terms, Verdict, verdict
from agentcore_rl.export.where import Condition, conditions
from agentcore_rl.read.run import Run, read_run
from agentcore_rl.rollout import Rollout

__all__ = ["Advantages", "Exported", "export_run"]

Advantages = Literal["mean", "grpo", "none"]
"""What is made of a group's rewards.

mean: reward minus the group's mean, as tinker-cookbook has it. grpo: that over the group's unbiased standard
deviation plus 1e-4, as TRL has it. none: nothing; the trainer does.
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote, and what it did not.

    Attributes:
        to: the format's name.
        path: the file.
        size: of the file, in bytes.
        rollouts: read.
        exported: of these, with an entry in the file.
        entries: in the file.
        masked: rollouts in the file of which nothing trains, by reason.
        left_out: rollouts that are not in the file, by reason.
        unfit: rows or conversations that are not in the file though their rollout may be, by reason.
        unreadable: records that could not be read.
        account: where every sampled token went; None for formats without token ids.
        notes: what the consumer will say of the file.
    """

    to: str
    path: Path
    size: int = 0
    rollouts: int = 0
    exported: int = 0
    entries: int = 0
    masked: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    unfit: Mapping[str, int] = field(default_factory=dict)
    unreadable: int = 0
    account: Account | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        account = self.account
        return {
            "to": self.to,
            "out": str(self.path),
            "bytes": self.size,
            "rollouts": self.rollouts,
            "exported": self.exported,
            "entries": self.entries,
            "masked": dict(self.masked),
            "left_out": dict(self.left_out),
            "unfit": dict(self.unfit),
            "unreadable": self.unreadable,
            "tokens": None
            if account is None
            else {
                "sampled": account.sampled,
                "trained": account.trained,
                "masked": dict(account.masked),
                "partial": account.partial,
                "answers_without_ids": account.without_ids,
            },
            "notes": list(self.notes),
        }


def export_run(
    run: Run | str | os.PathLike[str],
    *,
    to: str,
    out: str | os.PathLike[str] | None = None,
    where: Iterable[str] = (),
    include_suspect: bool = False,
    failed_reward: float | None = None,
    advantages: Advantages | None = None,
    heard: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write a run in a format. One rollout is in memory at a time.

    Args:
        run: it, its folder, or `s3://bucket/prefix/RUN`; of each rollout the attempt that counts.
        to: name of the format (`FORMATS`).
        out: the file; by default RUN-FORMAT.jsonl (or .parquet) in the current directory.
        where: conditions such as `reward>0`, all of which must hold.
        include_suspect: rollouts train although their turns may not be the whole truth.
        failed_reward: the reward of rollouts that the agent failed or that ran out of time.
        advantages: made of each group's rewards; by default "mean" where the consumer makes none itself.
        heard: called after each rollout with how many were read and how many there are.

    Raises:
        ConfigurationError: the format, a condition or the place is wrong, or nothing of the run fits the
            format; the message says why, and no file is written.
        MissingDependencyError: the format needs a package that is not installed.
        StoreUnavailable: the store cannot be read now.
    """
    form = format_named(to)
    asked = conditions(where)
    made: Advantages = advantages or ("mean" if form.wants_advantages else "none")
    if made != "none" and form.unit != "row":
        raise ConfigurationError(f"The format {to} has no advantages: only rows of token ids have.")
    found = run if isinstance(run, Run) else read_run(run)
    path = Path(out) if out is not None else Path(f"{found.id}-{form.name}{form.suffix}")
    terms = Terms(include_suspect, failed_reward)
    credit = _Credit(found, terms, asked, made)
    work = _Export(found, form, asked, terms, credit)
    with WholeFile(path, form.schema()) as file:
        for number, rollout in enumerate(found.rollouts, 1):
            for entry in work.entries(rollout):
                file.write(entry)
            if heard is not None:
                heard(number, len(found.ids))
        if not file.entries:
            raise ConfigurationError(work.why_nothing())
        size = file.commit()
    return work.done(path, size, file.entries)


class _Export:
    """Counts while entries are made."""

    def __init__(
        self, run: Run, form: Format, asked: tuple[Condition, ...], terms: Terms, credit: _Credit
    ) -> None:
        self._run, self._form, self._asked, self._terms, self._credit = run, form, asked, terms, credit
        self._convert = form.converter()
        self._account: Account | None = Account() if form.unit == "row" else None
        self._count: Counter[str] = Counter()
        self._masked: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()
        self._unfit: Counter[str] = Counter()

    def entries(self, rollout: Rollout) -> Iterator[Mapping[str, Any]]:
        """What the file gets of a rollout."""
        self._count["rollouts"] += 1
        if not all(condition.holds(rollout) for condition in self._asked):
            self._left_out["where"] += 1
            return
        judged = verdict(rollout, self._terms, needs_reward=self._form.needs_reward)
        reason = self._not_written(judged)
        account = account_of(rollout, self._terms, needs_reward=self._form.needs_reward)
        written, trained, unfit = 0, 0, Counter[str]()
        for unit in self._units(rollout) if reason is None else ():
            try:
                made = list(self._convert(unit))
            except Unfit as refused:
                unfit[refused.reason] += 1
                continue
            written += len(made)
            trained += sum(unit.mask) if isinstance(unit, Row) else 0
            yield from made
        self._unfit += unfit
        if not written:
            reason = reason or next(iter(unfit), None) or self._empty(rollout, account)
        self._note(judged, account, trained, written, reason or next(iter(unfit), None))

    def _note(
        self, judged: Verdict, account: Account, trained: int, written: int, reason: str | None
    ) -> None:
        if self._account is not None:
            self._account += account.only(trained, reason)
        if not written:
            self._left_out[reason or ""] += 1
            return
        self._count["exported"] += 1
        if judged.masked is not None and not self._form.archive:
            self._masked[judged.masked] += 1

    def _not_written(self, judged: Verdict) -> str | None:
        """Why a rollout is left out by the rule; None where it is written, if only masked."""
        if self._form.archive:
            return None
        if judged.left_out is not None:
            return judged.left_out
        if judged.masked is None:
            return None
        kept = self._form.takes_masked and (judged.reward is not None or not self._form.needs_reward)
        return None if kept else judged.masked

    def _units(self, rollout: Rollout) -> Iterable[Any]:
        if self._form.unit == "rollout":
            return [rollout]
        if self._form.unit == "conversation":
            return conversations_of(rollout, self._terms)
        rows = rows_of(rollout, self._terms, needs_reward=self._form.needs_reward)
        return [replace(row, advantage=self._credit.of(rollout.task, row.reward)) for row in rows]

    def _empty(self, rollout: Rollout, account: Account) -> str:
        """Why a rollout that may be written gave nothing to write."""
        if not any(path.turns for path in rollout.trajectories):
            return "no_turn"
        if self._form.archive:
            return "task_written_already"
        if self._form.unit == "row" and account.without_ids and not account.sampled:
            return "no_token_ids"
        return "no_whole_answer"

    def why_nothing(self) -> str:
        """A sentence for a file that would be empty."""
        name, run = self._form.name, self._run.id
        if not self._count["rollouts"]:
            unreadable = len(self._run.unreadable)
            of = f" that can be read ({unreadable} cannot)" if unreadable else ""
            return f"Run {run} has no record{of}: there is nothing to export."
        if self._left_out["no_token_ids"]:
            return (
                f"Run {run} has no token ids, and {name} is made of them: no server gave any. Run it through "
                "the gateway (agentcore-rl gateway), which keeps the exact ids of every call, or ask the "
                "server "
                'for them (--sampling \'{"return_token_ids": true, "logprobs": true}\' with vLLM); '
                f"trl and openai take messages. Left out: {_told(self._left_out)}."
            )
        unfit = f"; unfit: {_told(self._unfit)}" if self._unfit else ""
        return (
            f"Nothing of run {run} can be exported as {name}. Left out of {self._count['rollouts']} "
            f"rollouts: {_told(self._left_out)}{unfit}. docs/export.md says what trains and what does not."
        )

    def done(self, path: Path, size: int, entries: int) -> Exported:
        """What came of it."""
        missing = (self._run.asked or 0) - self._count["rollouts"] - len(self._run.unreadable)
        if missing > 0:
            self._left_out["no_record"] = missing
        if self._account is not None and not self._account.holds:
            raise AssertionError(f"Tokens were lost or counted twice: {self._account}.")
        return Exported(
            to=self._form.name,
            path=path,
            size=size,
            rollouts=self._count["rollouts"],
            exported=self._count["exported"],
            entries=entries,
            masked=dict(self._masked),
            left_out=dict(self._left_out),
            unfit=dict(self._unfit),
            unreadable=len(self._run.unreadable),
            account=self._account,
            notes=tuple(self._form.notes(entries, size)),
        )


class _Credit:
    """Advantages from the rewards of each task's rollouts, which are read once before."""

    def __init__(self, run: Run, terms: Terms, asked: tuple[Condition, ...], kind: Advantages) -> None:
        self._kind = kind
        self._groups: dict[str, list[float]] = {}
        if kind == "none":
            return
        for rollout in run.rollouts:
            judged = verdict(rollout, terms)
            if judged.reward is not None and all(condition.holds(rollout) for condition in asked):
                self._groups.setdefault(rollout.task, []).append(judged.reward)

    def of(self, task: str, reward: float | None) -> float | None:
        """The advantage of a rollout; None without a reward, or where none is made."""
        if reward is None or self._kind == "none":
            return None
        group = self._groups[task]
        mean = math.fsum(group) / len(group)
        if self._kind == "mean":
            return reward - mean
        if len(group) < 2:
            return 0.0
        variance = math.fsum((one - mean) ** 2 for one in group) / (len(group) - 1)
        return (reward - mean) / (math.sqrt(variance) + 1e-4)


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
