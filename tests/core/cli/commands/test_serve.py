"""`agentcore-rl serve`: the local runtime for a boto3 client."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from agentcore_rl.testing import Answer, ScriptedModel
from json_schemas import valid

SCRIPT = Path(sys.executable).with_name("agentcore-rl")


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_unmodified_client_reaches_the_app(app, ending):
    """By what is printed; a signal ends it with 0, and the session with it."""
    with ScriptedModel([Answer("it is 4")]) as model:
        env = {**os.environ, "BASE_URL": model.base_url}
        words = [SCRIPT, "serve", app, "--port", "0", "--json"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, env=env, text=True) as process:
            [told] = valid("serve", process.stdout.readline())
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


def test_limits_and_faults_are_flags(app):
    """Quotas, time limits, a further endpoint and faults reach the runtime; --faults opens its route."""
    words = [SCRIPT, "serve", app, "--port", "0", "--json", "--endpoint", f"canary={app}", "--faults"]
    limits = ["--active-sessions", "1", "--new-sessions-per-s", "none", "--idle-timeout-s", "600"]
    faults = ["--fault", "deny:count=1", "--fault", "conflict:operation=stop:count=1"]
    with subprocess.Popen([*words, *limits, *faults], stdout=subprocess.PIPE, text=True) as process:
        told = json.loads(process.stdout.readline())
        client = boto3.client(
            "bedrock-agentcore", endpoint_url=told["endpoint_url"], region_name=told["region"]
        )

        def invoke(session):
            with pytest.raises(ClientError) as raised:  # the app itself refuses what is no object
                client.invoke_agent_runtime(
                    agentRuntimeArn=told["arn"],
                    runtimeSessionId=session * 40,
                    qualifier="canary",
                    payload="[]",
                )
            return raised.value.response["Error"]["Code"]

        assert [invoke("a"), invoke("a"), invoke("b")] == [
            "AccessDeniedException",
            "RuntimeClientError",
            "ServiceQuotaExceededException",
        ]
        with urllib.request.urlopen(f"{told['endpoint_url']}/_faults") as answer:
            assert [(rule["fault"], rule["hits"]) for rule in json.load(answer)] == [
                ("deny", 1),
                ("conflict", 0),
            ]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--active-sessions", "0"], "no whole number of at least 1"),
        (["--idle-timeout-s", "never"], "no number of seconds above 0"),
        (["--endpoint", "canary"], "not of the form QUALIFIER=APP"),
        (["--endpoint", "0=x.py"], "A qualifier has 1 to 48 characters"),
        (["--fault", "explode"], "There is no fault 'explode'"),
    ],
)
def test_what_it_cannot_use(app, words, said):
    """Is said in a sentence, before anything listens."""
    done = subprocess.run([SCRIPT, "serve", app, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
