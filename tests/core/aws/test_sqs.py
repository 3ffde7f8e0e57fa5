import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentcore_rl.aws.s3 import S3Store
from agentcore_rl.aws.sqs import SQSNotices
from agentcore_rl.exceptions import ConfigurationError, StoreUnavailable
from agentcore_rl.stores import Delivery, Notice, Notices
from agentcore_rl.testing import NoticesConformance
from aws_services import AWSServices, FaultyAWS


class TestSQSNotices(NoticesConformance):
    """The suite runs over queues, one for each test."""

    visibility_s = 1.0
    repeats = True

    @pytest.fixture(autouse=True)
    def _places(self, aws: AWSServices) -> None:
        self.aws = aws

    def open_notices(self, place: Path, *, visibility_s: float) -> Notices:
        name = hashlib.sha256(str(place).encode()).hexdigest()[:40]
        return SQSNotices(self.aws.queue(name), visibility_s=visibility_s)

    def plant_junk(self, notices: Notices, place: Path) -> bool:
        assert isinstance(notices, SQSNotices)
        for body in ("", "junk", "[]", "{}", '{"Records": [1]}'):
            self.aws.client("sqs").send_message(QueueUrl=notices.queue_url, MessageBody=body or " ")
        return True


# ── messages of S3 and of others

PLACE = "s3://bucket-of-notices/store"
NOTICE = Notice("run", "task", 0, 0, "s", "run/task.0/s.json", 10, "0" * 64, "succeeded", 1.0)


@pytest.fixture
def queue(aws: AWSServices, tmp_path: Path) -> str:
    """The URL of a queue of the test's own."""
    return aws.queue(f"own-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:30]}", VisibilityTimeout="30")


def say(aws: AWSServices, queue: str, *bodies: Any) -> None:
    """Put messages into the queue that no sender of ours made."""
    for body in bodies:
        text = body if isinstance(body, str) else json.dumps(body)
        aws.client("sqs").send_message(QueueUrl=queue, MessageBody=text)


def event(*keys: str) -> dict[str, Any]:
    """What S3 says of new objects."""
    objects = [{"bucket": {"name": "bucket-of-notices"}, "object": {"key": key, "size": 1}} for key in keys]
    return {
        "Records": [
            {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": made} for made in objects
        ]
    }


def heard(notices: SQSNotices, count: int, within_s: float = 10) -> list[Delivery]:
    """Deliveries until there are so many."""
    deliveries: list[Delivery] = []
    end = time.monotonic() + within_s
    while len(deliveries) < count and time.monotonic() < end:
        deliveries += notices.receive(wait_s=1)
    return deliveries


def test_what_s3_says_is_heard(aws: AWSServices, tmp_path: Path) -> None:
    """A bucket announces by itself what is put, with one event of a record; its test message is removed."""
    bucket = aws.bucket(f"events-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]}")
    url = aws.queue(bucket)
    arn = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    aws.client("s3").put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": arn["QueueArn"], "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    store = S3Store(bucket, "pre fix")
    notices = SQSNotices(url, location=store.location)
    store.put_if_absent("run/probe-1.json", b"x")
    assert store.put_if_absent("run/row=7+a.3/s.json", b"x" * 10) is True
    assert store.put_if_absent("run/row=7+a.3/s.json", b"x" * 10) is False
    deliveries = heard(notices, 1)
    (notice,) = [delivery.notice for delivery in deliveries]
    assert (notice.run, notice.task, notice.sample, notice.session) == ("run", "row=7+a", 3, "s")
    assert (notice.key, notice.size) == ("run/row=7+a.3/s.json", 10)
    assert (notice.attempt, notice.sha256, notice.status, notice.reward) == (None, None, None, None)
    notices.ack(deliveries)
    assert list(notices.receive(wait_s=1)) == []
    assert aws.messages(url) == 0


def test_both_kinds_and_duplicates_come_through(aws: AWSServices, queue: str) -> None:
    """Ours, S3's, the same again: a reader that goes by keys sees one record."""
    notices = SQSNotices(queue, location=PLACE)
    notices.send(NOTICE)
    say(
        aws,
        queue,
        {"Event": "s3:TestEvent"},
        event("store/run/task.0/s.json"),
        event("store/run/task.0/s.json"),
    )
    deliveries = heard(notices, 3)
    assert [delivery.notice.key for delivery in deliveries] == [NOTICE.key] * 3
    assert NOTICE in [delivery.notice for delivery in deliveries]
    notices.ack(deliveries)
    assert aws.messages(queue) == 0


def test_a_message_of_several_records_goes_with_the_last(aws: AWSServices, queue: str) -> None:
    """Acknowledging one of its notices does not lose the others."""
    notices = SQSNotices(queue, location=PLACE)
    say(aws, queue, event("store/run/a.0/s.json", "store/run/b.0/s.json"))
    first, second = heard(notices, 2)
    notices.ack([first])
    assert aws.messages(queue) == 1
    notices.ack([second])
    assert aws.messages(queue) == 0


def test_poison_is_left_and_told_once(aws: AWSServices, queue: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever wrote it finds it in the queue; the log names the message, not what is in it."""
    notices = SQSNotices(queue, location=PLACE, visibility_s=1)
    say(aws, queue, "poison", {"Records": [1]})
    notices.send(NOTICE)
    notices.ack(heard(notices, 1))
    notices.receive(wait_s=3)  # they come again
    assert aws.messages(queue) == 2
    told = [record.getMessage() for record in caplog.records if "is left there" in record.getMessage()]
    assert len(told) == 2
    assert "poison" not in caplog.text


def test_poison_ends_in_the_dead_letter_queue(aws: AWSServices, queue: str) -> None:
    """After as many receives as the queue's redrive policy allows."""
    dead = aws.queue(f"{queue.rpartition('/')[2]}-dead")
    arn = aws.client("sqs").get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = json.dumps({"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": "2"})
    aws.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": policy})
    say(aws, queue, "poison")
    notices = SQSNotices(queue, location=PLACE, visibility_s=1)
    end = time.monotonic() + 15
    while not aws.messages(dead) and time.monotonic() < end:
        assert list(notices.receive(wait_s=1)) == []
    assert aws.messages(dead) == 1
    assert aws.messages(queue) == 0


def test_what_is_for_another_store_is_soon_its_readers(aws: AWSServices, queue: str) -> None:
    """A queue that stores share: the wrong reader gives back, without being asked."""
    ours, theirs = SQSNotices(queue, location=PLACE), SQSNotices(queue, location="s3://theirs/store")
    theirs.send(NOTICE)
    assert list(ours.receive()) == []
    (delivery,) = heard(theirs, 1)
    assert delivery.notice == NOTICE


def test_what_nobody_wants_keeps_away_longer_each_time(aws: AWSServices, queue: str) -> None:
    """So that it is not in the way of what others wait for."""
    notices = SQSNotices(queue, location=PLACE)
    notices.send(NOTICE)
    notices.release(notices.receive())  # a second
    (delivery,) = heard(notices, 1)
    began = time.monotonic()
    notices.release([delivery])  # two
    assert heard(notices, 1)
    assert time.monotonic() - began >= 1.5


# ── what goes wrong


def failed(code: str, operation: str = "Failed") -> bytes:
    """An answer in which the first entry of a batch failed."""
    entry = {"Id": "0", "SenderFault": False, "Code": code}
    return json.dumps({"Successful": [], operation: [entry]}).encode()


def test_an_entry_that_fails_is_tried_once_more(aws: AWSServices, queue: str, faulty_aws: FaultyAWS) -> None:
    """Alone; when it fails again it is told, and comes again; a message that is gone is fine."""
    notices = SQSNotices(queue)
    for number in range(12):
        notices.send(replace(NOTICE, sample=number))
    deliveries: list[Delivery] = []
    while len(deliveries) < 12:
        deliveries += notices.receive(most=12, wait_s=1)
    faulty_aws.fault("DeleteMessageBatch", status=200, body=failed("InternalError"), times=1)
    notices.ack(deliveries[:1])
    assert faulty_aws.calls["DeleteMessageBatch"] == 2
    assert aws.messages(queue) == 11
    faulty_aws.fault("DeleteMessageBatch", status=200, body=failed("InternalError"))
    with pytest.raises(StoreUnavailable, match=r"1 were refused \(InternalError\)"):
        notices.ack(deliveries[1:2])
    faulty_aws.clear()
    faulty_aws.fault("DeleteMessageBatch", status=200, body=failed("ReceiptHandleIsInvalid"), times=1)
    notices.ack(deliveries[1:2])
    notices.ack(deliveries[1:])
    assert faulty_aws.calls["DeleteMessageBatch"] == 3
    assert aws.messages(queue) == 0


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"status": 403, "code": "AccessDenied"}, "AccessDenied.*sqs:"),
        ({"status": 400, "code": "ExpiredTokenException"}, "Expired.*refresh"),
        ({"status": 429, "code": "ThrottlingException"}, "Throttling"),
        ({"status": 400, "code": "com.amazonaws.sqs#QueueDoesNotExist"}, "QueueDoesNotExist.*create it"),
        ({"status": 500}, "InternalError"),
        ({"drop": "before"}, "no whole answer"),
    ],
    ids=lambda value: "",
)
def test_whatever_goes_wrong_is_unavailable(
    how: dict[str, Any], words: str, queue: str, faulty_aws: FaultyAWS
) -> None:
    """In one sentence with the queue and what to do; over when it is over."""
    notices = SQSNotices(queue)
    notices.send(NOTICE)
    (delivery,) = heard(notices, 1)
    faulty_aws.fault("*", **how)
    calls: list[Callable[[], object]] = [
        lambda: notices.send(NOTICE),
        lambda: notices.receive(wait_s=1),
        lambda: notices.ack([delivery]),
        lambda: notices.release([delivery]),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match=words) as raised:
            call()
        assert queue in str(raised.value)
    faulty_aws.clear()
    notices.ack([delivery])
    assert list(notices.receive()) == []


def test_what_was_received_is_kept_when_more_cannot_be(queue: str, faulty_aws: FaultyAWS) -> None:
    """Else it would be invisible, and lost for as long."""
    notices = SQSNotices(queue)
    notices.send(NOTICE)
    faulty_aws.fault("ReceiveMessage", status=500, where='"MaxNumberOfMessages":9')
    faulty_aws.fault("ReceiveMessage", status=500, where='"MaxNumberOfMessages": 9')
    assert [delivery.notice for delivery in notices.receive(wait_s=2)] == [NOTICE]


# ── queues


@pytest.mark.parametrize(
    "url",
    ["", "queue", "arn:aws:sqs:us-west-2:1:q", "https://sqs.us-west-2.amazonaws.com", "https://u:p@h/1/q"],
)
def test_what_is_no_queue_is_refused(url: str) -> None:
    """When it is made, with the form that is wanted."""
    with pytest.raises(ConfigurationError, match=r"https://sqs\.REGION"):
        SQSNotices(url)


def test_a_queue_elsewhere_is_found_by_its_url(queue: str) -> None:
    """Without an endpoint in the environment the URL's own host is asked."""
    del os.environ["AWS_ENDPOINT_URL"]
    SQSNotices(queue).send(NOTICE)
    assert [delivery.notice for delivery in heard(SQSNotices(queue), 1)] == [NOTICE]


def test_a_fifo_queue_takes_each_record_once(aws: AWSServices, tmp_path: Path) -> None:
    """In a group of its own, so that one that is not acknowledged holds up no other."""
    name = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:30]
    notices = SQSNotices(aws.queue(f"{name}.fifo", FifoQueue="true"))
    for notice in (NOTICE, NOTICE, replace(NOTICE, key="run/task.1/s.json")):
        notices.send(notice)
    assert len(heard(notices, 2)) == 2
    assert aws.messages(notices.queue_url) == 2
