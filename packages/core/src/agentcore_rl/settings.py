"""Every environment variable that agentcore-rl reads, in one place.

| Variable | Meaning | Default |
|---|---|---|
| BASE_URL | the deployment's model endpoint, with its version path | none |
| MODEL_ID | the model id on the wire | what the agent asks for |
| API_KEY | the endpoint's bearer token | none |
| AGENTCORE_RL_STORE | where records go: a directory or `s3://bucket/prefix` | `rollouts` where it runs |
| AGENTCORE_RL_QUEUE | URL of the SQS queue that announces records in S3 | none: nothing is sent |
| AGENTCORE_RL_RUNTIME_ARN | the runtime that `run --on agentcore` means where none is named | none |
| AGENTCORE_RL_S3_SSE | encryption that puts into S3 ask for: AES256, aws:kms or aws:kms:KEY | the bucket's |
| AGENTCORE_RL_SPOOL | directory of the durable queue | a folder in the user's state directory |
| AGENTCORE_RL_BUCKETS | buckets that a payload may name, comma-separated patterns | none |
| AGENTCORE_RL_PREFIXES | key prefixes that a payload may name, comma-separated patterns | none |
| AGENTCORE_RL_QUEUES | queues (URLs with S3) that a payload may name, comma-separated patterns | none |
| AGENTCORE_RL_ENDPOINTS | endpoints that a payload may name, comma-separated patterns | BASE_URL, loopback |
| AGENTCORE_RL_MODEL_TIMEOUT_S | seconds without a byte before a model call counts as lost | 600 |
| AGENTCORE_RL_MODEL_RETRIES | further HTTP attempts of a model call | 4 |
| AGENTCORE_RL_MODEL_FILE | file of the local model | found where it is installed or fetched |
| AGENTCORE_RL_DEMO_FRAMEWORK | framework of the demo's agent | the first that is installed |

A pattern is shell style (`*`, `?`, `[...]`) within each '/'-separated part, and a closing `/*` takes
everything behind it; `*` alone opens a fence, and the app says so at start.
"""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.exceptions import ConfigurationError

__all__ = ["Settings", "environment_secrets"]

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)(_ID)?$")
SHORTEST_SECRET = 8
"""Shorter values are not replaced in records: they would hide ordinary text."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says, checked.

    Attributes:
        endpoint: the deployment's model endpoint; None when BASE_URL is not set.
        store: where records go: an absolute path, or a URL.
        queue: URL of the queue that announces records in S3; None: nothing is sent.
        runtime_arn: the runtime that the command line means; None: none.
        s3_encryption: what puts into S3 ask for; None: the bucket's default.
        spool: root directory of the durable queue; each process owns one folder in it.
        buckets, prefixes, queues: patterns that a payload's destination must match.
        endpoints: patterns that a payload's endpoint must match; None: BASE_URL and loopback.
        model_timeout_s: seconds without a byte before a model call counts as lost.
        model_retries: further HTTP attempts of one model call.
        secrets: values that never enter a record.
    """

    endpoint: Endpoint | None
    store: str
    spool: Path
    queue: str | None = None
    runtime_arn: str | None = None
    s3_encryption: str | None = None
    buckets: Sequence[str] = ()
    prefixes: Sequence[str] = ()
    queues: Sequence[str] = ()
    endpoints: Sequence[str] | None = None
    model_timeout_s: float = 600.0
    model_retries: int = 4
    secrets: Sequence[Secret] = ()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """The settings that an environment (by default this process's) spells.

        Raises:
            ConfigurationError: a variable cannot be used; the message names it.
        """
        env = os.environ if environment is None else environment
        timeout_s = _seconds(env, "AGENTCORE_RL_MODEL_TIMEOUT_S", 600.0)
        base_url = env.get("BASE_URL", "").strip()
        endpoint = None
        if base_url:
            # The value is left out: it may be a key in the wrong variable, or hold a password.
            if not re.fullmatch(r"https?://[^/@?#\s]+(/[^@?#\s]*)?", base_url):
                raise ConfigurationError(
                    "BASE_URL must be an http(s) URL such as http://host:8000/v1, without user, password "
                    "and query; a key goes into API_KEY."
                )
            api_key = env.get("API_KEY", "").strip()
            if not re.fullmatch(r"[!-~]*", api_key):
                raise ConfigurationError("API_KEY must be printable ASCII without blanks.")
            endpoint = Endpoint(
                base_url=base_url,
                model=env.get("MODEL_ID", "").strip(),
                api_key=Secret(api_key),
                timeout_s=timeout_s,
            )
        return cls(
            endpoint=endpoint,
            store=_location(env.get("AGENTCORE_RL_STORE", "") or "rollouts"),
            queue=env.get("AGENTCORE_RL_QUEUE", "").strip() or None,
            runtime_arn=env.get("AGENTCORE_RL_RUNTIME_ARN", "").strip() or None,
            s3_encryption=_encryption(env),
            spool=Path(env.get("AGENTCORE_RL_SPOOL", "") or _state_directory(env) / "spool"),
            buckets=_patterns(env, "AGENTCORE_RL_BUCKETS") or (),
            prefixes=_patterns(env, "AGENTCORE_RL_PREFIXES") or (),
            queues=_patterns(env, "AGENTCORE_RL_QUEUES") or (),
            endpoints=_patterns(env, "AGENTCORE_RL_ENDPOINTS"),
            model_timeout_s=timeout_s,
            model_retries=_whole(env, "AGENTCORE_RL_MODEL_RETRIES", 4),
            secrets=environment_secrets(env),
        )

    @property
    def open_fences(self) -> list[str]:
        """Names of the variables that are set to `*`."""
        fences = {
            "AGENTCORE_RL_BUCKETS": self.buckets,
            "AGENTCORE_RL_PREFIXES": self.prefixes,
            "AGENTCORE_RL_QUEUES": self.queues,
            "AGENTCORE_RL_ENDPOINTS": self.endpoints or (),
        }
        return [name for name, patterns in fences.items() if "*" in patterns]


def environment_secrets(environment: Mapping[str, str]) -> tuple[Secret, ...]:
    """The values of variables that are named like keys, tokens or passwords, longest first."""
    values = {
        value.strip()
        for name, value in environment.items()
        if _SECRET_NAME.search(name.upper()) and len(value.strip()) >= SHORTEST_SECRET
    }
    return tuple(Secret(value) for value in sorted(values, key=lambda v: (-len(v), v)))


def _location(text: str) -> str:
    """Absolute, so that it means the same to whoever reads it later."""
    return text if "://" in text else os.path.abspath(os.path.expanduser(text))


def _encryption(env: Mapping[str, str]) -> str | None:
    text = env.get("AGENTCORE_RL_S3_SSE", "").strip()
    if text and not re.fullmatch(r"AES256|aws:kms(:\S+)?", text):
        raise ConfigurationError(f"AGENTCORE_RL_S3_SSE must be AES256, aws:kms or aws:kms:KEY, not {text!r}.")
    return text or None


def _patterns(env: Mapping[str, str], name: str) -> tuple[str, ...] | None:
    if name not in env:
        return None
    return tuple(part.strip() for part in env[name].split(",") if part.strip())


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"{name} must be a number of at least 0, not {text!r}.")
    return value


def _whole(env: Mapping[str, str], name: str, default: int) -> int:
    value = _number(env, name, default)
    if value != int(value):
        raise ConfigurationError(f"{name} must be a whole number.")
    return int(value)


def _seconds(env: Mapping[str, str], name: str, default: float) -> float:
    value = _number(env, name, default)
    if value == 0:
        raise ConfigurationError(f"{name} must be above 0 seconds.")
    return value


def _state_directory(env: Mapping[str, str]) -> Path:
    home = env.get("XDG_STATE_HOME") or (f"{env['HOME']}/.local/state" if env.get("HOME") else "")
    # Containers often have a home that is not there, or may not be written.
    return (Path(home) if home and _writable(Path(home)) else Path(tempfile.gettempdir())) / "agentcore-rl"


def _writable(folder: Path) -> bool:
    """Whether the folder, or the nearest one above it that is there, may be written."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), None)
    return there is not None and os.access(there, os.W_OK | os.X_OK)
