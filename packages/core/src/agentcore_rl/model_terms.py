"""What every adapter's model factory does alike: read what the agent asks for, find the clients.

An adapter adds only what its framework wants to hear.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from agentcore_rl.exceptions import ConfigurationError, MissingDependencyError

__all__ = ["ModelTerms", "apply_import_env", "check_openai", "check_sampling", "importing"]

_NOT_SAMPLING = ("messages", "model", "tools")
_LOWEST_OPENAI = (2, 47)


@dataclass(frozen=True, slots=True)
class ModelTerms:
    """What an agent asks of its model, sorted.

    Attributes:
        agent: label of the calls.
        params: parameters of the OpenAI API's chat completions.
        extra_body: parameters that the OpenAI API does not have; they go into the body as they are.
        stream: whether answers are streamed; fixed when the model is made.
        timeout_s: seconds without a byte before a call counts as lost.
    """

    agent: str
    params: Mapping[str, Any]
    extra_body: Mapping[str, Any]
    stream: bool
    timeout_s: float

    @classmethod
    def of(cls, agent: str, sampling: Mapping[str, Any]) -> ModelTerms:
        """Sort what was given to `create_openai_compatible_model`; None counts as not given.

        Args:
            agent: label of the calls.
            sampling: parameters by name; `stream` gives way to the request's where the model is
                made in a rollout whose request has one; `timeout` is in seconds; `extra_body` is
                merged with what the OpenAI API does not know.

        Raises:
            ConfigurationError: a parameter is none of sampling, or `agent` cannot be a label.
            MissingDependencyError: the OpenAI SDK is too old.
        """
        asked = check_sampling(sampling)
        if not agent or not agent.isascii() or not agent.isprintable():
            raise ConfigurationError(f"agent must be a label of printable ASCII characters, not {agent!r}.")
        import openai

        # Here, since adapters import this module, and lists of adapters must be cheap.
        from agentcore_rl.recorder.scope import current_scope
        from agentcore_rl.settings import Settings

        check_openai(openai.__version__)
        scope = current_scope()
        requested = scope.stream if scope is not None else None
        stream = bool(asked.pop("stream", False))
        timeout_s = asked.pop("timeout", None) or Settings.from_environment().model_timeout_s
        body = dict(asked.pop("extra_body", {}))
        known = _openai_parameters()
        return cls(
            agent=agent,
            params={name: value for name, value in asked.items() if name in known},
            extra_body={name: value for name, value in asked.items() if name not in known} | body,
            stream=stream if requested is None else requested,
            timeout_s=float(timeout_s),
        )


def check_sampling(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, without what is None.

    Raises:
        ConfigurationError: messages, model or tools are among it.
    """
    asked = {name: value for name, value in sampling.items() if value is not None}
    if wrong := [name for name in _NOT_SAMPLING if name in asked]:
        raise ConfigurationError(
            f"{', '.join(wrong)} cannot be fixed in a model: the framework sends messages and tools, the "
            "endpoint names the model (MODEL_ID, or the request), and provider_model_id chooses a hosted one."
        )
    return asked


@functools.cache
def _openai_parameters() -> frozenset[str]:
    from openai.resources.chat.completions import AsyncCompletions

    return frozenset(inspect.signature(AsyncCompletions.create).parameters) - {"self"}


def check_openai(version: str) -> None:
    """Check that this version of the OpenAI SDK takes our HTTP clients.

    Raises:
        MissingDependencyError: it is too old.
    """
    if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < _LOWEST_OPENAI:
        raise MissingDependencyError(
            f"The OpenAI SDK here is {version}, but 2.47 or newer is needed, which takes our HTTP client. "
            'Install it with: pip install "openai>=2.47,<4"'
        )


@contextmanager
def importing(modules: Mapping[str, str], install: str) -> Iterator[None]:
    """Import a framework inside this block; a missing one is one sentence.

    Args:
        modules: top-level module -> what a person calls it.
        install: what to install, as pip takes it.

    Raises:
        MissingDependencyError: one of these modules is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = modules.get((error.name or "").partition(".")[0])
        if missing is None:
            raise
        raise MissingDependencyError(
            f'{missing} is not installed here. Install it with: pip install "{install}"'
        ) from None


def apply_import_env(environment: Mapping[str, str], module: str) -> None:
    """Set what a framework reads from the environment when it is imported; what a person has set stands.

    Warns, when the adapter is imported, if the framework is there already and has read it unset.

    Args:
        environment: the adapter's `import_env`.
        module: the framework's top-level module.
    """
    unset = {name: value for name, value in environment.items() if name not in os.environ}
    os.environ.update(unset)
    if unset and module in sys.modules:
        settings = " ".join(f"{name}={value}" for name, value in unset.items())
        warnings.warn(
            f"{module} was imported before its adapter, which sets {settings}. Import the adapter first, or "
            "set them in the environment.",
            RuntimeWarning,
            stacklevel=2,
        )
