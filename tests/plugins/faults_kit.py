"""The fault matrix: what is done to a batch, and what came of its rollouts, as a table at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentcore_rl.batch import BatchRunner, Pace
from agentcore_rl.codec import decode_record
from agentcore_rl.launchers.url import URLLauncher
from agentcore_rl.outcome import RolloutOutcome
from agentcore_rl.rollout import Status
from agentcore_rl.stores.places import open_notices, open_store
from agentcore_rl.tasks import Task, task_from_payload
from app_process import AppProcess
from aws_services import AWSServices

PACE = Pace(
    hear_s=0.5, list_s=1.0, look_s=0.1, grace_s=0.2, idle_s=30, again_s=0.05, start_s=60, store_s=60, ears=2
)
ROWS: list[dict[str, Any]] = []
OPEN: list[URLLauncher] = []
"""Launchers that are to be closed when their test has ended."""


def tasks(number: int, *, seconds: float = 0.05, **fields: Any) -> list[Task]:
    """Some tasks."""
    return [task_from_payload({"id": f"t{n}", "seconds": seconds, **fields}) for n in range(number)]


@dataclass
class World:
    """One bucket, one queue, and an app that puts its records there."""

    aws: AWSServices
    bucket: str
    queue: str
    app: AppProcess | None = None

    @property
    def location(self) -> str:
        return f"s3://{self.bucket}"

    def batch(self, run: str, launcher: Any = None, *, heard: bool = True, **options: Any) -> BatchRunner:
        """A batch whose records and notices are in S3 and SQS."""
        if launcher is None:
            assert self.app is not None
            launcher = URLLauncher(self.app.base_url)
            OPEN.append(launcher)
        queue = self.queue if heard else None
        options = {"concurrency": 16, "pace": PACE, "run": run, **options}
        return BatchRunner(
            launcher,
            store=open_store(self.location),
            notices=open_notices(self.location, run=run, queue=queue) if queue else None,
            **options,
        )

    def judge(self, what: str, run: str, outcomes: list[RolloutOutcome], asked: int) -> None:
        """Nothing is lost, nothing is doubled: one outcome per rollout, one whole record per attempt."""
        delivered = [outcome.request.rollout_id for outcome in outcomes]
        keys = [
            key for key in self.aws.keys(self.bucket) if key.startswith(f"{run}/") and key.count("/") == 2
        ]
        s3 = self.aws.client("s3")
        records = []
        for key in keys:
            content = s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            try:
                records.append(decode_record(content))
            except Exception:  # noqa: BLE001 - what is not ours does not count
                continue
        stored = {record.input_id for record in records}
        row = add_row(what, asked, len(stored), len(delivered), sum(outcome.attempts for outcome in outcomes))
        failed = [outcome for outcome in outcomes if outcome.status is not Status.SUCCEEDED]
        assert not failed, failed[0].failure
        assert len(set(delivered)) == len(delivered)
        assert set(delivered) <= stored
        assert (row["delivered"], row["lost"], row["doubled"]) == (asked, 0, 0), row


def add_row(fault: str, rollouts: int, stored: int, delivered: int, attempts: int) -> dict[str, Any]:
    """A line of the table; it says what was lost and doubled."""
    row = {
        "fault": fault,
        "rollouts": rollouts,
        "stored": stored,
        "delivered": delivered,
        "lost": rollouts - min(stored, delivered, rollouts),
        "doubled": max(0, delivered - rollouts),
        "attempts": attempts,
    }
    ROWS.append(row)
    return row


def table() -> list[str]:
    """All lines."""
    columns = ["fault", "rollouts", "stored", "delivered", "lost", "doubled", "attempts"]
    rows = [columns, *([str(row[name]) for name in columns] for row in ROWS)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(columns))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
