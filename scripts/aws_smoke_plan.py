"""What aws_smoke.py creates: names, policies, requests, cost, and the zip."""

from __future__ import annotations

import json
import subprocess
import uuid
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from botocore.validate import ParamValidator

from agentcore_rl.aws.clients import client

ROOT = Path(__file__).resolve().parents[1]
CONTROL = "bedrock-agentcore-control"
LOGS = "/aws/bedrock-agentcore/runtimes/"
NUMBERS = ([1, 2], [20, 22], [300, 33])
ATTEMPTS, IDLE_S, LIFETIME_S = 2, 60, 900
LONGEST_ZIP = 250_000_000

# US dollars, as listed for us-east-1 and us-west-2.
VCPU_HOUR, GB_HOUR = 0.0895, 0.00945
S3_WRITE, S3_READ, SQS_CALL, S3_GB_MONTH = 5e-6, 0.4e-6, 0.4e-6, 0.023

AGENT = '''\
"""An agent without a model: it adds."""

import os
import platform

os.environ.setdefault("AWS_REGION", "{region}")

from agentcore_rl import AgentCoreRLApp

app = AgentCoreRLApp()


def judge(payload, output, rollout):
    return float(output["sum"] == payload["answer"])


@app.rollout_entrypoint(reward=judge)
def solve(payload, context):
    where = f"{{platform.machine()}}, Python {{platform.python_version()}}"
    return {{"sum": sum(payload["numbers"]), "where": where}}


if __name__ == "__main__":
    app.run(host="0.0.0.0")
'''


class SmokeFailed(Exception):
    """A step did not work; the message says why and what to do."""


class Call(NamedTuple):
    """One request, and the kind of thing that it makes."""

    kind: str
    service: str
    operation: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """Names and terms of everything, which follow from three words."""

    name: str
    region: str
    account: str

    @property
    def bucket(self) -> str:
        """Of the code and the records; names of buckets are the world's."""
        return f"{self.name}-{self.account}"

    @property
    def store(self) -> str:
        """Where records go."""
        return f"s3://{self.bucket}/records"

    @property
    def runtime(self) -> str:
        """Its name; AgentCore makes its id of it."""
        return self.name.replace("-", "_")

    @property
    def here(self) -> str:
        """Region and account, as in ARNs."""
        return f"{self.region}:{self.account}"

    def queue(self, suffix: str = "") -> str:
        """A queue's URL."""
        return f"https://sqs.{self.region}.amazonaws.com/{self.account}/{self.name}{suffix}"

    def trust(self) -> dict[str, Any]:
        """AgentCore may take the role, for runtimes of this account and region alone."""
        conditions = {
            "StringEquals": {"aws:SourceAccount": self.account},
            "ArnLike": {"aws:SourceArn": f"arn:aws:bedrock-agentcore:{self.here}:*"},
        }
        principal = {"Service": "bedrock-agentcore.amazonaws.com"}
        statement = {
            "Effect": "Allow",
            "Principal": principal,
            "Action": "sts:AssumeRole",
            "Condition": conditions,
        }
        return {"Version": "2012-10-17", "Statement": [statement]}

    def policy(self) -> dict[str, Any]:
        """What the app does: put records, announce them, write its log."""
        groups = f"arn:aws:logs:{self.here}:log-group:{LOGS}{self.runtime}-*"
        allowed = (
            (["s3:PutObject", "s3:AbortMultipartUpload"], f"arn:aws:s3:::{self.bucket}/records/*"),
            (["sqs:SendMessage"], f"arn:aws:sqs:{self.here}:{self.name}"),
            (["logs:CreateLogGroup", "logs:DescribeLogStreams"], groups),
            (["logs:CreateLogStream", "logs:PutLogEvents"], f"{groups}:log-stream:*"),
            (["logs:DescribeLogGroups"], f"arn:aws:logs:{self.here}:log-group:*"),
        )
        statements = [{"Effect": "Allow", "Action": does, "Resource": on} for does, on in allowed]
        return {"Version": "2012-10-17", "Statement": statements}

    def calls(self) -> list[Call]:
        """The requests that create everything, in order; the zip's bytes are left out."""
        where = {} if self.region == "us-east-1" else {"LocationConstraint": self.region}
        dead = f"{self.name}-dead"
        redrive = {
            "deadLetterTargetArn": f"arn:aws:sqs:{self.here}:{dead}",
            "maxReceiveCount": 10,
        }
        code = {"s3": {"bucket": self.bucket, "prefix": "code.zip"}}
        runtime = {
            "agentRuntimeName": self.runtime,
            "agentRuntimeArtifact": {
                "codeConfiguration": {"code": code, "runtime": "PYTHON_3_12", "entryPoint": ["main.py"]}
            },
            "roleArn": f"arn:aws:iam::{self.account}:role/{self.name}",
            "networkConfiguration": {"networkMode": "PUBLIC"},
            "protocolConfiguration": {"serverProtocol": "HTTP"},
            "lifecycleConfiguration": {"idleRuntimeSessionTimeout": IDLE_S, "maxLifetime": LIFETIME_S},
            "environmentVariables": {"AGENTCORE_RL_STORE": self.store, "AGENTCORE_RL_QUEUE": self.queue()},
            # The same for every repetition, so that none makes a second runtime.
            "clientToken": str(uuid.uuid5(uuid.NAMESPACE_URL, self.name)),
        }
        policy = {
            "RoleName": self.name,
            "PolicyName": "rollouts",
            "PolicyDocument": json.dumps(self.policy()),
        }
        trust = {"RoleName": self.name, "AssumeRolePolicyDocument": json.dumps(self.trust())}
        created = {"Bucket": self.bucket} | ({"CreateBucketConfiguration": where} if where else {})
        stored = {"Bucket": self.bucket, "Key": "code.zip", "ExpectedBucketOwner": self.account}
        attributes = {"RedrivePolicy": json.dumps(redrive)}
        return [
            Call("bucket", "s3", "create_bucket", created),
            Call("bucket", "s3", "put_object", stored),
            Call("dead-letter queue", "sqs", "create_queue", {"QueueName": dead}),
            Call("queue", "sqs", "create_queue", {"QueueName": self.name, "Attributes": attributes}),
            Call("role", "iam", "create_role", trust),
            Call("role", "iam", "put_role_policy", policy),
            Call("runtime", CONTROL, "create_agent_runtime", runtime),
        ]

    def text(self) -> str:
        """What will be there for some minutes, and what it costs."""
        return f"""\
{self.name} in account {self.account}, {self.region}, for about five minutes:
  bucket    {self.bucket} (the code, about 25 MB; three records)
  queues    {self.name}, {self.name}-dead
  role      {self.name} (puts records, announces them, writes its log)
  runtime   {self.runtime} ({len(NUMBERS)} sessions; they end when idle for {IDLE_S} s, or {LIFETIME_S} s old)
  logs      {LOGS}{self.runtime}-*, which the runtime makes
Cost: about {cost():.3f} USD; {cost(most=True):.2f} USD if every session lasts as long as it may, twice.
  (at {VCPU_HOUR} USD per vCPU-hour and {GB_HOUR} per GB-hour of a session; S3 and SQS are less than a cent)
AgentCore also makes its service-linked role if your account has none; that stays, and costs nothing."""


def cost(*, most: bool = False) -> float:
    """US dollars: likely, or with every session as long and as large (2 vCPU, 8 GB) as it can be."""
    sessions, seconds, vcpu, gb = (
        (len(NUMBERS) * ATTEMPTS, LIFETIME_S, 2.0, 8.0) if most else (len(NUMBERS), 90, 0.1, 0.5)
    )
    compute = sessions * seconds / 3600 * (vcpu * VCPU_HOUR + gb * GB_HOUR)
    calls = 1000 if most else 100
    return compute + calls * (S3_WRITE + S3_READ + SQS_CALL) + 0.025 * S3_GB_MONTH / 30


def check(call: Call, region: str) -> None:
    """Have botocore validate a request, without sending it."""
    service = client(call.service, region=region)
    model = service.meta.service_model.operation_model(service.meta.method_to_api_mapping[call.operation])
    report = ParamValidator().validate(call.params, model.input_shape)
    if report.has_errors():
        raise SmokeFailed(f"{call.service}.{call.operation} cannot be sent: {report.generate_report()}")


def build(folder: Path, region: str) -> Path:
    """The zip: the agent, agentcore-rl of this checkout and its requirements, for Linux on arm64."""
    code, wheels = folder / "code", folder / "wheels"
    uv = ("uv", "--quiet")
    target = ("--python-version", "3.12", "--python-platform", "aarch64-manylinux2014", "--target", str(code))
    _run((*uv, "build", "--wheel", str(ROOT / "packages/core"), "--out-dir", str(wheels)))
    _run((*uv, "pip", "install", *target, "--only-binary", ":all:", *map(str, wheels.glob("*.whl"))))
    (code / "main.py").write_text(AGENT.format(region=region), encoding="utf-8")
    path = folder / "code.zip"
    with zipfile.ZipFile(path, "w", strict_timestamps=False) as archive:
        for file in sorted(code.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts and file.parent != code / "bin":
                entry = zipfile.ZipInfo.from_file(file, file.relative_to(code), strict_timestamps=False)
                # Permissions hold there too: what only its owner may read cannot be imported.
                entry.external_attr |= 0o444 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, file.read_bytes())
    if path.stat().st_size > LONGEST_ZIP:
        raise SmokeFailed(f"The zip has {path.stat().st_size:,} bytes; AgentCore takes {LONGEST_ZIP:,}.")
    return path


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SmokeFailed("uv is needed to build the zip; ./scripts/run.sh has it on its path.") from None
    if done.returncode:
        raise SmokeFailed(f"{' '.join(command[:4])} failed: {done.stderr.strip()[-1000:]}")
