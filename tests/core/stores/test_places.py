import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.stores import Notice
from agentcore_rl.stores.directory import DirectoryNotices, DirectoryStore
from agentcore_rl.stores.places import object_of, open_notices, open_store


def test_a_path_and_a_file_url_are_directories(tmp_path: Path) -> None:
    """Both spellings lead to one store; a bucket is a folder of it."""
    assert open_store(str(tmp_path)).location == str(tmp_path)
    assert open_store(f"file://{tmp_path}/a%20b").location == str(tmp_path / "a b")
    assert open_store(f"file://localhost{tmp_path}").location == str(tmp_path)
    assert open_store(str(tmp_path), bucket="bucket").location == str(tmp_path / "bucket")
    assert open_store("relative").location == str(Path.cwd() / "relative")
    assert open_store("~/x").location == str(Path.home() / "x")
    assert list(tmp_path.iterdir()) == []


def test_notices_lie_beside_the_records_of_their_run(tmp_path: Path) -> None:
    """A reader of the same place hears what was sent, per bucket, prefix, run and queue."""
    notice = Notice("run", "task", 0, 0, "s", "p/run/task.0/s.json", 1, "", "succeeded", None)
    places = [
        ({}, "run/notices"),
        ({"bucket": "b"}, "b/run/notices"),
        ({"prefix": "p/q-"}, "p/q-run/notices"),
        ({"queue": "q"}, "run/notices/q"),
    ]
    for arguments, folder in places:
        channel = open_notices(str(tmp_path), run="run", **arguments)  # type: ignore[arg-type]
        assert channel is not None
        channel.send(notice)
        (delivery,) = DirectoryNotices(tmp_path / folder).receive()
        assert delivery.notice == notice
    assert list(DirectoryStore(tmp_path).list()) == []


@pytest.mark.parametrize(
    "location",
    ["s3://", "s3://Bucket", "s3://b/../c", "gs://bucket", "https://host/x", "file://host/x", "file://", ""],
)
def test_another_kind_of_store_is_one_sentence(location: str) -> None:
    """It says what to do instead."""
    with pytest.raises(ConfigurationError) as refusal:
        open_store(location)
    assert str(refusal.value).count(".") <= 2
    with pytest.raises(ConfigurationError):
        open_notices(location, run="run")


@pytest.mark.parametrize("name", ["..", "a/b", "/etc", ".hidden", "a b", "x" * 200, "ü", "a\0"])
def test_a_bucket_and_a_queue_are_names(name: str, tmp_path: Path) -> None:
    """Neither leads out of the store."""
    with pytest.raises(ConfigurationError):
        open_store(str(tmp_path), bucket=name)
    with pytest.raises(ConfigurationError):
        open_notices(str(tmp_path), run="run", queue=name)


@pytest.mark.parametrize(
    ("prefix", "run"), [("../", "run"), ("/", "run"), ("", ".."), ("a//", "run"), ("", "")]
)
def test_a_prefix_and_a_run_do_not_lead_out_of_the_store(prefix: str, run: str, tmp_path: Path) -> None:
    """Notices are held to the rules of keys."""
    with pytest.raises(ConfigurationError):
        open_notices(str(tmp_path), run=run, prefix=prefix)


QUEUE = "https://sqs.us-west-2.amazonaws.com/123456789012/queue"


def test_s3_is_a_bucket_and_a_prefix() -> None:
    """A request's bucket takes the place of the location's; the prefix stays. Nothing is sent."""
    for location, bucket, found in [
        ("s3://bucket", None, "s3://bucket"),
        ("S3://bucket/", None, "s3://bucket"),
        ("s3://bucket/a/b/", None, "s3://bucket/a/b"),
        ("s3://bucket/a", "other", "s3://other/a"),
    ]:
        assert open_store(location, bucket=bucket).location == found


def test_encryption_and_queue_come_from_the_environment() -> None:
    """At each opening anew; a request's queue comes first."""
    assert open_notices("s3://bucket/a", run="run") is None
    os.environ.update(AGENTCORE_RL_QUEUE=QUEUE, AGENTCORE_RL_S3_SSE="rot13")
    assert repr(open_notices("s3://bucket/a", run="run")) == f"SQSNotices({QUEUE!r})"
    assert repr(open_notices("s3://bucket", run="run", queue=f"{QUEUE}-2")) == f"SQSNotices({QUEUE + '-2'!r})"
    with pytest.raises(ConfigurationError, match="rot13"):
        open_store("s3://bucket")


def test_with_s3_a_queue_is_a_url() -> None:
    """Not a name."""
    with pytest.raises(ConfigurationError, match="URL of an SQS queue"):
        open_notices("s3://bucket", run="run", queue="queue")


def test_a_record_has_a_name_for_clients_of_s3() -> None:
    """The bucket that holds it, and its key there; a directory has its request's bucket alone."""
    assert object_of("s3://bucket/a/b", "run/x.json") == ("bucket", "a/b/run/x.json")
    assert object_of("s3://bucket", "run/x.json", bucket="other") == ("other", "run/x.json")
    assert object_of("/folder", "run/x.json") == ("", "run/x.json")
    assert object_of("/folder", "run/x.json", bucket="b") == ("b", "run/x.json")


def test_directories_need_none_of_aws(tmp_path: Path) -> None:
    """Its libraries are imported for a location in S3, and for no other."""
    code = """
import sys
from agentcore_rl.stores.places import open_notices, open_store
open_store(sys.argv[1]), open_notices(sys.argv[1], run="run")
print(any(name.partition(".")[0] in ("boto3", "botocore") for name in sys.modules))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["False"]
