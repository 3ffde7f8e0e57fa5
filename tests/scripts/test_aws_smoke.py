"""The smoke run on AWS, against moto and the local runtime: what it sends, and that nothing stays behind."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from agentcore_rl.aws.clients import client, renew_credentials
from agentcore_rl.local_runtime import LocalRuntime

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
from aws_smoke import Smoke, State, main, smoke  # noqa: E402
from aws_smoke_plan import AGENT, LOGS, Call, Plan, SmokeFailed, check, cost  # noqa: E402

sys.path.remove(str(SCRIPTS))

ACCOUNT = "123456789012"
CREATED = ["CreateBucket", "PutObject", "CreateQueue", "CreateQueue", "CreateRole", "PutRolePolicy"]
REMOVED = ["DeleteRolePolicy", "DeleteRole", "DeleteQueue", "DeleteQueue", "DeleteObjects", "DeleteBucket"]


def plan(name="agentcore-rl-smoke-0123abcd", region="us-west-2"):
    """A plan as the script makes it."""
    return Plan(name, region, ACCOUNT)


# ── without a service


def test_a_dry_run_needs_no_account():
    """Without a home, credentials and a network it tells plan, cost and every request."""
    nowhere = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    command = [sys.executable, str(SCRIPTS / "aws_smoke.py"), "--dry-run"]
    done = subprocess.run(command, env=nowhere, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for call in plan().calls():
        assert f"\n{call.service}.{call.operation}\n" in done.stdout
    assert "Nothing was sent." in done.stdout
    assert "USD" in done.stdout


def test_help_says_that_it_was_never_run_on_aws(capsys):
    """Whoever reads --help knows what was not proven."""
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "has not been run against AWS yet" in " ".join(capsys.readouterr().out.split())


def test_without_credentials_a_sentence_says_what_is_missing(monkeypatch, capsys):
    """And nothing was asked."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    renew_credentials()
    try:
        assert main(["--region", "us-west-2", "--yes"]) == 1
    finally:
        renew_credentials()
    assert "no valid credentials were found" in capsys.readouterr().err


def faults(shape, value, where="") -> Iterator[str]:
    """What of a value is against botocore's model, patterns and enums included."""
    terms = shape.metadata
    if shape.type_name == "structure":
        for name in set(shape.required_members) - set(value):
            yield f"{where}.{name} is missing"
        for name, inner in value.items():
            yield from faults(shape.members[name], inner, f"{where}.{name}")
    elif shape.type_name == "map":
        for name, inner in value.items():
            yield from faults(shape.key, name, f"{where}.{name}")
            yield from faults(shape.value, inner, f"{where}.{name}")
    elif shape.type_name == "list":
        for inner in value:
            yield from faults(shape.member, inner, f"{where}[]")
    if "pattern" in terms and not re.fullmatch(terms["pattern"], value):
        yield f"{where}: {value!r} does not match {terms['pattern']}"
    if terms.get("enum") and value not in terms["enum"]:
        yield f"{where}: {value!r} is none of {terms['enum']}"
    if "min" in terms or "max" in terms:
        size = value if isinstance(value, int) else len(value)
        if not terms.get("min", size) <= size <= terms.get("max", size):
            yield f"{where}: {size} is out of range"


def wrong(call: Call, region: str) -> list[str]:
    """What is wrong with a request."""
    service = client(call.service, region=region)
    operation = service.meta.method_to_api_mapping[call.operation]
    return list(faults(service.meta.service_model.operation_model(operation).input_shape, call.params))


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2", "ap-southeast-2"])
def test_every_request_is_one_of_botocores_models(region):
    """Names, patterns, enums and lengths; only us-east-1 takes a bucket without its region."""
    calls = plan(region=region).calls()
    for call in calls:
        check(call, region)
        assert wrong(call, region) == []
    assert ("CreateBucketConfiguration" in calls[0].params) == (region != "us-east-1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"agentRuntimeName": "with-dash"}, "agentRuntimeName"),
        ({"clientToken": "short"}, "clientToken"),
        ({"lifecycleConfiguration": {"idleRuntimeSessionTimeout": 30}}, "idleRuntimeSessionTimeout"),
        ({"networkConfiguration": {"networkMode": "NONE"}}, "networkMode"),
        ({"roleArn": "role"}, "roleArn"),
    ],
)
def test_a_request_that_is_wrong_would_be_seen(change, said):
    """The test above finds each of these."""
    call = plan().calls()[-1]
    assert said in str(wrong(call._replace(params={**call.params, **change}), "us-west-2"))


def test_a_request_that_botocore_refuses_is_a_sentence():
    """The dry run says so."""
    call = plan().calls()[-1]
    with pytest.raises(SmokeFailed, match="create_agent_runtime cannot be sent"):
        check(call._replace(params={**call.params, "roleArn": 7}), "us-west-2")


def test_the_role_may_do_what_the_app_does_and_no_more():
    """The store's policy of docs/aws-stores.md, its log, and nothing of another name or account."""
    there = plan()
    page = (SCRIPTS.parent / "docs" / "aws-stores.md").read_text(encoding="utf-8")
    app = json.loads(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])["Statement"]
    stores = {
        action
        for one in app
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    allowed = {action: one["Resource"] for one in there.policy()["Statement"] for action in one["Action"]}
    assert {action for action in allowed if not action.startswith("logs:")} == stores
    assert allowed["s3:PutObject"] == f"arn:aws:s3:::{there.bucket}/records/*"
    assert allowed["sqs:SendMessage"].endswith(f":{ACCOUNT}:{there.name}")
    assert all(
        there.runtime in on for does, on in allowed.items() if does not in ("logs:DescribeLogGroups", *stores)
    )
    (trusted,) = there.trust()["Statement"]
    assert trusted["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}
    assert (
        trusted["Condition"]["ArnLike"]["aws:SourceArn"] == f"arn:aws:bedrock-agentcore:us-west-2:{ACCOUNT}:*"
    )


def test_the_cost_is_what_the_prices_make():
    """Three sessions of a minute and a half; at most six of a quarter of an hour, of 2 vCPU and 8 GB."""
    assert cost() == pytest.approx(3 * 90 / 3600 * (0.1 * 0.0895 + 0.5 * 0.00945), abs=1e-3)
    assert cost(most=True) == pytest.approx(6 * 0.25 * (2 * 0.0895 + 8 * 0.00945), abs=1e-2)
    assert f"{cost(most=True):.2f} USD" in plan().text()
    for made in (plan().bucket, plan().runtime, f"{plan().name}-dead"):
        assert made in plan().text()


def test_a_partition_that_it_does_not_know_is_refused(capsys):
    """Its ARNs would be wrong there."""
    assert main(["--region", "cn-north-1", "--yes"]) == 1
    assert "partition" in capsys.readouterr().err


# ── against moto


@pytest.fixture
def there(aws, faulty_aws):
    """The services, emptied of faults; only moto has a control plane of AgentCore."""
    if not aws.is_moto:
        pytest.skip("the server has no control plane of AgentCore")
    return aws


@pytest.fixture
def work(there, tmp_path):
    """A smoke run with names of its own."""
    name = f"agentcore-rl-smoke-{os.urandom(4).hex()}"
    return Smoke(State(tmp_path / "state" / f"{name}.json", plan(name)), every_s=0.02)


def small(folder: Path, region: str) -> Path:
    """A zip with the agent alone, for packages are fetched from elsewhere."""
    with zipfile.ZipFile(folder / "code.zip", "w") as archive:
        archive.writestr("main.py", AGENT.format(region=region))
    return folder / "code.zip"


def left(aws, work) -> list[str]:
    """What of a run is still there."""
    name, runtime = work.plan.name, work.plan.runtime
    buckets = [one["Name"] for one in aws.client("s3").list_buckets()["Buckets"]]
    queues = aws.client("sqs").list_queues(QueueNamePrefix=name).get("QueueUrls", [])
    roles = [one["RoleName"] for one in aws.client("iam").list_roles()["Roles"]]
    listed = aws.client("bedrock-agentcore-control").list_agent_runtimes()["agentRuntimes"]
    groups = aws.client("logs").describe_log_groups(logGroupNamePrefix=f"{LOGS}{runtime}")["logGroups"]
    found = [*buckets, *queues, *roles, *(one["agentRuntimeName"] for one in listed)]
    return [one for one in found if name in one or runtime in one] + [one["logGroupName"] for one in groups]


def sent(aws) -> list[str]:
    """The operations that changed something, in order."""
    names = []
    for seen in aws.proxy.requests:
        form = parse_qs(seen.body.decode(errors="replace")) if b"Action=" in seen.body else {}
        if "/runtimes/" in seen.path:
            verb = {"PUT": "Create", "DELETE": "Delete", "GET": "Get", "POST": "List"}[seen.method]
            name = f"{verb}AgentRuntime"
        elif seen.method == "POST" and seen.path.endswith("?delete"):
            name = "DeleteObjects"
        else:
            name = form.get("Action", [seen.operation])[0]
        if re.match("Create|Put|Delete", name):
            names.append(name)
    return names


def fails(aws, call: str, **how) -> None:
    """Have one of the creating requests answered otherwise."""
    if call == "CreateAgentRuntime":
        aws.proxy.fault("*", where="agentRuntimeArtifact", **how)
    elif call in ("CreateRole", "PutRolePolicy", "DeleteRole"):
        if "code" in how:  # IAM's errors have one element more than S3's
            error = f"<Error><Code>{how['code']}</Code><Message>A fault.</Message></Error>"
            how["body"] = f"<ErrorResponse>{error}</ErrorResponse>".encode()
        aws.proxy.fault("*", where=f"Action={call}&", **how)
    else:
        aws.proxy.fault(call, **how)


def becomes_ready(aws, work) -> None:
    """Runtime and endpoint are asked for until they are; moto's ARNs are none of a runtime's."""
    arn = f"arn:aws:bedrock-agentcore:us-west-2:{ACCOUNT}:runtime/{work.plan.runtime}-0123456789"
    # The last that was set is the first that is met.
    for answer in ({"status": "READY", "agentRuntimeArn": arn}, {"status": "CREATING"}, {"status": "READY"}):
        aws.proxy.fault("*", where="/runtimes/a", status=200, body=json.dumps(answer).encode(), times=1)
    aws.proxy.fault("*", where="/runtimes/a", status=404, code="ResourceNotFoundException", times=1)


@pytest.fixture
def foreign(there):
    """A runtime and a log group of somebody else."""
    control, logs = there.client("bedrock-agentcore-control"), there.client("logs")
    call = Plan("agentcore-rl-smoke-foreign", "us-west-2", ACCOUNT).calls()[-1]
    made = control.create_agent_runtime(**call.params)
    logs.create_log_group(logGroupName=f"{LOGS}foreign-DEFAULT")
    yield made["agentRuntimeId"]
    control.delete_agent_runtime(agentRuntimeId=made["agentRuntimeId"])
    logs.delete_log_group(logGroupName=f"{LOGS}foreign-DEFAULT")


def test_a_run_creates_runs_and_removes(there, work, foreign, tmp_path, monkeypatch, capsys):
    """Three rollouts are right and heard of through SQS; nothing is left but what is foreign."""
    app = tmp_path / "main.py"
    app.write_text(AGENT.format(region="us-west-2"), encoding="utf-8")
    runtime = LocalRuntime(
        str(app), directory=tmp_path / "runtime", env=work.plan.calls()[-1].params["environmentVariables"]
    )
    becomes_ready(there, work)
    # The runtime writes a log.
    there.client("logs").create_log_group(logGroupName=f"{LOGS}{work.plan.runtime}-x-DEFAULT")
    runtime.start()
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", runtime.endpoint_url)
        assert smoke(work, keep=False, built=small) == 0
    finally:
        runtime.stop()
    said = capsys.readouterr().out
    assert "3 of 3 rollouts as they should be; 3 notices came out of SQS." in said
    assert '"sum": 333' in said
    assert re.findall(r"the (.+ is .+);", said)[:2] == ["runtime is not known yet", "endpoint is CREATING"]
    assert "Nothing is left." in said
    assert left(there, work) == []
    assert not work.state.path.exists()
    changes = [name for name in sent(there) if name not in ("PutObject", "DeleteMessageBatch")]
    runtimes = ["CreateAgentRuntime", "DeleteAgentRuntime", "DeleteAgentRuntime", "DeleteLogGroup"]
    assert changes == [name for name in CREATED if name != "PutObject"] + runtimes + REMOVED
    control = there.client("bedrock-agentcore-control")
    assert control.get_agent_runtime(agentRuntimeId=foreign)["status"] == "READY"


@pytest.mark.parametrize(
    ("call", "how"),
    [
        ("CreateBucket", "unanswered"),
        ("PutObject", "refused"),
        ("CreateQueue", "refused"),
        ("CreateRole", "unanswered"),
        ("PutRolePolicy", "refused"),
        ("CreateAgentRuntime", "unanswered"),
    ],
)
def test_a_failure_halfway_leaves_nothing(there, work, capsys, call, how):
    """Whether AWS refused, or did it and the answer was lost: what was begun is removed, the last first."""
    if how == "refused":
        fails(there, call, status=403, code="AccessDeniedException")
    else:
        fails(there, call, drop="after")
    assert smoke(work, keep=False, built=small) == 1
    said = capsys.readouterr().out
    assert f"{call} was answered with AccessDenied" in said or how == "unanswered"
    there.proxy.clear("*")
    there.proxy.clear(call)
    assert left(there, work) == []
    assert work.state.made == []
    removed = re.findall(r"removing: (.+)", said)
    created = list(dict.fromkeys(re.findall(r"^([a-z- ]+): [a-z]+_[a-z_]+$", said, re.MULTILINE)))
    assert [kind for kind in removed if kind != "logs"] == created[::-1]


def test_a_role_that_is_too_young_is_waited_for(there, work, capsys):
    """The same request again, with the same token; then what cannot be mended ends it."""
    said = "Role validation failed: verify that the role exists and its trust policy allows assumption"
    fails(there, "CreateAgentRuntime", status=400, code="ValidationException", message=said, times=2)
    there.proxy.fault(
        "*",
        where="/runtimes/a",
        status=200,
        body=b'{"status": "CREATE_FAILED", "failureReason": "no main.py"}',
        times=1,
    )
    assert smoke(work, keep=False, built=small) == 1
    asked = [json.loads(seen.body) for seen in there.proxy.requests if b"agentRuntimeArtifact" in seen.body]
    assert len(asked) == 3
    assert len({one["clientToken"] for one in asked}) == 1
    assert "The runtime is CREATE_FAILED: no main.py." in capsys.readouterr().out
    assert left(there, work) == []


def test_a_runtime_that_cannot_be_removed_yet_is_tried_again(there, work):
    """As long as it is being created."""
    work.state.note("runtime")
    there.client("bedrock-agentcore-control").create_agent_runtime(**work.plan.calls()[-1].params)
    conflict = {"status": 409, "code": "ConflictException", "times": 2}
    there.proxy.fault("*", where="/runtimes/a", **conflict)
    assert work.cleanup()
    assert left(there, work) == []


PROCESS = f"""
import sys
from pathlib import Path
sys.path[:0] = [{str(SCRIPTS)!r}]
from aws_smoke import Smoke, State, smoke
from aws_smoke_plan import Plan
path, zipped = Path(sys.argv[1]), Path(sys.argv[2])
work = Smoke(State(path, Plan(path.stem, "us-west-2", "{ACCOUNT}")), every_s=0.05)
sys.exit(smoke(work, keep=False, built=lambda folder, region: zipped))
"""


def interrupted(aws, work, *texts) -> tuple[int, str]:
    """A run of its own, with Ctrl-C at the first request whose path or body holds a text; once for each."""
    zipped = small(work.state.path.parents[1], "us-west-2")
    command = [sys.executable, "-c", PROCESS, str(work.state.path), str(zipped)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for text in texts:
            while process.poll() is None and not any(
                text in seen.path or text in seen.body.decode(errors="replace")
                for seen in list(aws.proxy.requests)
            ):
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            aws.proxy.clear("*")
        said, _ = process.communicate(timeout=50)
    return process.returncode, said


def test_ctrl_c_amid_rollouts_removes_everything(there, work):
    """And the exit code says that it was interrupted."""
    becomes_ready(there, work)
    there.proxy.fault("InvokeAgentRuntime", status=429, code="ThrottlingException")
    there.proxy.fault("StopRuntimeSession", status=404, code="ResourceNotFoundException")
    code, said = interrupted(there, work, "/invocations")
    assert code == 130, said
    assert "Interrupted." in said
    assert "Traceback" not in said
    assert left(there, work) == []
    assert not work.state.path.exists()


def test_a_second_ctrl_c_leaves_the_state(there, work):
    """The first while the runtime is made, the second amid the removal: what is left can be removed later."""
    there.proxy.fault("*", where="/runtimes/a", status=200, body=b'{"status": "CREATING"}')
    with there.proxy.hold("DeleteQueue"):
        code, said = interrupted(there, work, "/runtimes/a", "Action=DeleteRole&")
    assert code == 130, said
    assert f"Try again: --cleanup {work.plan.name}" in said
    again = State.read(work.state.path.parent, work.plan.name)
    assert again.plan == work.plan
    assert "bucket" in again.made
    again.note("runtime")  # which is not there
    assert Smoke(again, every_s=0.02).cleanup()
    assert left(there, work) == []


def test_what_is_left_can_be_removed_later(there, work, capsys):
    """A role that could not be removed stands in the state file; the rest is gone; --cleanup ends it."""
    fails(there, "CreateAgentRuntime", status=403, code="AccessDeniedException")
    fails(there, "DeleteRole", status=409, code="DeleteConflict")
    assert smoke(work, keep=False, built=small) == 1
    said = capsys.readouterr().out
    assert f"Left: role. Try again: --cleanup {work.plan.name}" in said
    assert left(there, work) == [work.plan.name]
    there.proxy.clear("*")
    state = ["--state", str(work.state.path.parent)]
    assert main([*state, "--cleanup", work.plan.name]) == 0
    assert left(there, work) == []
    assert main([*state, "--cleanup", work.plan.name]) == 1
    assert "left to clean up" in capsys.readouterr().err


def test_what_is_kept_is_removed_later(there, work, capsys):
    """--keep leaves everything there; --cleanup with another account's keys does not touch it."""
    fails(there, "CreateAgentRuntime", status=403, code="AccessDeniedException")
    assert smoke(work, keep=True, built=small) == 1
    there.proxy.clear("*")
    assert len(left(there, work)) == 4
    command = ["--state", str(work.state.path.parent), "--cleanup", work.plan.name]
    kept = json.loads(work.state.path.read_text())
    work.state.path.write_text(json.dumps({**kept, "account": "999999999999"}))
    assert main(command) == 1
    assert "is in account 999999999999" in capsys.readouterr().err
    work.state.path.write_text(json.dumps(kept))
    assert main(command, every_s=0.0) == 0
    assert left(there, work) == []


@pytest.mark.parametrize("answer", ["", "n\n"])
def test_nothing_is_created_unless_somebody_agrees(there, monkeypatch, tmp_path, capsys, answer):
    """The plan is told first."""
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert main(["--region", "us-west-2", "--state", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "Nothing was created." in said
    assert "USD" in said
    assert sent(there) == []
    assert list(tmp_path.iterdir()) == []
