import base64
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from agentcore_rl.aws.s3 import S3Store
from agentcore_rl.exceptions import ConfigurationError, RecordNotFound, StoreUnavailable
from agentcore_rl.stores import RecordStore
from agentcore_rl.testing import RecordStoreConformance
from aws_services import AWSServices, FaultyAWS

PUT = """
import sys
from agentcore_rl.aws.s3 import S3Store
print(S3Store(sys.argv[1], sys.argv[2]).put_if_absent(sys.argv[3], sys.stdin.buffer.read()), flush=True)
"""


KEY = "run/task.0/session.json"
LARGE = b"0123456789abcdef" * (17 * 2**16)


@pytest.fixture(scope="module")
def bucket(aws: AWSServices) -> str:
    """The bucket of this file's tests."""
    return aws.bucket("records-conformance")


class TestS3Store(RecordStoreConformance):
    """The suite runs over a bucket; each test has a prefix of its own."""

    many = 60

    @pytest.fixture(autouse=True)
    def _places(self, aws: AWSServices, bucket: str) -> None:
        self.aws, self.bucket = aws, bucket

    def open_store(self, place: Path) -> RecordStore:
        store = S3Store(self.bucket, str(place))
        store.page = 25
        return store

    def command_that_puts(self, place: Path, key: str) -> Sequence[str]:
        return [sys.executable, "-c", PUT, self.bucket, str(place), key]

    def plant_foreign(self, store: RecordStore, place: Path) -> bool:
        assert isinstance(store, S3Store)
        for name in ("run/notes.txt", "run/", "run//b.json", "run/../c.json"):
            self.aws.client("s3").put_object(Bucket=self.bucket, Key=f"{store.prefix}/{name}", Body=b"x")
        started = self.aws.client("s3").create_multipart_upload(
            Bucket=self.bucket, Key=f"{store.prefix}/run/d.json"
        )
        self.aws.client("s3").upload_part(
            Bucket=self.bucket,
            Key=f"{store.prefix}/run/d.json",
            UploadId=started["UploadId"],
            PartNumber=1,
            Body=b"x",
        )
        return True


@pytest.fixture
def store(bucket: str, tmp_path: Path) -> S3Store:
    """A store under a prefix of its own."""
    return S3Store(bucket, str(tmp_path))


def uploads(aws: AWSServices, store: S3Store) -> int:
    """How many uploads in parts lie about unfinished."""
    found = aws.client("s3").list_multipart_uploads(Bucket=store.bucket, Prefix=store.prefix)
    return len(found.get("Uploads", ()))


# ── what a put asks for


def test_a_put_is_one_conditional_request_with_a_checksum(store: S3Store, faulty_aws: FaultyAWS) -> None:
    """S3 refuses what arrived damaged, and what would replace an object."""
    assert store.put_if_absent(KEY, b"content") is True
    (seen,) = faulty_aws.requests
    assert seen.operation == "PutObject"
    assert seen.headers["If-None-Match"] == "*"
    assert seen.headers["x-amz-checksum-sha256"] == "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M="
    assert "x-amz-server-side-encryption" not in seen.headers
    assert store.get(KEY) == b"content"
    assert store.location == f"s3://{store.bucket}/{store.prefix}"
    assert repr(store) == f"S3Store({store.location!r})"


@pytest.mark.parametrize(
    ("asked", "kind", "key"),
    [("AES256", "AES256", None), ("aws:kms", "aws:kms", None), ("aws:kms:k-1", "aws:kms", "k-1")],
)
def test_encryption_is_asked_for(
    asked: str, kind: str, key: str | None, bucket: str, faulty_aws: FaultyAWS
) -> None:
    """By puts of one request and by those in parts."""
    store = S3Store(bucket, f"encrypted-{asked}", encryption=asked)
    faulty_aws.fault("PutObject", status=412, code="PreconditionFailed")
    faulty_aws.fault("CreateMultipartUpload", status=403, code="AccessDenied")
    store.put_if_absent(KEY, b"x")
    with pytest.raises(StoreUnavailable):
        store.put_if_absent(KEY, LARGE)
    for seen in faulty_aws.requests:
        assert seen.headers["x-amz-server-side-encryption"] == kind
        assert seen.headers.get("x-amz-server-side-encryption-aws-kms-key-id") == key


@pytest.mark.parametrize(
    ("bucket", "prefix", "encryption"),
    [
        ("", "", None),
        ("Bucket", "", None),
        ("a/b", "", None),
        ("..bucket", "", None),
        ("b--usw2-az1--x-s3", "", None),
        ("bucket", "a//b", None),
        ("bucket", "../a", None),
        ("bucket", "", "rot13"),
        ("bucket", "", "aws:kms:"),
    ],
)
def test_what_cannot_be_a_store_is_refused(bucket: str, prefix: str, encryption: str | None) -> None:
    """When it is made, before anything is sent."""
    with pytest.raises(ConfigurationError):
        S3Store(bucket, prefix, encryption=encryption)


def test_a_server_refuses_what_arrives_damaged(aws: AWSServices, bucket: str) -> None:
    """By the checksum that puts of ours carry."""
    if aws.is_moto:
        pytest.skip("moto compares no checksums; scripts/ministack.sh runs this")
    other = base64.b64encode(b"\0" * 32).decode()
    with pytest.raises(ClientError, match=r"Checksum|Digest|\(400\)|did not match"):
        aws.client("s3").put_object(Bucket=bucket, Key="damaged", Body=b"x", ChecksumSHA256=other)


# ── puts in parts


def test_a_large_record_is_put_in_parts(store: S3Store, aws: AWSServices, faulty_aws: FaultyAWS) -> None:
    """The completion is what is conditional; the loser's parts are removed."""
    assert store.put_if_absent(KEY, LARGE) is True
    asked = [seen.operation for seen in faulty_aws.requests]
    assert asked == ["CreateMultipartUpload", *["UploadPart"] * 3, "CompleteMultipartUpload"]
    assert faulty_aws.requests[-1].headers["If-None-Match"] == "*"
    assert store.put_if_absent(KEY, LARGE + b"x") is False
    assert faulty_aws.requests[-1].operation == "AbortMultipartUpload"
    assert uploads(aws, store) == 0
    assert store.get(KEY) == LARGE
    assert [stored.size for stored in store.list()] == [len(LARGE)]


def test_a_part_that_fails_leaves_nothing(store: S3Store, aws: AWSServices, faulty_aws: FaultyAWS) -> None:
    """Neither an object nor parts that are paid for; the next call stores it."""
    faulty_aws.fault("UploadPart", status=503, code="SlowDown", where="partNumber=2")
    with pytest.raises(StoreUnavailable, match="SlowDown"):
        store.put_if_absent(KEY, LARGE)
    assert uploads(aws, store) == 0
    assert list(store.list()) == []
    faulty_aws.clear()
    assert store.put_if_absent(KEY, LARGE) is True


def test_a_conflict_while_completing_uploads_anew(store: S3Store, faulty_aws: FaultyAWS) -> None:
    """S3 wants all parts once more after 409."""
    faulty_aws.fault("CompleteMultipartUpload", status=409, code="ConditionalRequestConflict", times=1)
    assert store.put_if_absent(KEY, LARGE) is True
    assert faulty_aws.calls["CreateMultipartUpload"] == 2
    assert faulty_aws.calls["AbortMultipartUpload"] == 1


# ── answers that do not come


@pytest.mark.parametrize(
    ("operation", "content"), [("PutObject", b"small"), ("CompleteMultipartUpload", LARGE)]
)
def test_a_put_whose_answer_is_lost_knows_that_it_stored(
    operation: str, content: bytes, store: S3Store, faulty_aws: FaultyAWS
) -> None:
    """The object was put, the repeated request is refused, and the mark on the object tells whose it is."""
    faulty_aws.fault(operation, drop="after", times=1)
    assert store.put_if_absent(KEY, content) is True
    assert faulty_aws.calls[operation] == 2
    assert store.put_if_absent(KEY, content) is False
    assert store.get(KEY) == content


def test_a_lost_request_does_not_make_anothers_object_ours(store: S3Store, faulty_aws: FaultyAWS) -> None:
    """Not even with the same content."""
    S3Store(store.bucket, store.prefix).put_if_absent(KEY, b"same")
    faulty_aws.fault("PutObject", drop="before", times=1)
    assert store.put_if_absent(KEY, b"same") is False
    assert faulty_aws.calls["HeadObject"] == 1


def test_whose_object_it_is_may_stay_unknown(store: S3Store, faulty_aws: FaultyAWS) -> None:
    """A role that may only put is told that the key is taken, which is as good for a sink."""
    faulty_aws.fault("PutObject", drop="after", times=1)
    faulty_aws.fault("HeadObject", status=403, code="AccessDenied")
    assert store.put_if_absent(KEY, b"content") is False
    assert store.get(KEY) == b"content"


def test_all_answers_lost_is_unavailable_and_then_taken(store: S3Store, faulty_aws: FaultyAWS) -> None:
    """Nothing is claimed; the next call finds the object."""
    faulty_aws.fault("PutObject", drop="after", times=2)
    with pytest.raises(StoreUnavailable, match="no whole answer"):
        S3Store(store.bucket, store.prefix).put_if_absent("run/b.json", b"content")
    assert store.put_if_absent("run/b.json", b"content") is False


def test_conflicting_puts_are_tried_again(store: S3Store, faulty_aws: FaultyAWS) -> None:
    """409 says that another put is under way, not that the key is taken."""
    faulty_aws.fault("PutObject", status=409, code="ConditionalRequestConflict", times=2)
    assert store.put_if_absent(KEY, b"content") is True
    assert faulty_aws.calls["PutObject"] == 3
    faulty_aws.fault("PutObject", status=409, code="ConditionalRequestConflict")
    with pytest.raises(StoreUnavailable, match="ConditionalRequestConflict"):
        store.put_if_absent("run/b.json", b"content")


# ── outages


FAULTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "throttled": ("PutObject", {"status": 503, "code": "SlowDown"}, "SlowDown.*fewer calls"),
    "broken": ("PutObject", {"status": 500, "code": "InternalError"}, "InternalError"),
    "denied": ("PutObject", {"status": 403, "code": "AccessDenied"}, "AccessDenied.*s3:PutObject"),
    "expired": ("PutObject", {"status": 400, "code": "ExpiredToken"}, "ExpiredToken.*refresh"),
    "no key": (
        "PutObject",
        {"status": 403, "code": "InvalidAccessKeyId", "message": "AKIAABCDEFGHIJKL?"},
        "InvalidAccessKeyId",
    ),
    "no bucket": ("PutObject", {"status": 404, "code": "NoSuchBucket"}, "NoSuchBucket.*create it"),
    "cut off": ("PutObject", {"drop": "before"}, "no whole answer"),
    "not AWS": ("ListObjectsV2", {"status": 200, "body": b"<html>log in"}, "answered with 500"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_goes_wrong_is_unavailable_and_over_when_it_is_over(
    fault: str, store: S3Store, faulty_aws: FaultyAWS
) -> None:
    """In one sentence with the place, AWS's code and what to do; never with a key."""
    operation, how, words = FAULTS[fault]
    faulty_aws.fault(operation, **how)
    with pytest.raises(StoreUnavailable, match=words) as raised:
        store.put_if_absent(KEY, b"content") if operation == "PutObject" else list(store.list())
    assert store.location in str(raised.value)
    assert "AKIA" not in str(raised.value)
    faulty_aws.clear()
    assert store.put_if_absent(KEY, b"content") is True
    assert [stored.key for stored in store.list()] == [KEY]


def calls(store: S3Store) -> list[Callable[[], object]]:
    """Each method."""
    return [lambda: store.put_if_absent(KEY, b"x"), lambda: store.get(KEY), lambda: list(store.list())]


def test_a_service_that_is_down_is_unavailable(store: S3Store, faulty_aws: FaultyAWS) -> None:
    """For every method; and they work when it is back."""
    with faulty_aws.down():
        for call in calls(store):
            with pytest.raises(StoreUnavailable, match=r"no connection to 127\.0\.0\.1"):
                call()
    assert store.put_if_absent(KEY, b"x") is True


def test_a_bucket_that_is_not_there_is_told(aws: AWSServices) -> None:
    """It may be created yet."""
    for call in calls(S3Store("nobody-made-this-bucket")):
        with pytest.raises(StoreUnavailable, match=r"s3://nobody-made-this-bucket.*NoSuchBucket.*create it"):
            call()


# ── reading


def test_a_record_that_must_not_be_read_is_not_missing(store: S3Store, faulty_aws: FaultyAWS) -> None:
    """S3 says 403 of a missing key to whoever must not list; the sentence says so."""
    faulty_aws.fault("GetObject", status=403, code="AccessDenied")
    with pytest.raises(StoreUnavailable, match=r"s3:GetObject.*without s3:ListBucket"):
        store.get(KEY)
    faulty_aws.clear()
    with pytest.raises(RecordNotFound, match=f"no record {KEY} in {store.location}"):
        store.get(KEY)


def test_a_record_that_comes_damaged_is_not_delivered(
    store: S3Store, aws: AWSServices, faulty_aws: FaultyAWS
) -> None:
    """Cut off, or with other bytes than were put."""
    store.put_if_absent(KEY, b"content" * 1000)
    faulty_aws.fault("GetObject", drop="half", times=1)
    with pytest.raises(StoreUnavailable):
        store.get(KEY)
    assert store.get(KEY) == b"content" * 1000
    name, wrong = f"{store.prefix}/{KEY}", {"agentcore-rl-sha256": "0" * 64}
    aws.client("s3").put_object(Bucket=store.bucket, Key=name, Body=b"other", Metadata=wrong)
    with pytest.raises(StoreUnavailable, match="not what was put"):
        store.get(KEY)


def test_a_listing_has_pages(store: S3Store, faulty_aws: FaultyAWS) -> None:
    """In order over their borders, also from a key on; an outage between two is raised."""
    store.page = 3
    keys = [f"run/{number}.json" for number in range(8)]
    for key in keys:
        store.put_if_absent(key, b"x")
    assert [stored.key for stored in store.list()] == keys
    assert faulty_aws.calls["ListObjectsV2"] == 3
    assert [stored.key for stored in store.list("run/", after="run/3.json")] == keys[4:]
    listing = store.list()
    assert next(listing).key == keys[0]
    faulty_aws.fault("ListObjectsV2", status=503, code="SlowDown")
    with pytest.raises(StoreUnavailable, match="cannot be listed"):
        list(listing)
