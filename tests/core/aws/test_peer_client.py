"""The client of agentcore-rl-toolkit 0.2.0, unmodified, over our app on the local runtime and S3.

Nothing but endpoints and dummy credentials in the environment tells it that this is not AWS.
"""

import importlib.metadata
import uuid
from pathlib import Path

import pytest

from agentcore_rl.codec import decode_record
from agentcore_rl.limits import Quotas
from agentcore_rl.local_runtime import LocalRuntime

toolkit = pytest.importorskip("agentcore_rl_toolkit.client")

# Their blocking client starts one session after the other: half a minute where the machine is busy.

APP = str(Path(__file__).parent.parent / "batch" / "doing_app.py")


@pytest.fixture(scope="module")
def bucket(aws):
    """A bucket of this module."""
    name = f"peer-{uuid.uuid4().hex[:12]}"
    aws.bucket(name)
    return name


@pytest.fixture(scope="module")
def runtime(aws, bucket, tmp_path_factory):
    """Our app in the local runtime, which throttles as AgentCore does."""
    env = {"AGENTCORE_RL_STORE": f"s3://{bucket}", "AGENTCORE_RL_BUCKETS": bucket}
    there = LocalRuntime(
        APP,
        directory=tmp_path_factory.mktemp("runtime"),
        env=env,
        quotas=Quotas(new_sessions_per_s=200.0, interactions_per_s=400.0),
    )
    there.start()
    yield there
    there.stop()


@pytest.fixture
def peer(aws, runtime, bucket, monkeypatch):
    """Their client, as its documentation makes it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", runtime.endpoint_url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", aws.proxy.url)
    client = toolkit.RolloutClient(
        agent_runtime_arn=runtime.arn,
        s3_bucket=bucket,
        exp_id=f"exp-{uuid.uuid4().hex[:8]}",
        tps_limit=100,
        max_pool_connections=32,
        base_url="http://127.0.0.1:9/v1",
        model_id="some/model",
        temperature=0.5,
    )
    yield client
    client.agentcore_client.close()
    client.s3_client.close()


def payloads(number):
    """Rollouts whose rewards differ."""
    return [{"prompt": f"task {n}", "does": {"reward": n / 10, "seconds": 0.05}} for n in range(number)]


def check(items, number):
    """Everything came once, and has what their client and its users read."""
    assert sorted(item.index for item in items) == list(range(number))
    for item in items:
        assert item.success, item.error
        found = item.result
        assert found["rewards"] == item.index / 10
        assert found["status_code"] == 200
        assert found["stop_reason"]
        assert found["payload"]["prompt"] == f"task {item.index}"


def test_it_is_the_release_that_is_meant():
    """Another release would be another test."""
    assert importlib.metadata.version("agentcore-rl-toolkit") == "0.2.0"


def test_run_batch(peer, aws, bucket):
    """Fifty rollouts with their blocking client; what is stored is also a record of ours."""
    items = list(peer.run_batch(payloads(50), max_concurrent_sessions=25, timeout=100, max_interval=0.5))
    check(items, 50)
    keys = [key for key in aws.keys(bucket) if key.startswith(peer.exp_id)]
    assert len(keys) == 50
    content = aws.client("s3").get_object(Bucket=bucket, Key=keys[0])["Body"].read()
    assert decode_record(content).run == peer.exp_id


async def test_run_batch_async(peer):
    """Fifty rollouts with their asynchronous client."""
    batch = peer.run_batch_async(payloads(50), max_concurrent_sessions=25, timeout=100, max_interval=0.5)
    check([item async for item in batch], 50)


def test_what_the_agent_raised_is_told(peer):
    """Their client calls it a success with a status of 500."""
    (item,) = peer.run_batch([{"prompt": "x", "does": {"raises": True}}], 1, timeout=30, max_interval=0.5)
    assert item.result["status_code"] == 500
    assert "It raised." in item.result["stop_reason"]


def test_a_payload_that_is_refused_is_an_error_of_its_own(peer):
    """With our sentence in it, since the service hands it on."""
    peer.extra_config = {"prefix": "../"}
    (item,) = peer.run_batch([{"prompt": "x"}], 1, timeout=30, max_interval=0.5)
    assert not item.success
    assert "RuntimeClientError" in item.error
