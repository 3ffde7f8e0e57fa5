"""What the client sends: an item of a batch, its ids, its payload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.outcome import RequestIds
from agentcore_rl.rollout import Destination, Limits, derive_session
from agentcore_rl.tasks import RESERVED, Task, check_id

__all__ = ["Terms"]

_OWN = frozenset(
    "exp_id input_id attempt probe base_url api_key model_id sampling_params s3_bucket prefix queue "
    "deadline_s max_turns max_tokens policy_version stream".split()
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What all rollouts of a run have in common.

    Attributes:
        run: the run's id.
        endpoint: the model endpoint to use; None: the deployment's.
        destination: where records go; its empty fields are the deployment's.
        limits: of each rollout.
        policy_version: of the policy behind the endpoint; None when unknown.
        stream: whether model calls stream; None leaves it to the agent.
    """

    run: str
    endpoint: Endpoint | None = None
    destination: Destination = field(default_factory=Destination)
    limits: Limits = field(default_factory=Limits)
    policy_version: int | None = None
    stream: bool | None = None

    def check(self) -> None:
        """Refuse what an app would refuse for every rollout.

        Raises:
            ConfigurationError: with what is wrong.
        """
        reason = check_id(self.run)
        if reason or self.run == ".":
            raise ConfigurationError(f"The run id {self.run!r} cannot be used: {reason or 'it is a dot'}.")
        endpoint = self.endpoint
        if endpoint is None:
            return
        if endpoint.headers:
            raise ConfigurationError(
                "An endpoint's headers cannot travel with a rollout; set them in the app."
            )
        if endpoint.api_key and not endpoint.base_url:
            raise ConfigurationError("An endpoint's api_key needs its base_url: both have one source.")
        taken = sorted(
            name for name in endpoint.extra_body if name in _OWN or name.startswith("agentcore_rl_")
        )
        if taken:
            raise ConfigurationError(
                f"The endpoint's extra_body cannot have {', '.join(taken)}: a rollout's fields are named so."
            )

    def ids(self, task: Task, sample: int, attempt: int = 0) -> RequestIds:
        """The ids of an attempt.

        Raises:
            ConfigurationError: the task's id and the sample make no usable id.
        """
        input_id = f"{task.id}.{sample}"
        reason = check_id(input_id)
        if reason:
            raise ConfigurationError(
                f"Sample {sample} of task {task.id!r:.140} has no usable id {input_id!r:.140}: {reason}."
            )
        session = derive_session(self.run, task.id, sample, attempt)
        return RequestIds(
            self.run, task.id, sample, attempt, session, f"{self.folder}{input_id}/{session}.json"
        )

    @property
    def folder(self) -> str:
        """What the keys of this run's records begin with."""
        prefix = self.destination.prefix.rstrip("/")
        return f"{prefix}/{self.run}/" if prefix else f"{self.run}/"

    def payload(self, task: Task, ids: RequestIds, key: Secret | None = None) -> dict[str, Any]:
        """What the app gets: the task's object and `_rollout`.

        Args:
            task: the task.
            ids: of the attempt.
            key: of the model endpoint, for this attempt alone; None: the endpoint's own.
        """
        if any(name in task.payload for name in RESERVED):
            raise ConfigurationError(
                f"Task {task.id} has a key that the client writes: {' or '.join(RESERVED)}."
            )
        fields: dict[str, Any] = {}
        if self.endpoint is not None:
            endpoint = self.endpoint
            fields.update(endpoint.extra_body)
            if endpoint.base_url:
                fields["base_url"] = endpoint.base_url
            own = key or endpoint.api_key
            if own:
                fields["api_key"] = own.reveal()
            if endpoint.model:
                fields["model_id"] = endpoint.model
            if endpoint.sampling:
                fields["sampling_params"] = dict(endpoint.sampling)
        optional = {
            "deadline_s": self.limits.deadline_s,
            "max_turns": self.limits.max_turns,
            "max_tokens": self.limits.max_tokens,
            "policy_version": self.policy_version,
            "stream": self.stream,
        }
        fields.update({name: value for name, value in optional.items() if value is not None})
        fields.update(exp_id=ids.run, input_id=ids.rollout_id, attempt=ids.attempt, **self._destination())
        return {**task.payload, "_rollout": fields}

    def probe(self, token: str) -> dict[str, Any]:
        """What the app gets before the first rollout: it puts `token` where a record would go."""
        return {"_rollout": {"exp_id": self.run, "probe": token, **self._destination()}}

    def _destination(self) -> Mapping[str, str]:
        named = {
            "s3_bucket": self.destination.bucket,
            "prefix": self.destination.prefix,
            "queue": self.destination.queue,
        }
        return {name: value for name, value in named.items() if value}
