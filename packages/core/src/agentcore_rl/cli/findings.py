"""What `doctor` looks at: interpreter, packages, adapters, the local model, spools, variables."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import Distribution, PackageNotFoundError, distribution, entry_points, version
from importlib.util import find_spec
from pathlib import Path

from agentcore_rl.exceptions import AgentCoreRLError, ConfigurationError
from agentcore_rl.settings import Settings, environment_secrets

__all__ = ["Finding", "Verdict", "examine"]


class Verdict(StrEnum):
    """How a finding is to be taken.

    ok: there, and works. optional: not there, and not needed by every use. broken: needed, and missing
    or not working.
    """

    OK = "ok"
    OPTIONAL = "optional"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        part: heading under which it stands.
        what: its name.
        verdict: how it is.
        says: its version, place or trouble.
        type_this: the command that mends it; empty where there is none.
    """

    part: str
    what: str
    verdict: Verdict
    says: str = ""
    type_this: str = ""


def examine() -> Iterator[Finding]:
    """Everything, part by part."""
    yield from _python()
    yield from _packages()
    yield from _adapters()
    yield from _local_model()
    yield from _project()
    yield from _settings()
    yield from _variables()


def _python() -> Iterator[Finding]:
    here = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    old = sys.version_info < (3, 11)
    yield Finding("Python", "python", Verdict.BROKEN if old else Verdict.OK, here)


def _packages() -> Iterator[Finding]:
    """The core and what it requires, as its own metadata says."""
    try:
        core = distribution("agentcore-rl")
    except PackageNotFoundError:
        yield Finding(
            "Packages",
            "agentcore-rl",
            Verdict.BROKEN,
            "runs from its source alone",
            "pip install agentcore-rl",
        )
        return
    yield Finding("Packages", "agentcore-rl", Verdict.OK, core.version)
    yield from _requirements(core, "Packages")


def _requirements(owner: Distribution, part: str) -> Iterator[Finding]:
    for line in owner.requires or ():
        if ";" in line and "extra" in line.partition(";")[2]:
            continue
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        if name == "agentcore-rl":
            continue
        try:
            yield Finding(part, name, Verdict.OK, f"{version(name)} (needs {_range(line, name)})")
        except PackageNotFoundError:
            yield Finding(
                part, name, Verdict.BROKEN, "not installed", f'pip install "{line.partition(";")[0].strip()}"'
            )


def _range(line: str, name: str) -> str:
    bounds = re.sub(r"^\[[^]]*\]", "", line.partition(";")[0].strip()[len(name) :]).strip()
    return ",".join(sorted(bounds.split(","), reverse=True)) or "any"


def _adapters() -> Iterator[Finding]:
    """Adapters as entry points name them; none is imported, since a framework takes seconds."""
    from agentcore_rl.adapter import GROUP

    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    if not points:
        yield Finding(
            "Adapters",
            "none",
            Verdict.BROKEN,
            "no framework's adapter is installed",
            "pip install agentcore-rl-strands",
        )
    for point in points:
        owner = point.dist
        yield Finding(
            "Adapters", point.name, Verdict.OK, f"{owner.name} {owner.version}" if owner else point.value
        )
        if owner is not None:
            yield from _requirements(owner, "Adapters")


def _local_model() -> Iterator[Finding]:
    from agentcore_rl.local_model.model_file import find_model

    part = "Local model (optional: demo, run --model smollm2)"
    if find_spec("xllamacpp") is None:
        yield Finding(
            part,
            "engine",
            Verdict.OPTIONAL,
            "llama.cpp is not installed",
            'pip install "agentcore-rl[local-model]"',
        )
    else:
        yield Finding(part, "engine", Verdict.OK, f"xllamacpp {version('xllamacpp')}")
    try:
        yield Finding(part, "model file", Verdict.OK, str(find_model()))
    except ConfigurationError as error:
        named = bool(os.environ.get("AGENTCORE_RL_MODEL_FILE", "").strip())
        fix = "" if named else "agentcore-rl local-model fetch"
        yield Finding(part, "model file", Verdict.BROKEN if named else Verdict.OPTIONAL, str(error), fix)


def _project() -> Iterator[Finding]:
    """The project file, key by key: what it says, and to which commands; or which variable says otherwise."""
    from agentcore_rl.cli.command_line import COMMANDS, command_parser
    from agentcore_rl.cli.defaults import typed
    from agentcore_rl.cli.project_file import SHARED, find_project, options_of, variable_of

    part = "Project file (optional)"
    try:
        project = find_project()
        if project is None:
            yield Finding(part, "agentcore-rl.toml", Verdict.OPTIONAL, "none here or above")
            return
        project.check(COMMANDS)
        yield Finding(part, "file", Verdict.OK, project.path)
        told: dict[str, list[str]] = {}
        for command in COMMANDS:
            options = options_of(command_parser(command))
            for key in typed(project, project.for_command(command, options), options):
                own = key in project.values.get(command, {})
                shared = "out" if key == "runs-in" else key
                told.setdefault(f"{command}.{key}" if own else shared, []).append(command)
    except ConfigurationError as error:
        yield Finding(part, "file", Verdict.BROKEN, str(error))
        return
    for name, commands in told.items():
        command, _, key = name.rpartition(".")
        value = project.placed(key, (project.values[command] if command else project.values)[key])
        variable = variable_of(key)
        says = f"{value}, for {', '.join(commands)}" + (
            f"; {variable} is set, and counts" if variable else ""
        )
        yield Finding(part, name, Verdict.OK, says)
    for key in project.values:
        if key in SHARED and key not in told:
            yield Finding(part, key, Verdict.OPTIONAL, "no command of this release takes it")


def _settings() -> Iterator[Finding]:
    part = "Records and models"
    try:
        settings = Settings.from_environment()
    except ConfigurationError as error:
        yield Finding(part, "settings", Verdict.BROKEN, str(error))
        return
    yield Finding(part, "record store", Verdict.OK, str(Path(settings.store).absolute()))
    yield from _spools(part, settings.spool)
    if settings.endpoint is None:
        yield Finding(
            part,
            "model",
            Verdict.OPTIONAL,
            "BASE_URL is not set; commands take --model",
            "export BASE_URL=http://...",
        )
        return
    import asyncio

    from agentcore_rl.cli.model_choice import check_model
    from agentcore_rl.cli.terminal import StatusLine

    try:
        asyncio.run(check_model(settings.endpoint, StatusLine()))
        yield Finding(part, "model", Verdict.OK, f"{settings.endpoint.base_url} answers")
    except AgentCoreRLError as error:
        yield Finding(part, "model", Verdict.BROKEN, str(error))


def _spools(part: str, own: Path) -> Iterator[Finding]:
    """What finished rollouts have left on this disk because their store could not be reached."""
    waiting, damaged = 0, 0
    for root in {own, own.parent / "local-runtime" / "spool"}:
        waiting += sum(1 for _ in root.glob("**/*.entry"))
        damaged += sum(1 for _ in root.glob("**/*.unreadable"))
    if not waiting and not damaged:
        yield Finding(part, "spool", Verdict.OK, f"{own}, nothing waits in it")
        return
    says = f"{own.parent}: {waiting} records wait to be stored, {damaged} damaged"
    hint = "start the app again in the same place: it stores what waits" if waiting else ""
    yield Finding(part, "spool", Verdict.BROKEN, f"{says}; {hint}" if hint else says)


def _variables() -> Iterator[Finding]:
    """Every variable that settings.py documents."""
    import agentcore_rl.settings as documented

    secret = {str.__str__(value) for value in environment_secrets(os.environ)}
    for name, meaning in re.findall(
        r"^\| ([A-Z][A-Z_]+) \| ([^|]+) \|", documented.__doc__ or "", re.MULTILINE
    ):
        value = os.environ.get(name)
        if value is None:
            yield Finding("Variables", name, Verdict.OPTIONAL, f"not set: {meaning.strip()}")
            continue
        hidden = name.endswith("KEY") or value in secret
        yield Finding("Variables", name, Verdict.OK, "set (hidden)" if hidden else value)
