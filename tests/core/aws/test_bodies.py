import json
from typing import Any

import pytest

from agentcore_rl.aws.bodies import Meaning, read_body, write_body
from agentcore_rl.stores import Notice

HERE = "s3://bucket/some/prefix"
NOTICE = Notice("run", "task", 3, 1, "s", "run/task.3/s.json", 10, "0" * 64, "succeeded", 0.5)


def s3_event(*names: str, bucket: str = "bucket", event: str = "ObjectCreated:Put") -> dict[str, Any]:
    """S3's own message about objects; the names as S3 writes them."""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventName": event,
                "s3": {"bucket": {"name": bucket}, "object": {"key": name, "size": 10, "eTag": "x"}},
            }
            for name in names
        ]
    }


def heard(body: Any, location: str | None = HERE) -> tuple[Meaning, list[str]]:
    """The meaning of a body, and the keys that it names."""
    meaning, notices = read_body(body if isinstance(body, str) else json.dumps(body), location)
    return meaning, [notice.key for notice in notices]


def test_a_notice_is_small_json_with_its_schema_and_place():
    """It comes back as it was; it says which store it is about."""
    body = write_body(NOTICE, HERE)
    assert read_body(body, HERE) == (Meaning.NOTICES, [NOTICE])
    said = json.loads(body)
    assert (said["schema"], said["location"], said["key"]) == ("agentcore-rl/notice/1", HERE, NOTICE.key)
    assert len(body) < 500


def test_a_notice_of_another_store_is_somebody_elses():
    """A reader without a location hears of every store, and a notice without one is for every reader."""
    assert heard(write_body(NOTICE, "s3://bucket/other")) == (Meaning.ELSEWHERE, [])
    assert heard(write_body(NOTICE, "s3://bucket/other"), None) == (Meaning.NOTICES, [NOTICE.key])
    assert heard(write_body(NOTICE, None)) == (Meaning.NOTICES, [NOTICE.key])


def test_an_event_of_s3_is_a_notice_of_what_the_key_tells():
    """Ids from the key; no status, no reward, no digest."""
    meaning, (notice,) = read_body(json.dumps(s3_event("some/prefix/p/run/task.3/s.json")), HERE)
    assert meaning is Meaning.NOTICES
    assert notice == Notice("run", "task", 3, None, "s", "p/run/task.3/s.json", 10, None, None, None)


def test_keys_in_events_are_form_encoded():
    """Blanks are a plus; some servers write the slash as %2F."""
    names = ["some/prefix/exp+1/row%3D7%2Ba.0/s.json", "some%2Fprefix%2Frun%2F%C3%BC.0%2Fs.json"]
    assert heard(s3_event(*names)) == (Meaning.NOTICES, ["exp 1/row=7+a.0/s.json", "run/ü.0/s.json"])


def test_events_of_other_places_are_somebody_elses():
    """Another bucket, another prefix, also one that begins alike."""
    for names, bucket in (
        (["some/prefix/run/a.0/s.json"], "other"),
        (["some/prefixes/run/a.0/s.json"], "bucket"),
        (["run/a.0/s.json"], "bucket"),
    ):
        assert heard(s3_event(*names, bucket=bucket)) == (Meaning.ELSEWHERE, [])
    both = s3_event("some/prefix/run/a.0/s.json", "other/run/a.0/s.json")
    assert heard(both) == (Meaning.NOTICES, ["run/a.0/s.json"])


def test_an_object_is_named_once_per_message():
    """Also where the message names it twice; a store at the top of a bucket has no prefix to take away."""
    assert heard(s3_event("run/a.0/s.json", "run/a.0/s.json"), "s3://bucket")[1] == ["run/a.0/s.json"]


def test_what_has_nothing_to_say_is_removed():
    """S3's test message, and objects by which a client tried the way."""
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "bucket"}
    assert heard(test) == (Meaning.NOTHING, [])
    assert heard(s3_event("some/prefix/run/probe-0f.json")) == (Meaning.NOTHING, [])
    assert heard({"Type": "Notification", "TopicArn": "t", "Message": json.dumps(test)})[0] is Meaning.NOTHING


def test_eventbridge_and_sns_are_understood():
    """EventBridge writes keys as they are; SNS wraps a text in a text."""
    bridge = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {
            "bucket": {"name": "bucket"},
            "object": {"key": "some/prefix/run/a+b.0/s.json", "size": 1},
        },
    }
    assert heard(bridge) == (Meaning.NOTICES, ["run/a+b.0/s.json"])
    for inner in (json.dumps(s3_event("some/prefix/run/a.0/s.json")), write_body(NOTICE, HERE)):
        assert heard({"Type": "Notification", "TopicArn": "t", "Message": inner})[0] is Meaning.NOTICES


@pytest.mark.parametrize(
    "body",
    [
        "",
        "junk",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        '{"schema": "agentcore-rl/notice/2"}',
        '{"schema": "agentcore-rl/notice/1"}',
        write_body(Notice("r", "t", 0, 0, "s", "../a.json", 1, "", "x", None), None),
        '{"Type": "Notification", "TopicArn": "t", "Message": 1}',
        '{"Type": "Notification", "TopicArn": "t", "Message": "junk"}',
        '{"Records": 1}',
        '{"Records": [1]}',
        '{"Records": [{}]}',
        '{"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}]}',
        json.dumps(s3_event("some/prefix/run/a.0/s.json", event="ObjectRemoved:Delete")),
        json.dumps(s3_event("some/prefix/notes.txt")),
        json.dumps(s3_event("some/prefix/a.json")),
        json.dumps(s3_event("some/prefix/run/%FF.0/s.json")),
        '{"source": "aws.s3", "detail-type": "Object Deleted", "detail": {}}',
        '{"source": "aws.s3", "detail-type": "Object Created", "detail": {}}',
    ],
    ids=lambda body: body[:40] or "empty",
)
def test_everything_else_is_left_alone(body: str):
    """Whatever somebody wrote into the queue, nothing is raised."""
    assert read_body(body, HERE) == (Meaning.UNKNOWN, ())
