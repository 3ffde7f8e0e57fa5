"""From a payload to a checked `RolloutRequest`: field names, types, ids, and the deployment's fences.

`_rollout` has the field names of agentcore-rl-toolkit 0.2 and ours, `_training` those that came
before it. A payload with neither is no rollout.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from agentcore_rl.endpoint import Endpoint, Secret, check_endpoint, matches
from agentcore_rl.exceptions import InvalidRequest, NotAllowed
from agentcore_rl.rollout import Destination, Limits, RolloutRequest, derive_session
from agentcore_rl.settings import SHORTEST_SECRET, Settings
from agentcore_rl.stores.keys import split_input_id
from agentcore_rl.strict_json import first_problem

__all__ = ["Parsed", "Probe", "is_rollout", "parse", "payload_secrets", "without_secrets"]

ID = re.compile(r"[A-Za-z0-9._=-]{1,128}")
_OURS = "agentcore_rl_"
_KEY = re.compile(r"[!-~]*")
# The agent's own: what a payload put there would be sent in place of what the agent said.
_NOT_SAMPLING = frozenset({"messages", "tools", "functions", "model", "stream"})
_SECRET = re.compile(
    r"(.*[_-])?(api[_-]?key|access[_-]?key([_-]?id)?|secret([_-]?(access[_-]?)?key)?|private[_-]?key"
    r"|password|passwd|authorization|credentials?)"
    # Not any token: a tokenizer's own (eos_token) are no keys.
    r"|((.*[_-])?(access|auth|session|security|refresh|bearer|api|hf|github|gitlab|jwt)[_-]?)?token",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Probe:
    """The client asks where this app would write; the agent is not run.

    Attributes:
        run: the run's id.
        token: what the object that the app puts holds.
        destination: where.
    """

    run: str
    token: str
    destination: Destination

    @property
    def key(self) -> str:
        """Key of the object that the app puts."""
        return f"{self.destination.prefix}{self.run}/probe-{self.token}.json"


@dataclass(frozen=True, slots=True)
class Parsed:
    """A payload that asks for a rollout, checked.

    Attributes:
        request: what it asks for.
        secrets: values in the payload and of the deployment that never enter a record.
        digest: of the payload without its secrets; equal for a payload delivered again.
    """

    request: RolloutRequest
    secrets: Sequence[Secret]
    digest: str


def _whole(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    return value


def _id(value: Any) -> Any:
    if not isinstance(value, str) or not ID.fullmatch(value) or ".." in value or value == ".":
        raise ValueError("must be 1-128 characters of [A-Za-z0-9._=-] without '..'")
    return value


_Id = Annotated[str, BeforeValidator(_id)]
_Count = Annotated[int, BeforeValidator(_whole), Field(ge=1)]
_Index = Annotated[int, BeforeValidator(_whole), Field(ge=0)]
_Seconds = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]


class _Training(BaseModel):
    """The fields of `_training`; further ones are the handler's own."""

    model_config = ConfigDict(strict=True, extra="ignore")

    exp_id: _Id
    input_id: _Id
    session_id: _Id | None = None
    s3_bucket: str | None = None
    sqs_url: str | None = None


class _Rollout(BaseModel):
    """The fields of `_rollout`; further ones go into the body of each model call."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())

    exp_id: _Id
    input_id: _Id
    attempt: _Index = 0
    base_url: str | None = None
    api_key: str | None = None
    model_id: str | None = None
    sampling_params: dict[str, Any] = {}
    s3_bucket: str | None = None
    prefix: str = ""
    queue: str | None = None
    deadline_s: _Seconds | None = None
    max_turns: _Count | None = None
    max_tokens: _Count | None = None
    policy_version: _Index | None = None
    stream: bool | None = None


class _Probe(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    exp_id: _Id
    probe: _Id
    s3_bucket: str | None = None
    prefix: str = ""
    queue: str | None = None


_Fields = TypeVar("_Fields", bound=BaseModel)


def is_rollout(payload: Any) -> bool:
    """Whether the payload asks for a rollout (or a probe) rather than a plain answer.

    Raises:
        InvalidRequest: the payload is no object.
    """
    if not isinstance(payload, Mapping):
        raise InvalidRequest(f"The payload must be a JSON object, not {_json_type(payload)}.")
    return "_rollout" in payload or "_training" in payload


def parse(payload: Mapping[str, Any], *, session: str | None, settings: Settings) -> Parsed | Probe:
    """Check a payload that `is_rollout` says yes to.

    Args:
        payload: the JSON object.
        session: the request's session header.
        settings: the deployment's, whose fences apply.

    Raises:
        InvalidRequest: fields are missing, of the wrong type or unknown, or an id is malformed.
        NotAllowed: a destination or an endpoint outside the fences.
    """
    if "_rollout" in payload and "_training" in payload:
        raise InvalidRequest("The payload has both _rollout and _training; send one of them.")
    problem = first_problem(payload, "payload")
    if problem is not None:
        raise InvalidRequest(f"{problem}. A payload must be plain JSON.")
    if "_training" in payload:
        request = _from_training(payload, session, settings)
    else:
        fields = payload["_rollout"]
        if isinstance(fields, Mapping) and "probe" in fields:
            probe = _validated(_Probe, fields, "_rollout")
            return Probe(
                probe.exp_id, probe.probe, _destination(probe.s3_bucket, probe.prefix, probe.queue, settings)
            )
        request = _from_rollout(payload, session, settings)
    secrets = payload_secrets(payload)
    digest = hashlib.sha256(msgspec.json.encode(without_secrets(payload), order="deterministic")).hexdigest()
    known = {secret.reveal() for secret in secrets}
    deployment = [*settings.secrets, *_long(settings.endpoint.api_key if settings.endpoint else Secret(""))]
    secrets += [secret for secret in dict.fromkeys(deployment) if secret.reveal() not in known]
    ids = f"{request.run}/{request.input_id}/{request.session}"
    if any(secret.reveal() in ids for secret in secrets):
        raise InvalidRequest("An id of the rollout holds a secret; ids stand in keys and logs.")
    return Parsed(request, sorted(secrets, key=len, reverse=True), digest)


def _from_rollout(payload: Mapping[str, Any], session: str | None, settings: Settings) -> RolloutRequest:
    fields = _validated(_Rollout, payload["_rollout"], "_rollout")
    task, sample = split_input_id(fields.input_id)
    return RolloutRequest(
        run=fields.exp_id,
        task=task,
        sample=sample,
        attempt=fields.attempt,
        session=_session(session) or derive_session(fields.exp_id, task, sample, fields.attempt),
        input_id=fields.input_id,
        endpoint=_endpoint(fields, settings),
        destination=_destination(fields.s3_bucket, fields.prefix, fields.queue, settings),
        limits=Limits(fields.deadline_s, fields.max_turns, fields.max_tokens),
        policy_version=fields.policy_version,
        stream=fields.stream,
        payload={name: value for name, value in payload.items() if name != "_rollout"},
    )


def _from_training(payload: Mapping[str, Any], session: str | None, settings: Settings) -> RolloutRequest:
    fields = _validated(_Training, payload["_training"], "_training")
    task, sample = split_input_id(fields.input_id)
    visible = {**payload, "_training": without_secrets(payload["_training"], drop=True)}
    return RolloutRequest(
        run=fields.exp_id,
        task=task,
        sample=sample,
        session=fields.session_id or _session(session) or derive_session(fields.exp_id, task, sample, 0),
        input_id=fields.input_id,
        endpoint=settings.endpoint,
        destination=_destination(fields.s3_bucket, "", fields.sqs_url, settings),
        payload=visible,
    )


def _validated(model: type[_Fields], fields: Any, where: str) -> _Fields:
    if not isinstance(fields, Mapping):
        raise InvalidRequest(f"{where} must be an object, not {_json_type(fields)}.")
    unknown = sorted(name for name in fields if str(name).startswith(_OURS))
    if unknown:
        raise InvalidRequest(f"{where} has fields that this release does not know: {', '.join(unknown)}.")
    try:
        return model.model_validate(dict(fields))
    except ValidationError as error:
        # Values are left out: a misplaced key must not come back in an error's text.
        problems = [
            f"{where}.{'.'.join(map(str, problem['loc']))}: {_sentence(problem['msg'])}"
            for problem in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise InvalidRequest(f"The payload cannot be used: {'; '.join(problems)}.") from None


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _session(header: str | None) -> str | None:
    if header is None:
        return None
    try:
        return str(_id(header))
    except ValueError as error:
        raise InvalidRequest(f"The session id of the request {error}.") from None


def _endpoint(fields: _Rollout, settings: Settings) -> Endpoint | None:
    own = settings.endpoint
    extra = dict(fields.model_extra or {})
    owned = sorted(_NOT_SAMPLING & (extra.keys() | fields.sampling_params.keys()))
    if owned:
        raise InvalidRequest(f"A payload cannot set {', '.join(owned)} of the agent's model calls.")
    if fields.api_key is not None and not _KEY.fullmatch(fields.api_key):
        raise InvalidRequest("_rollout.api_key must be printable ASCII without blanks.")
    if fields.base_url is None:
        if fields.api_key is not None:
            raise InvalidRequest("_rollout.api_key belongs to a base_url; send both or neither.")
        if own is None:
            return None
        return Endpoint(
            base_url=own.base_url,
            model=fields.model_id or own.model,
            api_key=own.api_key,
            sampling=fields.sampling_params,
            extra_body=extra,
            timeout_s=settings.model_timeout_s,
        )
    url = check_endpoint(fields.base_url, allowed=settings.endpoints, own=own.base_url if own else None)
    return Endpoint(
        base_url=url,
        model=fields.model_id or (own.model if own else ""),
        # Never the deployment's key: url and key come from the same source.
        api_key=Secret(fields.api_key or ""),
        sampling=fields.sampling_params,
        extra_body=extra,
        timeout_s=settings.model_timeout_s,
    )


def _destination(bucket: str | None, prefix: str, queue: str | None, settings: Settings) -> Destination:
    if bucket is not None:
        try:
            _id(bucket)
        except ValueError as error:
            raise InvalidRequest(f"s3_bucket {error}.") from None
        _fence("s3_bucket", bucket, settings.buckets, "AGENTCORE_RL_BUCKETS")
    if prefix:
        parts = prefix.rstrip("/").split("/")
        if not all(ID.fullmatch(part) and ".." not in part and part != "." for part in parts):
            raise InvalidRequest("prefix must be '/'-separated parts of [A-Za-z0-9._=-] without '..'.")
        prefix = prefix.rstrip("/") + "/"
        _fence("prefix", prefix, settings.prefixes, "AGENTCORE_RL_PREFIXES")
    if queue is not None:
        _fence("queue", queue, settings.queues, "AGENTCORE_RL_QUEUES")
    return Destination(bucket, prefix, queue)


def _fence(what: str, value: str, patterns: Sequence[str], variable: str) -> None:
    if not any(matches(value, pattern) for pattern in patterns):
        raise NotAllowed(
            f"This deployment does not let a payload name this {what}; "
            f"add a pattern for it to {variable} of the app."
        )


def payload_secrets(payload: Any) -> list[Secret]:
    """Values in the payload that stand under a name like api_key or token, longest first."""
    found = {value for name, value in _named_strings(payload) if _SECRET.fullmatch(name)}
    return [
        Secret(value) for value in sorted(found, key=lambda v: (-len(v), v)) if len(value) >= SHORTEST_SECRET
    ]


def without_secrets(value: Any, *, drop: bool = False) -> Any:
    """A copy in which what stands under a name like api_key or token is *** (or left out).

    Args:
        value: any JSON value.
        drop: leave such names out.
    """
    if isinstance(value, Mapping):
        return {
            name: "***" if _is_secret(name, item) else without_secrets(item, drop=drop)
            for name, item in value.items()
            if not (drop and _is_secret(name, item))
        }
    if isinstance(value, list | tuple):
        return [without_secrets(item, drop=drop) for item in value]
    return value


def _is_secret(name: Any, value: Any) -> bool:
    return isinstance(value, str) and isinstance(name, str) and _SECRET.fullmatch(name) is not None


def _long(secret: Secret) -> list[Secret]:
    return [secret] if len(secret) >= SHORTEST_SECRET else []


def _named_strings(value: Any) -> Iterator[tuple[str, str]]:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            for name, inner in item.items():
                if isinstance(inner, str):
                    yield str(name), inner
                else:
                    stack.append(inner)
        elif isinstance(item, list | tuple):
            stack.extend(item)


def _json_type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
