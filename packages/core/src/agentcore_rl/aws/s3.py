"""Records in S3: one object each, created by a conditional put, never changed."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from agentcore_rl.aws.clients import client
from agentcore_rl.aws.faults import Fault, FaultKind, fault_of, translated
from agentcore_rl.exceptions import ConfigurationError, RecordNotFound, StoreUnavailable
from agentcore_rl.stores import StoredObject
from agentcore_rl.stores.keys import check_key

__all__ = ["S3Store"]

MULTIPART_BYTES = 16 * 2**20
"""Records of this size and more are uploaded in parts."""
PART_BYTES = 8 * 2**20
_CONFLICT_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_WRITER, _SHA256 = "agentcore-rl-put", "agentcore-rl-sha256"


class S3Store:
    """A record store in a bucket of S3, or of a server with S3's conditional puts (`If-None-Match: *`).

    Putting needs `s3:PutObject` alone. Reading needs `s3:GetObject` and `s3:ListBucket`.

    Args:
        bucket: a general purpose bucket.
        prefix: of all its records' keys, as a folder; "" for the whole bucket.
        encryption: what a put asks for: "AES256", "aws:kms" or "aws:kms:KEY"; None: the bucket's default.

    Raises:
        ConfigurationError: bucket, prefix or encryption cannot be used.
    """

    def __init__(self, bucket: str, prefix: str = "", *, encryption: str | None = None) -> None:
        if not _BUCKET.fullmatch(bucket) or ".." in bucket:
            raise ConfigurationError(f"{bucket!r} is not the name of an S3 bucket.")
        if bucket.endswith("--x-s3"):
            raise ConfigurationError(
                f"{bucket} is a directory bucket, which lists in no order; use a general purpose bucket."
            )
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        try:
            check_key(f"{self.prefix}/x.json" if self.prefix else "x.json")
        except ValueError as error:
            raise ConfigurationError(f"{prefix!r} cannot be the prefix of an S3 store: {error}") from None
        self._root = f"{self.prefix}/" if self.prefix else ""
        self._encryption = _encryption(encryption)

    page = 1000
    """Keys that one request of a listing asks for; S3 gives no more."""

    @property
    def location(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def __repr__(self) -> str:
        return f"S3Store({self.location!r})"

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Store `content` under `key` unless an object is there already (see `RecordStore`).

        An answer that is lost is asked for once more; whether the object that is found then is this
        call's shows the mark that each call leaves on its object. Where the role must not look
        (`s3:GetObject`), it counts as another's: False.
        """
        name = self._root + check_key(key)
        mark = secrets.token_hex(16)
        put = self._put_in_parts if len(content) >= MULTIPART_BYTES else self._put
        unsure = False
        with translated(f"The record {key} cannot be stored in {self.location}"):
            for pause_s in (*_CONFLICT_PAUSES_S, None):
                try:
                    put(name, content, mark)
                except ClientError as error:
                    fault = fault_of(error)
                    # An earlier request of this call may have been carried out without an answer.
                    unsure = unsure or fault.retried > 0
                    if _is_taken(fault):
                        return unsure and self._is_marked(name, mark)
                    if not (_is_conflict(fault) and pause_s):
                        raise
                    time.sleep(pause_s * random.uniform(0.5, 1.0))
                else:
                    return True
        raise AssertionError("the last try returns or raises")

    def get(self, key: str) -> bytes:
        """The whole object (see `RecordStore`)."""
        name = self._root + check_key(key)
        sentence = f"The record {key} cannot be read from {self.location}"
        with translated(sentence):
            try:
                answer = self._s3.get_object(Bucket=self.bucket, Key=name)
                content: bytes = answer["Body"].read()
            except ClientError as error:
                fault = fault_of(error)
                if fault.code == "NoSuchKey":
                    raise RecordNotFound(f"There is no record {key} in {self.location}.") from None
                if fault.kind is FaultKind.DENIED:
                    raise StoreUnavailable(
                        f"{sentence}: {fault.reason}. To a role without s3:ListBucket S3 says the same "
                        "of a record that is not there."
                    ) from error
                raise
        digest = answer.get("Metadata", {}).get(_SHA256)
        if digest is not None and digest != hashlib.sha256(content).hexdigest():
            raise StoreUnavailable(f"{sentence}: what came is not what was put; read it again.")
        return content

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """The objects whose key starts with `prefix`, in order (see `RecordStore`)."""
        asked = {"Bucket": self.bucket, "Prefix": self._root + prefix, "MaxKeys": self.page}
        if after:
            asked["StartAfter"] = self._root + after
        while True:
            with translated(f"The records in {self.location} cannot be listed"):
                page = self._s3.list_objects_v2(**asked)
            for stored in page.get("Contents", ()):
                key = stored["Key"].removeprefix(self._root)
                with suppress(ValueError):  # what others keep there
                    yield StoredObject(check_key(key), stored["Size"])
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    @property
    def _s3(self) -> Any:
        return client("s3")

    def _put(self, name: str, content: bytes, mark: str) -> None:
        self._s3.put_object(
            Bucket=self.bucket,
            Key=name,
            Body=content,
            IfNoneMatch="*",
            ContentType="application/json",
            ChecksumSHA256=_checksum(content),
            Metadata=_metadata(content, mark),
            **self._encryption,
        )

    def _put_in_parts(self, name: str, content: bytes, mark: str) -> None:
        """Upload parts; what they make up appears when all are there, and only if nothing else is."""
        s3, there = self._s3, {"Bucket": self.bucket, "Key": name}
        upload = s3.create_multipart_upload(
            **there,
            ContentType="application/json",
            ChecksumAlgorithm="SHA256",
            Metadata=_metadata(content, mark),
            **self._encryption,
        )["UploadId"]
        try:
            parts = []
            for number, start in enumerate(range(0, len(content), PART_BYTES), 1):
                part = content[start : start + PART_BYTES]
                checksum = _checksum(part)
                made = s3.upload_part(
                    **there, UploadId=upload, PartNumber=number, Body=part, ChecksumSHA256=checksum
                )
                parts.append({"PartNumber": number, "ETag": made["ETag"], "ChecksumSHA256": checksum})
            s3.complete_multipart_upload(
                **there, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            )
        except BaseException:
            # Parts are paid for until they are removed; a lifecycle rule removes those of killed processes.
            with suppress(BotoCoreError, ClientError):
                s3.abort_multipart_upload(**there, UploadId=upload)
            raise

    def _is_marked(self, name: str, mark: str) -> bool:
        """Whether the object is the one that the call with this mark has put."""
        try:
            found = self._s3.head_object(Bucket=self.bucket, Key=name)
        except ClientError as error:
            if fault_of(error).kind in (FaultKind.DENIED, FaultKind.MISSING):
                return False
            raise
        return bool(found.get("Metadata", {}).get(_WRITER) == mark)


def _is_taken(fault: Fault) -> bool:
    """Whether an object is there; also after the completion of an upload whose first answer was lost."""
    return fault.status == 412 or (fault.code == "NoSuchUpload" and fault.retried > 0)


def _is_conflict(fault: Fault) -> bool:
    """Another put of this key was under way; it is not known how it ended."""
    return fault.code in ("ConditionalRequestConflict", "OperationAborted")


def _checksum(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def _metadata(content: bytes, mark: str) -> Mapping[str, str]:
    # S3 has no checksum of the whole of what came in parts, and not every server keeps checksums.
    return {_WRITER: mark, _SHA256: hashlib.sha256(content).hexdigest()}


def _encryption(asked: str | None) -> dict[str, str]:
    if not asked:
        return {}
    kind, key = ("aws:kms", asked[len("aws:kms:") :]) if asked.startswith("aws:kms:") else (asked, "")
    if kind not in ("AES256", "aws:kms") or (asked.startswith("aws:kms:") and not key):
        raise ConfigurationError(f"S3 encrypts with AES256, aws:kms or aws:kms:KEY, not with {asked!r}.")
    return {"ServerSideEncryption": kind} | ({"SSEKMSKeyId": key} if key else {})
