"""What botocore's errors mean, and how they are said: the one translation into words of ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

from botocore import exceptions as botocore_errors
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from agentcore_rl.exceptions import StoreUnavailable
from agentcore_rl.settings import environment_secrets

__all__ = ["Fault", "FaultKind", "action_of", "asks_for_credentials", "fault_of", "translated"]


class FaultKind(Enum):
    """What a call's failure says about the next."""

    THROTTLED = "throttled"
    """Too many calls, or a quota is used up: the same call later."""
    CREDENTIALS = "credentials"
    """Expired, unknown or missing: the same call when they are refreshed."""
    DENIED = "denied"
    """This role may not do this, until a person lets it."""
    MISSING = "missing"
    """The bucket, queue or runtime is not there."""
    UNREACHABLE = "unreachable"
    """No connection: the service has not seen the call."""
    UNANSWERED = "unanswered"
    """The call was sent, and no whole answer came: it may have been carried out."""
    BROKEN = "broken"
    """The service failed (5xx): it may have been carried out."""
    REFUSED = "refused"
    """Anything else that the service says no to (4xx)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed call.

    Attributes:
        kind: what it says about the next.
        code: AWS's error code, or the name of botocore's error.
        status: the HTTP status; None when there was no answer.
        operation: the operation; "" where botocore does not say.
        reason: half a sentence for a person, with what to do; holds no secret.
        after_s: seconds to wait, if the service said so.
        retried: requests that botocore had made for this call before the last one.
    """

    kind: FaultKind
    code: str
    status: int | None
    operation: str
    reason: str
    after_s: float | None = None
    retried: int = 0


_THROTTLED = frozenset(
    "SlowDown Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException "
    "RequestLimitExceeded TooManyRequestsException LimitExceededException BandwidthLimitExceeded "
    "ProvisionedThroughputExceededException ServiceQuotaExceededException PriorRequestNotComplete "
    "OverLimit KMS.ThrottlingException KmsThrottled TransactionInProgressException".split()
)
_CREDENTIALS = frozenset(
    "ExpiredToken ExpiredTokenException TokenRefreshRequired RequestExpired InvalidToken InvalidAccessKeyId "
    "InvalidClientTokenId InvalidClientTokenId.Missing UnrecognizedClientException SignatureDoesNotMatch "
    "InvalidSignatureException IncompleteSignature MissingAuthenticationToken "
    "MissingAuthenticationTokenException RequestTimeTooSkewed AuthFailure".split()
)
_DENIED = frozenset(
    "AccessDenied AccessDeniedException AllAccessDisabled AccountProblem OptInRequired KmsAccessDenied "
    "KMS.AccessDeniedException NotAuthorized UnauthorizedOperation 403 Forbidden".split()
)
_MISSING = frozenset(
    "NoSuchBucket NoSuchKey NoSuchUpload QueueDoesNotExist NonExistentQueue QueueDeletedRecently "
    "AWS.SimpleQueueService.NonExistentQueue AWS.SimpleQueueService.QueueDoesNotExist "
    "ResourceNotFoundException NotFound 404".split()
)
_NO_CREDENTIALS = (
    botocore_errors.NoCredentialsError,
    botocore_errors.PartialCredentialsError,
    botocore_errors.CredentialRetrievalError,
    botocore_errors.RefreshWithMFAUnsupportedError,
    botocore_errors.SSOError,
    botocore_errors.TokenRetrievalError,
    botocore_errors.MetadataRetrievalError,
)
_NO_CONNECTION = (
    botocore_errors.EndpointConnectionError,
    botocore_errors.ConnectTimeoutError,
    botocore_errors.ProxyConnectionError,
    botocore_errors.SSLError,
)
_ACTIONS = {
    "PutObject": "s3:PutObject",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "SendMessage": "sqs:SendMessage",
    "ReceiveMessage": "sqs:ReceiveMessage",
    "DeleteMessageBatch": "sqs:DeleteMessage",
    "ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "InvokeAgentRuntime": "bedrock-agentcore:InvokeAgentRuntime",
    "StopRuntimeSession": "bedrock-agentcore:StopRuntimeSession",
}
_ACCESS_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{8,}")


def fault_of(error: BaseException) -> Fault:
    """What botocore's error means; anything else counts as an answer that did not come."""
    if isinstance(error, ClientError):
        return _answered(error)
    name, endpoint = type(error).__name__, getattr(error, "kwargs", {}).get("endpoint_url")
    host = urlsplit(str(endpoint)).netloc.rpartition("@")[2] if endpoint else "AWS"
    if isinstance(error, _NO_CREDENTIALS):
        reason = f"no valid credentials were found ({name}); give this process a role or refresh its keys"
        return Fault(FaultKind.CREDENTIALS, name, None, "", reason)
    if isinstance(error, _NO_CONNECTION):
        reason = f"no connection to {host} could be made ({name}); check network, region and endpoint"
        return Fault(FaultKind.UNREACHABLE, name, None, "", reason)
    if isinstance(error, ResponseParserError):
        return Fault(FaultKind.BROKEN, name, None, "", f"{host} gave an answer that is not AWS's")
    reason = f"no whole answer came from {host} ({name})"
    return Fault(FaultKind.UNANSWERED, name, None, "", reason)


def action_of(operation: str) -> str:
    """The action of IAM that an operation needs; the operation itself where it is not one of ours."""
    return _ACTIONS.get(operation, operation)


def asks_for_credentials(said: str | BaseException) -> bool:
    """Whether an error, or AWS's code, may go away with credentials that are read anew."""
    if isinstance(said, BaseException):
        return isinstance(said, _NO_CREDENTIALS)
    return said in _CREDENTIALS or said in _DENIED


@contextmanager
def translated(sentence: str) -> Iterator[None]:
    """Botocore's errors as StoreUnavailable: the sentence, AWS's code, and what to do.

    Args:
        sentence: what cannot be done, without its full stop.
    """
    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError, OSError) as error:
        raise StoreUnavailable(f"{sentence}: {fault_of(error).reason}.") from error


def _answered(error: ClientError) -> Fault:
    about = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    code, status = str(about.get("Code", "")) or "no code", metadata.get("HTTPStatusCode")
    kind = _kind(code, status)
    said = _without_secrets(str(about.get("Message", "")).strip().rstrip("."))[:300]
    operation = error.operation_name
    headers = metadata.get("HTTPHeaders", {})
    after = str(headers.get("retry-after", ""))
    answer = f"{operation} was answered with {code}{f' ({said})' if said else ''}"
    return Fault(
        kind=kind,
        code=code,
        status=status,
        operation=operation,
        reason=answer + _advice(kind, operation),
        after_s=float(after) if re.fullmatch(r"\d{1,5}", after) else None,
        retried=int(metadata.get("RetryAttempts", 0)),
    )


def _kind(code: str, status: int | None) -> FaultKind:
    # SQS sends codes with a namespace before them.
    short = code.rpartition("#")[2]
    for codes, kind in (
        (_THROTTLED, FaultKind.THROTTLED),
        (_CREDENTIALS, FaultKind.CREDENTIALS),
        (_DENIED, FaultKind.DENIED),
        (_MISSING, FaultKind.MISSING),
    ):
        if short in codes:
            return kind
    if status in (429, 503):
        return FaultKind.THROTTLED
    if status is not None and status >= 500:
        return FaultKind.BROKEN
    return FaultKind.REFUSED


def _advice(kind: FaultKind, operation: str) -> str:
    if kind is FaultKind.DENIED:
        return f"; let this process's role do {action_of(operation)} on it, and use its KMS key if it has one"
    return {
        FaultKind.CREDENTIALS: "; refresh this process's credentials, they are read anew",
        FaultKind.MISSING: "; create it, or correct its name or region",
        FaultKind.THROTTLED: "; fewer calls at once would be answered",
    }.get(kind, "")


def _without_secrets(text: str) -> str:
    text = _ACCESS_KEY_ID.sub("***", text)
    for secret in environment_secrets(os.environ):
        text = text.replace(secret.reveal(), "***")
    return text
