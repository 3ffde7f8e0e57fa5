"""Three rollouts on AgentCore Runtime in your AWS account, from nothing and back to nothing.

  ./scripts/run.sh python scripts/aws_smoke.py --dry-run         what it would send; needs no account
  ./scripts/run.sh python scripts/aws_smoke.py --region us-west-2
  ./scripts/run.sh python scripts/aws_smoke.py --cleanup NAME    removes what an earlier call left

It says what it will create and what that may cost, asks, creates a bucket, two queues, a role and a
runtime (a zip, no Docker) with an agent that adds numbers without a model, runs three rollouts through S3
and SQS, and removes everything: after a failure and after Ctrl-C too. What it creates is written into a
state file first.

It has not been run against AWS yet: this project's tests validate its requests with botocore's models and
run it against moto and the local runtime. docs/agentcore.md says what it must be allowed to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.session
from aws_smoke_plan import ATTEMPTS, CONTROL, LIFETIME_S, LOGS, NUMBERS, Call, Plan, SmokeFailed, build, check
from botocore.exceptions import BotoCoreError, ClientError

from agentcore_rl.aws.clients import client
from agentcore_rl.aws.faults import fault_of
from agentcore_rl.aws.launcher import AgentCoreLauncher
from agentcore_rl.batch import BatchRunner, Pace
from agentcore_rl.exceptions import AgentCoreRLError
from agentcore_rl.outcome import RolloutOutcome
from agentcore_rl.rollout import Status
from agentcore_rl.stores.places import open_notices, open_store
from agentcore_rl.tasks import task_from_payload

EVERY_S = 5.0
DEADLINE_S = 120.0
NOTHING_THERE = (
    "NoSuchBucket NoSuchEntity ResourceNotFoundException QueueDoesNotExist "
    "AWS.SimpleQueueService.NonExistentQueue"
).split()

EXPECTED = (SmokeFailed, AgentCoreRLError, BotoCoreError, ClientError, OSError)


@dataclass
class State:
    """What was begun to be created, on disk before it is there."""

    path: Path
    plan: Plan
    made: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path, name: str) -> State:
        """What an earlier call left."""
        path = folder / f"{name}.json"
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return cls(path, Plan(name, kept["region"], kept["account"]), list(kept["made"]))
        except FileNotFoundError:
            there = ", ".join(sorted(one.stem for one in folder.glob("*.json"))) or "none"
            raise SmokeFailed(f"{path} is not there; left to clean up in {folder}: {there}.") from None

    def note(self, kind: str) -> None:
        """From now on it may be there."""
        if kind not in self.made:
            self.made.append(kind)
            self._write()

    def forget(self, kind: str) -> None:
        """It is there no more."""
        self.made.remove(kind)
        self._write() if self.made else self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = {"region": self.plan.region, "account": self.plan.account, "made": self.made}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(kept), encoding="utf-8")
        new.replace(self.path)


class Counted:
    """Notices, and how many came."""

    def __init__(self, notices: Any) -> None:
        self._notices, self.came = notices, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._notices, name)

    def receive(self, **how: Any) -> Any:
        """As the channel's own."""
        deliveries = self._notices.receive(**how)
        self.came += len(deliveries)
        return deliveries


class Smoke:
    """Creates, runs and removes what a plan says.

    Args:
        state: the plan, and what of it may be there.
        every_s: seconds between two looks at what takes its time.
    """

    def __init__(self, state: State, *, every_s: float = EVERY_S) -> None:
        self.state, self.plan, self.every_s = state, state.plan, every_s

    def service(self, name: str) -> Any:
        """A client."""
        # Small files, but a slow line may carry the zip.
        return client(name, region=self.plan.region, timeout_s=60.0, tries=4)

    def create(self, code: Path) -> str:
        """Create everything; the runtime's ARN once it is READY."""
        made: dict[str, Any] = {}
        for call in self.plan.calls():
            say(f"{call.kind}: {call.operation}")
            if call.kind == "runtime":
                self.state.note("logs")  # which it makes
            self.state.note(call.kind)
            if call.operation == "put_object":
                with code.open("rb") as body:
                    made = self._sent(call._replace(params={**call.params, "Body": body}))
            else:
                made = self._sent(call)
        return self._ready(made["agentRuntimeId"])

    def _sent(self, call: Call) -> dict[str, Any]:
        for _ in range(24):
            try:
                return dict(getattr(self.service(call.service), call.operation)(**call.params))
            except ClientError as error:
                # A role is not known everywhere at once.
                young = fault_of(error).code == "ValidationException"
                if not young or call.kind != "runtime" or "role" not in str(error).lower():
                    raise
                last = error
            self._pause("the role is not known yet")
        raise last

    def _ready(self, runtime: str) -> str:
        """The ARN, once the runtime and its endpoint take sessions."""
        self._wait_for("runtime", "get_agent_runtime", agentRuntimeId=runtime)
        asked = {"agentRuntimeId": runtime, "endpointName": "DEFAULT"}
        return str(self._wait_for("endpoint", "get_agent_runtime_endpoint", **asked)["agentRuntimeArn"])

    def _wait_for(self, what: str, operation: str, **params: Any) -> dict[str, Any]:
        for _ in range(120):
            try:
                seen = dict(getattr(self.service(CONTROL), operation)(**params))
            except ClientError as error:
                if fault_of(error).code not in NOTHING_THERE:
                    raise
                seen = {"status": "not known yet"}
            if seen["status"] == "READY":
                return seen
            if seen["status"].endswith("FAILED"):
                why = seen.get("failureReason", "no reason given")
                raise SmokeFailed(f"The {what} is {seen['status']}: {why}.")
            self._pause(f"the {what} is {seen['status']}")
        raise SmokeFailed(f"The {what} did not become READY; look at it in AgentCore's console.")

    def _pause(self, why: str) -> None:
        say(f"  {why}; looking again in {self.every_s:g} s")
        time.sleep(self.every_s)

    async def run(self, arn: str) -> bool:
        """Three rollouts; whether all went well, S3 and SQS included."""
        store, run = open_store(self.plan.store), "smoke"
        notices = Counted(open_notices(self.plan.store, run=run, queue=self.plan.queue()))
        tasks = [
            task_from_payload({"id": f"sum-{number}", "numbers": numbers, "answer": sum(numbers)})
            for number, numbers in enumerate(NUMBERS)
        ]
        launcher = AgentCoreLauncher(arn, region=self.plan.region, max_lifetime_s=LIFETIME_S)
        runner = BatchRunner(
            launcher,
            store=store,
            notices=notices,
            run=run,
            attempts=ATTEMPTS,
            deadline_s=DEADLINE_S,
            pace=Pace(list_s=60.0),  # the queue is to be seen at work
        )
        right = 0
        try:
            async with runner:
                async for outcome in runner.run(tasks):
                    right += await self._shown(runner, outcome)
        finally:
            await launcher.aclose()
        say(f"{right} of {len(tasks)} rollouts as they should be; {notices.came} notices came out of SQS.")
        if not notices.came:
            say("  The records were found by listing: the app's log says why it could not send to the queue.")
        return right == len(tasks) and notices.came > 0

    @staticmethod
    async def _shown(runner: BatchRunner, outcome: RolloutOutcome) -> bool:
        reward = None if outcome.reward is None else outcome.reward.value
        say(
            f"  {outcome.request.rollout_id}: {outcome.status.value}, reward {reward}, "
            f"{outcome.timings.total_s:.1f} s, {outcome.location}"
        )
        if outcome.failure is not None:
            say(f"    {outcome.failure.kind.value}: {outcome.failure.message}")
        elif outcome.location is not None:
            record = await runner.read(outcome)
            say(f"    {json.dumps(record.output)}")
        return outcome.status is Status.SUCCEEDED and reward == 1.0

    def cleanup(self) -> bool:
        """Remove what may be there, in the reverse order; whether nothing is left."""
        dead = self.plan.queue("-dead")
        removers = {
            "logs": self._remove_logs,
            "runtime": self._remove_runtime,
            "role": self._remove_role,
            "queue": lambda: self._remove("sqs", "delete_queue", QueueUrl=self.plan.queue()),
            "dead-letter queue": lambda: self._remove("sqs", "delete_queue", QueueUrl=dead),
            "bucket": self._remove_bucket,
        }
        for kind in reversed(list(self.state.made)):
            say(f"removing: {kind}")
            try:
                removers[kind]()
            except (BotoCoreError, ClientError, SmokeFailed) as error:
                say(f"  It may still be there: {reason(error)}")
            else:
                self.state.forget(kind)
        return not self.state.made

    def _remove(self, service: str, operation: str, **params: Any) -> bool:
        """Whether there was something."""
        try:
            getattr(self.service(service), operation)(**params)
        except ClientError as error:
            if fault_of(error).code not in NOTHING_THERE:
                raise
            return False
        return True

    def _remove_runtime(self) -> None:
        # It is looked for by its name, for an answer that was lost has told no id; and twice, for such a
        # request may still be under way.
        for last in (False, True):
            pages = self.service(CONTROL).get_paginator("list_agent_runtimes").paginate()
            listed = [one for page in pages for one in page.get("agentRuntimes", ())]
            found = [one["agentRuntimeId"] for one in listed if one["agentRuntimeName"] == self.plan.runtime]
            for runtime in found:
                self._remove_one_runtime(runtime)
            if found or last:
                return
            self._pause("there is no such runtime")

    def _remove_one_runtime(self, runtime: str) -> None:
        for _ in range(120):
            try:
                if not self._remove(CONTROL, "delete_agent_runtime", agentRuntimeId=runtime):
                    return
            except ClientError as error:
                # It is being created, or removed.
                if fault_of(error).code != "ConflictException":
                    raise
            self._pause("the runtime is being removed")
        raise SmokeFailed("the runtime is still there; look at it in AgentCore's console.")

    def _remove_logs(self) -> None:
        pages = self.service("logs").get_paginator("describe_log_groups")
        for page in pages.paginate(logGroupNamePrefix=f"{LOGS}{self.plan.runtime}-"):
            for group in page.get("logGroups", ()):
                self._remove("logs", "delete_log_group", logGroupName=group["logGroupName"])

    def _remove_role(self) -> None:
        self._remove("iam", "delete_role_policy", RoleName=self.plan.name, PolicyName="rollouts")
        self._remove("iam", "delete_role", RoleName=self.plan.name)

    def _remove_bucket(self) -> None:
        owned = {"Bucket": self.plan.bucket, "ExpectedBucketOwner": self.plan.account}
        s3 = self.service("s3")
        try:
            for page in s3.get_paginator("list_objects_v2").paginate(**owned):
                if keys := [{"Key": stored["Key"]} for stored in page.get("Contents", ())]:
                    s3.delete_objects(**owned, Delete={"Objects": keys, "Quiet": True})
        except s3.exceptions.NoSuchBucket:
            return
        self._remove("s3", "delete_bucket", **owned)


def say(text: str) -> None:
    print(text, flush=True)


def reason(error: Exception) -> str:
    """A sentence about what was refused, and what to do."""
    said = isinstance(error, SmokeFailed | AgentCoreRLError | OSError)
    return str(error) if said else f"{fault_of(error).reason}."


# ── the command


def smoke(work: Smoke, *, keep: bool, built: Callable[[Path, str], Path] = build) -> int:
    """Create, run and remove, come what may.

    Args:
        work: what is to be done.
        keep: leave everything there.
        built: makes the zip.

    Returns:
        0 when all went well; 1 when something did not, or something is left; 130 after Ctrl-C.
    """
    code = 1
    try:
        with tempfile.TemporaryDirectory() as folder:
            say("building the zip")
            arn = work.create(built(Path(folder), work.plan.region))
        say(f"{arn} is READY; {len(NUMBERS)} rollouts")
        code = 0 if asyncio.run(work.run(arn)) else 1
    except KeyboardInterrupt:
        say("Interrupted.")
        code = 130
    except EXPECTED as error:
        say(reason(error))
    finally:
        if keep:
            say(f"Everything is kept, with its logs. Remove it with --cleanup {work.plan.name}")
        else:
            code = max(code, removed(work))
    if code == 1 and not keep:
        say("With --keep, the app's log stays to be read.")
    return code


def removed(work: Smoke) -> int:
    """Remove everything; 0 when nothing is left."""
    try:
        if work.cleanup():
            say("Nothing is left.")
            return 0
    except KeyboardInterrupt:
        say("Interrupted.")
    say(f"Left: {', '.join(work.state.made)}. Try again: --cleanup {work.plan.name}")
    return 1


def _dry_run(args: argparse.Namespace) -> int:
    plan = Plan("agentcore-rl-smoke-00000000", args.region or "us-west-2", "123456789012")
    say(plan.text())
    for call in plan.calls():
        check(call, plan.region)
        say(f"\n{call.service}.{call.operation}")
        say(json.dumps(call.params, indent=2))
    say("\nThese requests are valid for botocore. Nothing was sent.")
    return 0


def _cleanup(args: argparse.Namespace, every_s: float) -> int:
    state = State.read(args.state, args.cleanup)
    if (account := _account(state.plan.region)) != state.plan.account:
        raise SmokeFailed(
            f"{state.plan.name} is in account {state.plan.account}, these are keys of {account}."
        )
    return removed(Smoke(state, every_s=every_s))


def _account(region: str) -> str:
    return str(client("sts", region=region).get_caller_identity()["Account"])


def _region(named: str | None) -> str:
    session = botocore.session.get_session()
    region = named or os.environ.get("AWS_REGION") or session.get_config_variable("region")
    if not region:
        raise SmokeFailed("Which region? Say --region us-west-2, or set AWS_REGION.")
    if session.get_partition_for_region(region) != "aws":
        raise SmokeFailed(f"{region} is in a partition whose names this script does not know.")
    return str(region)


def _agreed() -> bool:
    try:
        return input("Create this, and remove it at the end? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        say("\nThere is nobody to ask; --yes agrees.")
        return False


def _parser() -> argparse.ArgumentParser:
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--region", help="where (default: AWS_REGION, or the profile's)")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--keep", action="store_true", help="leave everything there, for --cleanup later")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="show what would be sent; no account is needed")
    what.add_argument("--cleanup", metavar="NAME", help="remove what an earlier call left")
    parser.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        default=Path(home) / "agentcore-rl" / "smoke",
        help="where it stands what was created (default: %(default)s)",
    )
    return parser


def main(arguments: Sequence[str] | None = None, *, every_s: float = EVERY_S) -> int:
    """Do what the command line says; see the top of this file."""
    args = _parser().parse_args(arguments)
    try:
        if args.dry_run:
            return _dry_run(args)
        if args.cleanup:
            return _cleanup(args, every_s)
        region = os.environ["AWS_REGION"] = _region(args.region)
        plan = Plan(f"agentcore-rl-smoke-{secrets.token_hex(4)}", region, _account(region))
        say(plan.text())
        if not args.yes and not _agreed():
            say("Nothing was created.")
            return 1
        state = State(args.state / f"{plan.name}.json", plan)
        return smoke(Smoke(state, every_s=every_s), keep=args.keep)
    except EXPECTED as error:
        print(reason(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main())
