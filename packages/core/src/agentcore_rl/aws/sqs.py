"""Notices in a queue of SQS: sent by the app, or by S3 itself as event notifications."""

from __future__ import annotations

import hashlib
import math
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from agentcore_rl.aws.bodies import Meaning, read_body, write_body
from agentcore_rl.aws.clients import client, region_of
from agentcore_rl.aws.faults import translated
from agentcore_rl.exceptions import ConfigurationError, StoreUnavailable
from agentcore_rl.logs import logger_of
from agentcore_rl.stores import Delivery, Notice

__all__ = ["SQSNotices"]

_log = logger_of(__name__)
_URL = re.compile(r"https?://[^/@?#\s]+/(?:[^/?#\s]+/)*[A-Za-z0-9_-]{1,80}(?:\.fifo)?")
_BATCH = 10  # SQS's most, for receiving and removing
_LONGEST_WAIT_S = 20  # SQS's too
_SHORT_WAIT_S = 0.25
_ROUNDS = 10
_REMEMBERED = 1000
# What failed entries of a batch say of a message that this receiver does not have any more.
_GONE = frozenset({"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"})


@dataclass(frozen=True, slots=True)
class _Token:
    """What `Delivery.token` holds.

    Attributes:
        count: how often the message has been received.
        place, of: which of the message's notices this is.
        receipt: SQS's receipt handle.
    """

    count: int
    place: int
    of: int
    receipt: str

    def __str__(self) -> str:
        return f"{self.count} {self.place} {self.of} {self.receipt}"

    @classmethod
    def parse(cls, token: str) -> _Token:
        count, place, of, receipt = token.split(" ", 3)
        return cls(int(count), int(place), int(of), receipt)


class SQSNotices:
    """A channel of notices in a queue of SQS; several runs and stores may share it.

    Sending needs `sqs:SendMessage`. Receiving needs `sqs:ReceiveMessage`, `sqs:DeleteMessage` and
    `sqs:ChangeMessageVisibility`. What nobody understands is left in the queue, for its dead-letter
    queue; each such message is told once in the log.

    Args:
        queue_url: the queue's URL; its region is read from it.
        location: of the store whose records are announced, as `S3Store.location` says it; what is
            said of other stores is left to others. None: every store's, with keys as they are in buckets.
        visibility_s: seconds until a delivery that was not acknowledged is delivered again, at least 1.

    Raises:
        ConfigurationError: that is no queue's URL.
    """

    def __init__(self, queue_url: str, *, location: str | None = None, visibility_s: float = 30.0) -> None:
        if not _URL.fullmatch(queue_url):
            raise ConfigurationError(
                f"{queue_url!r} is not the URL of an SQS queue; "
                "it has the form https://sqs.REGION.amazonaws.com/ACCOUNT/NAME."
            )
        self.queue_url = queue_url
        self._location = location.rstrip("/") if location else None
        self._visibility_s = max(1, math.ceil(visibility_s))
        self._lock = threading.Lock()
        self._told: OrderedDict[str, None] = OrderedDict()
        self._partly: OrderedDict[str, set[int]] = OrderedDict()

    def __repr__(self) -> str:
        return f"SQSNotices({self.queue_url!r})"

    def send(self, notice: Notice) -> None:
        """Announce a record (see `Notices`)."""
        asked = {"QueueUrl": self.queue_url, "MessageBody": write_body(notice, self._location)}
        if self.queue_url.endswith(".fifo"):
            digest = hashlib.sha256(f"{self._location} {notice.key}".encode()).hexdigest()
            # A group each: records have no order, and one that is not acknowledged must not hold up others.
            asked |= {"MessageGroupId": digest, "MessageDeduplicationId": digest}
        with translated(f"A notice cannot be sent to {self.queue_url}"):
            self._sqs.send_message(**asked)

    def receive(self, *, most: int = 10, wait_s: float = 0.0) -> Sequence[Delivery]:
        """Up to `most` notices, waiting up to `wait_s` seconds for the first (see `Notices`).

        A message that announces several records is delivered whole, also where `most` is less.
        """
        until, deliveries, rounds = time.monotonic() + wait_s, list[Delivery](), 0
        with translated(f"Notices cannot be received from {self.queue_url}"):
            while len(deliveries) < most:
                left = 0.0 if deliveries else max(0.0, until - time.monotonic())
                rounds += 1
                try:
                    messages = self._receive(min(_BATCH, most - len(deliveries)), int(left))
                except Exception:
                    if deliveries:
                        break
                    raise
                deliveries += self._understood(messages)
                left = until - time.monotonic()
                # What is passed over may fill many batches; with the time it takes, patience ends.
                if (not messages and deliveries) or (left <= 0 and (not messages or rounds >= _ROUNDS)):
                    break
                if not messages and left < 1:  # SQS waits whole seconds
                    time.sleep(min(left, _SHORT_WAIT_S))
        return deliveries

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Remove these from the channel (see `Notices`).

        A message that announces several records is removed when all of them are acknowledged.
        """
        receipts = dict.fromkeys(
            token.receipt for delivery in deliveries if self._is_whole(token := _Token.parse(delivery.token))
        )
        self._remove(receipts)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Let other receivers have these soon (see `Notices`).

        The more often one has been received, the longer it stays invisible: a second, then twice as
        long each time, up to `visibility_s`. So runs that share a queue soon hear their own, and what
        nobody waits for any more is not in everybody's way.
        """
        self._hide({(token := _Token.parse(delivery.token)).receipt: token.count for delivery in deliveries})

    # ── messages

    def _receive(self, most: int, wait_s: int) -> Sequence[Any]:
        answer = self._sqs.receive_message(
            QueueUrl=self.queue_url,
            MaxNumberOfMessages=most,
            WaitTimeSeconds=min(wait_s, _LONGEST_WAIT_S),
            VisibilityTimeout=self._visibility_s,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        messages: Sequence[Any] = answer.get("Messages", ())
        return messages

    def _understood(self, messages: Iterable[Any]) -> list[Delivery]:
        deliveries: list[Delivery] = []
        done: list[str] = []
        others: dict[str, int] = {}
        for message in messages:
            receipt = message["ReceiptHandle"]
            count = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
            meaning, notices = read_body(message.get("Body", ""), self._location)
            for place, notice in enumerate(notices):
                token = _Token(count, place, len(notices), receipt)
                deliveries.append(Delivery(notice, str(token)))
            if meaning is Meaning.NOTHING:
                done.append(receipt)
            elif meaning is Meaning.ELSEWHERE:
                others[receipt] = count
            elif meaning is Meaning.UNKNOWN:
                self._tell(message["MessageId"])
        # Housekeeping: what comes of it must not cost anybody the notices.
        with suppress(StoreUnavailable):
            self._remove(done)
        with suppress(StoreUnavailable):
            self._hide(others)
        return deliveries

    def _tell(self, message: str) -> None:
        with self._lock:
            if message in self._told:
                return
            self._told[message] = None
            while len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
        _log.warning(
            "Message %s in %s is neither a notice nor an event of S3; it is left there.",
            message,
            self.queue_url,
        )

    def _is_whole(self, token: _Token) -> bool:
        """Whether all notices of a message are acknowledged now."""
        if token.of == 1:
            return True
        with self._lock:
            acknowledged = self._partly.setdefault(token.receipt, set())
            acknowledged.add(token.place)
            if len(acknowledged) == token.of:
                return True
            while len(self._partly) > _REMEMBERED:
                self._partly.popitem(last=False)
        return False

    def _remove(self, receipts: Iterable[str]) -> None:
        self._in_batches(
            f"Notices cannot be removed from {self.queue_url}",
            [{"ReceiptHandle": receipt} for receipt in receipts],
            lambda entries: self._sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=entries),
        )

    def _hide(self, counts: dict[str, int]) -> None:
        self._in_batches(
            f"Notices cannot be given back to {self.queue_url}",
            [
                {
                    "ReceiptHandle": receipt,
                    "VisibilityTimeout": min(self._visibility_s, 2 ** min(max(count, 1) - 1, 12)),
                }
                for receipt, count in counts.items()
            ],
            lambda entries: self._sqs.change_message_visibility_batch(
                QueueUrl=self.queue_url, Entries=entries
            ),
        )

    def _in_batches(
        self, sentence: str, entries: Sequence[dict[str, Any]], call: Callable[[list[dict[str, Any]]], Any]
    ) -> None:
        """Make a call for ten entries at a time; each failed entry is tried once more."""
        failures: list[str] = []
        for start in range(0, len(entries), _BATCH):
            left = [entry | {"Id": str(n)} for n, entry in enumerate(entries[start : start + _BATCH])]
            for _ in range(2):
                with translated(sentence):
                    failed = [f for f in call(left).get("Failed", ()) if f.get("Code") not in _GONE]
                left = [entry for entry in left if entry["Id"] in {f["Id"] for f in failed}]
                if not left:
                    break
            else:
                failures += [str(f.get("Code")) for f in failed]
        if failures:
            raise StoreUnavailable(f"{sentence}: {len(failures)} were refused ({failures[0]}).")

    @property
    def _sqs(self) -> Any:
        return client(
            "sqs", region=region_of(self.queue_url), endpoint_url=_endpoint(self.queue_url), timeout_s=30.0
        )


def _endpoint(queue_url: str) -> str | None:
    """The server that a queue's URL names where it is not AWS's own; None leaves it to botocore."""
    parts = urlsplit(queue_url)
    if ".amazonaws.com" in parts.netloc or ".api.aws" in parts.netloc:
        return None
    if os.environ.get("AWS_ENDPOINT_URL_SQS") or os.environ.get("AWS_ENDPOINT_URL"):
        return None
    return f"{parts.scheme}://{parts.netloc}"
