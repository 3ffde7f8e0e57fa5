import os
import subprocess
import sys
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from agentcore_rl.aws import clients
from agentcore_rl.aws.clients import client, region_of, renew_credentials
from agentcore_rl.aws.faults import FaultKind, fault_of
from agentcore_rl.exceptions import ConfigurationError
from aws_services import AWSServices, FaultyAWS


def test_a_client_is_made_once() -> None:
    """Per service, region, endpoint and manner; however many threads ask first."""
    made: list[object] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        made.append(client("sqs", region="eu-north-1"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, made))) == 1
    assert client("sqs", region="eu-north-1") is made[0]
    for other in ({"region": "eu-west-1"}, {"region": "eu-north-1", "timeout_s": 1.0}):
        assert client("sqs", **other) is not made[0]  # type: ignore[arg-type]


def test_a_client_is_patient_but_not_for_ever() -> None:
    """Timeouts, tries and the pool are what was asked for."""
    config = client("s3", timeout_s=7.0, tries=3, pool=5).meta.config
    assert (config.connect_timeout, config.read_timeout) == (clients.CONNECT_TIMEOUT_S, 7.0)
    assert (config.retries["total_max_attempts"], config.max_pool_connections) == (3, 5)


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/x-1", "us-west-2"),
        ("arn:aws-cn:sqs:cn-north-1:123456789012:queue", "cn-north-1"),
        ("https://sqs.eu-central-1.amazonaws.com/123456789012/q", "eu-central-1"),
        ("https://sqs.us-gov-west-1.amazonaws.com/123456789012/q", "us-gov-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", "cn-north-1"),
        ("https://sqs-fips.us-east-1.amazonaws.com/123456789012/q", "us-east-1"),
        ("https://sqs.eu-west-1.api.aws/123456789012/q", "eu-west-1"),
        ("https://us-west-2.queue.amazonaws.com/123456789012/q", "us-west-2"),
        ("https://vpce-0a-b.sqs.us-east-1.vpce.amazonaws.com/123456789012/q", "us-east-1"),
        ("http://127.0.0.1:4566/000000000000/q", None),
        ("https://sqs.us-east-1.amazonaws.com.evil.example/1/q", None),
        ("arn:aws:s3:::bucket", None),
        ("queue", None),
    ],
)
def test_the_region_is_read_from_names(name: str, region: str | None) -> None:
    """ARNs and the URLs of queues hold it."""
    assert region_of(name) == region


def test_the_region_and_the_endpoint_come_from_the_environment() -> None:
    """AWS_REGION, which botocore itself does not read; and each service's endpoint before the common one."""
    os.environ.update(AWS_REGION="ap-south-1", AWS_ENDPOINT_URL="http://127.0.0.1:1")
    assert client("sqs").meta.region_name == "ap-south-1"
    assert client("sqs").meta.endpoint_url == "http://127.0.0.1:1"
    os.environ["AWS_ENDPOINT_URL_SQS"] = "http://127.0.0.1:2"
    assert client("sqs").meta.endpoint_url == "http://127.0.0.1:2"
    assert client("sqs", endpoint_url="http://127.0.0.1:3").meta.endpoint_url == "http://127.0.0.1:3"


def test_what_is_missing_is_one_sentence() -> None:
    """No region; a profile that is not there."""
    del os.environ["AWS_REGION"], os.environ["AWS_DEFAULT_REGION"]
    renew_credentials()
    with pytest.raises(ConfigurationError, match="set AWS_REGION"):
        client("sqs")
    os.environ["AWS_PROFILE"] = "nobody"
    renew_credentials()
    with pytest.raises(ConfigurationError, match="nobody"):
        client("sqs", region="us-west-2")
    del os.environ["AWS_PROFILE"]
    renew_credentials()


def test_refused_credentials_are_read_anew(faulty_aws: FaultyAWS) -> None:
    """Whoever asks for a client after they were refreshed has the new ones; nothing is restarted."""
    renew_credentials()
    old = client("s3")
    time.sleep(1.1)
    faulty_aws.fault("ListBuckets", status=400, code="ExpiredToken", times=1)
    os.environ["AWS_ACCESS_KEY_ID"] = "refreshed"
    with pytest.raises(Exception, match="ExpiredToken") as raised:
        old.list_buckets()
    assert fault_of(raised.value).kind is FaultKind.CREDENTIALS
    assert client("s3") is not old
    client("s3").list_buckets()
    assert "Credential=refreshed/" in faulty_aws.requests[-1].headers["Authorization"]
    old.list_buckets()  # calls that were under way end as they would have
    renew_credentials()


def test_what_is_no_matter_of_credentials_renews_nothing(faulty_aws: FaultyAWS) -> None:
    """Throttling and outages would only be made worse by new clients."""
    old = client("s3")
    time.sleep(1.1)
    for how in ({"status": 503, "code": "SlowDown"}, {"status": 500}, {"drop": "before"}):
        faulty_aws.fault("ListBuckets", **how)
        with pytest.raises((ClientError, BotoCoreError)) as raised:
            old.list_buckets()
        assert fault_of(raised.value).kind in (FaultKind.THROTTLED, FaultKind.BROKEN, FaultKind.UNANSWERED)
        faulty_aws.clear()
    assert client("s3") is old


FORKED = """
import os
from agentcore_rl.aws.clients import _clients, client
mine = client("s3")
_clients._lock.acquire()  # as if another thread made a client just now
child = os.fork()
if child == 0:
    again = client("s3")
    print(again is mine, len(again.list_buckets()["Buckets"]) >= 0, flush=True)
    os._exit(0)
os.waitpid(child, 0)
_clients._lock.release()
print(client("s3") is mine, flush=True)
"""


def test_a_forked_child_has_clients_of_its_own(aws: AWSServices) -> None:
    """Neither connections nor locks of the parent."""
    ran = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, check=True, timeout=50
    )
    assert ran.stdout.split() == ["False", "True", "True"], ran.stderr
