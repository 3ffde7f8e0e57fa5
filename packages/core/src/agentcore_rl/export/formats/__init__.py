"""The table of formats: what each is made of, and where it is made.

A format is a function (or a class whose instances are called) that takes one row, one conversation or one
rollout and gives the entries of the file. It raises `Unfit` for what the consumer could not take.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from agentcore_rl.exceptions import ConfigurationError

__all__ = ["FORMATS", "Format", "format_named"]


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes:
        name: what `--to` takes.
        about: what the file holds, in a few words.
        unit: what it is made of: a row of token ids, a conversation of messages, or a whole rollout.
        home: module of this package and function or class in it.
        suffix: of files.
        needs_reward: entries without a reward are of no use to the consumer.
        takes_masked: rows that do not train are written with a mask of zeros; they count in their group.
        wants_advantages: the consumer takes advantages and makes none itself.
        archive: everything is written, whatever may train.
    """

    name: str
    about: str
    unit: Literal["row", "conversation", "rollout"]
    home: str
    suffix: str = ".jsonl"
    needs_reward: bool = False
    takes_masked: bool = False
    wants_advantages: bool = False
    archive: bool = False

    def converter(self) -> Callable[[Any], Iterable[Mapping[str, Any]]]:
        """What makes entries of one unit; a new one for each file."""
        module, _, name = self.home.partition(":")
        found = getattr(import_module(f"{__name__}.{module}"), name)
        made: Callable[[Any], Iterable[Mapping[str, Any]]] = found() if isinstance(found, type) else found
        return made

    def schema(self) -> Any:
        """Arrow schema of a Parquet file; None for JSON lines.

        Raises:
            MissingDependencyError: pyarrow is not installed.
        """
        if self.suffix != ".parquet":
            return None
        from agentcore_rl.export.formats import arrow_schemas

        return arrow_schemas.of(self.name)

    def notes(self, entries: int, size: int) -> list[str]:
        """What the consumer will say of a file with so many entries and bytes."""
        module = import_module(f"{__name__}.{self.home.partition(':')[0]}")
        remarks: Callable[[int, int], list[str]] | None = getattr(module, "notes", None)
        return [] if remarks is None else remarks(entries, size)


_ROWS: dict[str, Any] = {"unit": "row", "needs_reward": True, "takes_masked": True}

FORMATS: Mapping[str, Format] = {
    form.name: form
    for form in (
        Format("trl", "TRL: conversations with tools for SFT", "conversation", "trl:language_modeling"),
        Format(
            "trl-prompt-completion",
            "TRL: one example per answer for SFT",
            "conversation",
            "trl:prompt_completion",
        ),
        Format("trl-rollout", "TRL: what GRPO's rollout_func returns", home="trl:rollout_func", **_ROWS),
        Format("verl", "verl: outputs of agent loops", home="verl:agent_loop_output", **_ROWS),
        Format(
            "verl-prompts",
            "verl: the tasks as a data set of prompts",
            "rollout",
            "verl:Prompts",
            ".parquet",
            archive=True,
        ),
        Format(
            "tinker",
            "Tinker: a Datum per row",
            home="tinker:datum",
            wants_advantages=True,
            **_ROWS,
        ),
        Format(
            "prime-rl",
            "prime-rl: a TrainingSample per row",
            home="prime_rl:training_sample",
            wants_advantages=True,
            **_ROWS,
        ),
        Format("openai", "OpenAI: conversations for fine-tuning", "conversation", "openai:example"),
        Format(
            "parquet",
            "Parquet: whole rollouts with their turns",
            "rollout",
            "tables:rollout",
            ".parquet",
            archive=True,
        ),
        Format("parquet-rows", "Parquet: training rows", "row", "tables:row", ".parquet", takes_masked=True),
        Format(
            "otel",
            "OpenTelemetry: GenAI spans as OTLP/JSON",
            "rollout",
            "otel:trace",
            archive=True,
        ),
    )
}
"""Every format by its name."""


def format_named(name: str) -> Format:
    """The format of this name.

    Raises:
        ConfigurationError: there is none.
    """
    if name in FORMATS:
        return FORMATS[name]
    near = difflib.get_close_matches(name, FORMATS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FORMATS)}."
    raise ConfigurationError(f"There is no format {name!r}; {hint}")
