"""`agentcore-rl serve`: the local runtime for a boto3 client."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from agentcore_rl.testing import Answer, ScriptedModel

SCRIPT = Path(sys.executable).with_name("agentcore-rl")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_unmodified_client_reaches_the_app(app, ending):
    """By what is printed; a signal ends it with 0, and the session with it."""
    with ScriptedModel([Answer("it is 4")]) as model:
        env = {**os.environ, "BASE_URL": model.base_url}
        words = [SCRIPT, "serve", app, "--port", "0", "--json"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, env=env, text=True) as process:
            told = json.loads(process.stdout.readline())
            client = boto3.client(
                "bedrock-agentcore", endpoint_url=told["endpoint_url"], region_name=told["region"]
            )
            answer = client.invoke_agent_runtime(
                agentRuntimeArn=told["arn"], payload=json.dumps({"prompt": "2 + 2", "answer": "4"})
            )
            assert json.loads(answer["response"].read()) == "it is 4"
            with pytest.raises(ClientError, match="must be a JSON object"):
                client.invoke_agent_runtime(agentRuntimeArn=told["arn"], payload="[]")
            assert list(Path(told["logs"]).glob("*.log"))
            process.send_signal(ending)
            assert process.wait(20) == 0


def test_it_says_how_to_reach_it(app):
    """Endpoint URL, region, ARN, dummy credentials, logs, and lines of boto3 to paste."""
    with subprocess.Popen(
        [SCRIPT, "serve", app, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        said = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out = process.stdout.read()
        assert process.wait(20) == 0
    assert said == "Ctrl-C ends it.\n"
    for word in (
        "endpoint URL  http://127.0.0.1:",
        "us-west-2",
        "arn:aws:bedrock-agentcore:",
        "AWS_ACCESS_KEY_ID=",
        "Records of rollouts go to ",
        "logs",
    ):
        assert word in out
    assert "client.invoke_agent_runtime(" in out


def test_a_port_that_is_taken_is_one_sentence(call, app):
    """With what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = call("serve", app, "--port", str(port))
    assert code == 2
    assert f"cannot use port {port}" in err
    assert "0 takes a free one" in err
