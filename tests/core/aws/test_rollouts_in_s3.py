"""An app in its own process that stores in S3, and a batch elsewhere that hears of it through a queue."""

import asyncio
from pathlib import Path

import pytest

from agentcore_rl.aws.s3 import S3Store
from agentcore_rl.aws.sqs import SQSNotices
from agentcore_rl.batch import BatchRunner
from agentcore_rl.batch.flight import Pace
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.launchers.url import URLLauncher
from agentcore_rl.outcome import RolloutOutcome
from agentcore_rl.read import read_run
from agentcore_rl.rollout import Status
from agentcore_rl.tasks import Task
from agentcore_rl.testing import Answer, ScriptedModel
from app_process import app_process
from aws_services import AWSServices

APP = Path(__file__).parent / "busy_app.py"
TASKS = [
    Task(f"t{number}", {"prompt": f"{number}", "how": "plainly", "streamed": False}) for number in range(6)
]


def place(aws: AWSServices, name: str, *, native: bool) -> tuple[str, str]:
    """A new bucket and a new queue; with `native` the bucket announces what is put."""
    bucket, queue = aws.bucket(name), aws.queue(name)
    if native:
        about = aws.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        said = {"QueueArn": about["Attributes"]["QueueArn"], "Events": ["s3:ObjectCreated:*"]}
        aws.client("s3").put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [said]}
        )
    return bucket, queue


async def collected(app: str, store: S3Store, notices: SQSNotices, folder: Path) -> list[RolloutOutcome]:
    """The outcomes of all tasks; a LIST would come too late."""
    launcher = URLLauncher(app)
    try:
        runner = BatchRunner(
            launcher, store=store, notices=notices, run="run", folder=folder, pace=Pace(list_s=300.0)
        )
        async with runner:
            return [outcome async for outcome in runner.run(TASKS)]
    finally:
        await launcher.aclose()


@pytest.mark.parametrize("native", [False, True], ids=["the app sends", "the bucket announces"])
async def test_a_batch_hears_of_records_in_s3(native: bool, aws: AWSServices, tmp_path: Path) -> None:
    """Each record is in the bucket, is heard of, and is read back by the run's URL and by its folder."""
    bucket, queue = await asyncio.to_thread(place, aws, f"rollouts-{native}".lower(), native=native)
    location = f"s3://{bucket}/team"
    settings = {"AGENTCORE_RL_STORE": location} | ({} if native else {"AGENTCORE_RL_QUEUE": queue})
    store, notices = S3Store(bucket, "team"), SQSNotices(queue, location=location)

    def run() -> list[RolloutOutcome]:
        with (
            ScriptedModel(lambda call: Answer("said")) as model,
            app_process(APP, tmp_path, "sync", BASE_URL=model.base_url, **settings) as app,
        ):
            return asyncio.run(collected(app.base_url, store, notices, tmp_path / "run"))

    outcomes = await asyncio.to_thread(run)
    assert [outcome.status for outcome in outcomes] == [Status.SUCCEEDED] * len(TASKS)
    assert {outcome.reward.value for outcome in outcomes if outcome.reward} == {3.0}
    for where in (f"{location}/run", tmp_path / "run"):
        there = await asyncio.to_thread(read_run, where)
        assert sorted(rollout.task for rollout in there.rollouts) == [task.id for task in TASKS]
        assert there.unreadable == {}
    # What is left is at most what came while the batch ended.
    assert await asyncio.to_thread(aws.messages, queue) <= len(TASKS)


def test_a_store_that_hangs_does_not_keep_a_rollout_waiting(aws: AWSServices, tmp_path: Path) -> None:
    """It is answered while nobody can tell whether its record is there, and stored once that can be told."""
    bucket = aws.bucket("hanging")
    with (
        ScriptedModel(lambda call: Answer("said")) as model,
        app_process(
            APP, tmp_path, "sync", BASE_URL=model.base_url, AGENTCORE_RL_STORE=f"s3://{bucket}"
        ) as app,
    ):
        with aws.proxy.hold("*", where=bucket):
            ids = {"exp_id": "run", "input_id": "t0.0"}
            payload = {"prompt": "0", "how": "plainly", "streamed": False, "_rollout": ids}
            key = app.invoke(payload)["result_key"]
            assert aws.keys(bucket) == []
        app.settled(60)
    assert aws.keys(bucket) == [key]
    assert "gave no answer in 3 s" in (tmp_path / "output").read_text()


def test_a_url_without_a_run_is_one_sentence(aws: AWSServices) -> None:
    """Neither a bucket alone nor a run that is not there."""
    bucket = aws.bucket("rollouts-none")
    with pytest.raises(ConfigurationError, match=f"no records of a run 'nothing' in s3://{bucket}"):
        read_run(f"s3://{bucket}/nothing")
    with pytest.raises(ConfigurationError, match="s3://bucket/prefix/RUN"):
        read_run(f"s3://{bucket}")
