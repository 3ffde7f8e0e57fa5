from pathlib import Path

import pytest

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.stores import Notice
from agentcore_rl.stores.directory import DirectoryNotices, DirectoryStore
from agentcore_rl.stores.places import open_notices, open_store


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
        open_notices(str(tmp_path), run="run", **arguments).send(notice)  # type: ignore[arg-type]
        (delivery,) = DirectoryNotices(tmp_path / folder).receive()
        assert delivery.notice == notice
    assert list(DirectoryStore(tmp_path).list()) == []


@pytest.mark.parametrize(
    "location", ["s3://bucket", "S3://bucket/prefix", "https://host/x", "file://host/x", "file://", ""]
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
