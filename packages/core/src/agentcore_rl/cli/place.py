"""Where rollouts run: on this machine, in an app that runs already, or on AgentCore Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agentcore_rl.endpoint import is_loopback
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.settings import Settings

if TYPE_CHECKING:
    from agentcore_rl.launchers import Launcher
    from agentcore_rl.limits import Limiter

__all__ = ["AGENTCORE", "LOCAL", "Place", "chosen_place"]

LOCAL = "local"
"""The local runtime of this machine."""
AGENTCORE = "agentcore"
"""AgentCore Runtime."""
_URL = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an app is.

    Attributes:
        on: `local`, `agentcore`, or the URL of an app that runs.
        app: the app file, the runtime's ARN, or the URL.
    """

    on: str
    app: str

    @classmethod
    def local(cls, app: str) -> Place:
        """The local runtime with this app file."""
        return cls(LOCAL, app)

    @property
    def remote(self) -> bool:
        """Whether sessions run elsewhere, with an environment of their own."""
        return self.on != LOCAL

    @property
    def on_this_machine(self) -> bool:
        """Whether sessions can reach what listens on this machine alone."""
        return self.on == LOCAL or (self.on != AGENTCORE and is_loopback(urlsplit(self.on).hostname or ""))

    def launcher(self, *, env: Mapping[str, str], limiter: Limiter | None) -> Launcher:
        """What starts sessions there.

        Args:
            env: environment variables of the sessions, where this process can set them.
            limiter: the place's budget; None is the place's default.
        """
        if self.on == LOCAL:
            from agentcore_rl.adapter import ADAPTERS
            from agentcore_rl.launchers.local import LocalLauncher

            return LocalLauncher(self.app, env={**ADAPTERS.import_env(), **env}, limiter=limiter)
        if self.on == AGENTCORE:
            from agentcore_rl.aws.launcher import AgentCoreLauncher

            return AgentCoreLauncher(self.app, limiter=limiter)
        from agentcore_rl.launchers.url import URLLauncher

        return URLLauncher(self.app, limiter=limiter)


def chosen_place(app: str | None, on: str | None) -> Place:
    """The place that `APP --on WHERE` names; what is left out is told from the other.

    Raises:
        ConfigurationError: the two do not fit; the message says how they would.
    """
    if on is not None and on.startswith(_URL):
        return Place(on, on)
    if on not in (None, LOCAL, AGENTCORE):
        raise ConfigurationError(
            f"--on {on} is no place: it is {LOCAL}, {AGENTCORE}, or the URL of an app that runs."
        )
    arn = app is not None and app.startswith("arn:")
    if on == AGENTCORE or (on is None and arn):
        runtime = app if arn else Settings.from_environment().runtime_arn
        if not runtime:
            raise ConfigurationError(
                "--on agentcore needs the runtime's ARN, as APP or in "
                "AGENTCORE_RL_RUNTIME_ARN: arn:aws:bedrock-agentcore:REGION:ACCOUNT:runtime/NAME-ID."
            )
        return Place(AGENTCORE, runtime)
    if app is None:
        raise ConfigurationError("Name your app: its file, its URL with --on URL, or its runtime's ARN.")
    if arn:
        raise ConfigurationError(
            f"--on {LOCAL} needs an app file, not an ARN: leave --on out, or name a file."
        )
    if app.startswith(_URL):
        if on == LOCAL:
            raise ConfigurationError(f"--on {LOCAL} needs an app file, not a URL: leave --on out.")
        return Place(app, app)
    from agentcore_rl.local_runtime.app_file import find_app_file

    find_app_file(app)
    return Place(LOCAL, app)
