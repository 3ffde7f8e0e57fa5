"""What a run was asked for on the command line, kept in its run.json so that it can be resumed."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from agentcore_rl.cli.defaults import from_file
from agentcore_rl.cli.place import AGENTCORE, Place
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.limits import AGENTCORE_QUOTAS, Limiter, Quotas
from agentcore_rl.settings import Settings

__all__ = ["Asked"]

_KEY = "command"


@dataclass(frozen=True, slots=True)
class Asked:
    """The words of `agentcore-rl run`, without keys.

    Attributes:
        on, app: the place.
        tasks: path of the task file, absolute.
        out: directory of run folders, absolute.
        store: location of the record store; None: `out`.
        queue: channel of notices; None: the place's own.
        model, model_id, engine, tokenizer, renderer, sampling: as the options of these names.
        samples, attempts, concurrency: as the options of these names.
        deadline, max_turns, max_tokens: as the options of these names.
        new_sessions_per_s, interactions_per_s, active_sessions: of the place's budget.
    """

    on: str
    app: str
    tasks: str
    out: str
    store: str | None = None
    queue: str | None = None
    model: str | None = None
    model_id: str | None = None
    engine: str | None = None
    tokenizer: str | None = None
    renderer: str | None = None
    sampling: dict[str, Any] = field(default_factory=dict)
    samples: int = 1
    attempts: int = 3
    concurrency: int | None = None
    deadline: float | None = None
    max_turns: int | None = None
    max_tokens: int | None = None
    new_sessions_per_s: float | None = None
    interactions_per_s: float | None = None
    active_sessions: int | None = None

    @classmethod
    def of(cls, args: argparse.Namespace, place: Place) -> Asked:
        """What the options of `run` say."""
        app = place.app if place.remote else str(Path(place.app).absolute())
        given = {name: getattr(args, name) for name in cls.__slots__ if hasattr(args, name)}
        given |= {"on": place.on, "app": app, "tasks": str(Path(args.tasks).absolute())}
        named = None if place.on == AGENTCORE and from_file(args, "store") and _own_store() else args.store
        given |= {"out": str(Path(args.out).absolute()), "store": _records(named, place)}
        if getattr(args, "tokenizer", None) is not None:
            given["tokenizer"] = str(Path(args.tokenizer).absolute())
        given["queue"] = args.queue or Settings.from_environment().queue
        return cls(**given)

    @classmethod
    def recall(cls, about: Mapping[str, Any]) -> Asked:
        """What run.json says.

        Raises:
            ConfigurationError: the run was not begun on the command line, or by another release.
        """
        known = about.get(_KEY)
        if not isinstance(known, dict):
            raise ConfigurationError(
                f"The run {about.get('run')} was not begun by agentcore-rl run, so nothing says how to go "
                "on: resume it where it was begun, with BatchRunner(..., resume=True)."
            )
        try:
            return cls(**known)
        except TypeError as error:
            raise ConfigurationError(f"run.json was written by another release: {error}.") from None

    def to_about(self) -> dict[str, Any]:
        """The entry of run.json."""
        return {_KEY: asdict(self)}

    def changed(self, **changes: Any) -> Asked:
        """With these values, where they are not None."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    @property
    def place(self) -> Place:
        """Where rollouts run."""
        return Place(self.on, self.app)

    @property
    def at_once(self) -> int:
        """Rollouts in flight at once: as asked, else what suits the place."""
        if self.concurrency is not None:
            return self.concurrency
        if self.on == AGENTCORE:
            return self.active_sessions or AGENTCORE_QUOTAS.active_sessions or 1000
        return os.cpu_count() or 1

    def limiter(self) -> Limiter:
        """The place's budget: AgentCore's quotas there, none elsewhere, and what was asked."""
        default = AGENTCORE_QUOTAS if self.on == AGENTCORE else Quotas()
        return Limiter(
            Quotas(
                self.new_sessions_per_s or default.new_sessions_per_s,
                self.interactions_per_s or default.interactions_per_s,
                self.active_sessions or default.active_sessions,
            )
        )


def _own_store() -> str | None:
    return os.environ.get("AGENTCORE_RL_STORE", "").strip() or None


def _records(store: str | None, place: Place) -> str | None:
    if store is None and place.on == AGENTCORE:
        store = _own_store()
        if store is None:
            raise ConfigurationError(
                "Sessions on AgentCore put their records into S3: say where with --store s3://BUCKET/PREFIX "
                "(what AGENTCORE_RL_STORE is in the app's deployment)."
            )
    if store is None or "://" in store:
        return store
    return str(Path(store).expanduser().absolute())
