"""A thousand sessions of 30 to 90 s at 25 starts a second, beside agentcore-rl-toolkit's client.

    python benchmarks/scale.py                      three clients, one after the other, about 8 minutes
    python benchmarks/scale.py --rollouts 100 --seconds 3-9        small
    python benchmarks/scale.py --memory             our client's memory along 10,000 rollouts, 4 minutes

Each client runs in a process of its own against tests/plugins/fake_agentcore.py in another: AgentCore
Runtime whose agent is a timer, S3 and SQS, with a cold start of 0.5 s and AgentCore's quotas. The ideal
schedule starts rollout i at i/25 s, and hears of it the moment it is stored.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "plugins"))

COLD_START_S, RATE = 0.5, 25.0
CLIENTS = {
    "ours": "agentcore-rl, S3 and SQS",
    "listing": "agentcore-rl, S3 alone (LIST)",
    "peer": f"agentcore-rl-toolkit {version('agentcore-rl-toolkit')}, run_batch_async (HEAD)",
}
# USD per million calls, us-east-1: S3 PUT/LIST, S3 GET/HEAD, SQS standard.
PRICES = {
    "PutObject": 5.0,
    "ListObjectsV2": 5.0,
    "GetObject": 0.4,
    "HeadObject": 0.4,
    "SendMessage": 0.4,
    "ReceiveMessage": 0.4,
    "DeleteMessageBatch": 0.4,
    "ChangeMessageVisibilityBatch": 0.4,
}


def durations(args: argparse.Namespace) -> list[float]:
    """How long each rollout takes; the same for every client."""
    low, _, high = args.seconds.partition("-")
    chance = random.Random(1)
    return [chance.uniform(float(low), float(high or low)) for _ in range(args.rollouts)]


# The clients, each in a process of its own


async def ours(args: argparse.Namespace, queue: str | None) -> dict[str, float]:
    """When each record was delivered, by key (wall clock)."""
    import fake_agentcore
    from agentcore_rl.aws.launcher import AgentCoreLauncher
    from agentcore_rl.batch import BatchRunner
    from agentcore_rl.limits import Limiter, Quotas
    from agentcore_rl.stores.places import open_notices, open_store
    from agentcore_rl.tasks import task_from_payload

    location = f"s3://{fake_agentcore.BUCKET}"
    launcher = AgentCoreLauncher(
        fake_agentcore.ARN, limiter=Limiter(Quotas(args.rate, max(200.0, 4 * args.rate), args.sessions))
    )
    runner = BatchRunner(
        launcher,
        store=open_store(location),
        notices=open_notices(location, run="bench", queue=queue) if queue else None,
        run="bench",
        concurrency=args.sessions,
        folder=Path(args.folder) / "run",
    )
    tasks = [task_from_payload({"id": f"t{n}", "seconds": took}) for n, took in enumerate(durations(args))]
    heard: dict[str, float] = {}
    async with runner:
        async for outcome in runner.run(tasks):
            if args.memory:
                note_memory(runner.progress.done)
            else:
                heard[outcome.request.key] = time.time()
    await launcher.aclose()
    return heard


MEMORY: dict[int, float] = {}


def note_memory(done: int) -> None:
    """Note how much memory this process has, now and then."""
    if done % 1000 == 0:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        MEMORY[done] = pages * resource.getpagesize() / 2**20


async def peer(args: argparse.Namespace) -> dict[str, float]:
    """The same of agentcore-rl-toolkit's client, as its documentation uses it."""
    from agentcore_rl_toolkit import RolloutClient

    import fake_agentcore

    client = RolloutClient(
        fake_agentcore.ARN, fake_agentcore.BUCKET, "bench", tps_limit=int(args.rate), max_pool_connections=100
    )
    heard: dict[str, float] = {}
    payloads = [{"seconds": took} for took in durations(args)]
    async for item in client.run_batch_async(payloads, max_concurrent_sessions=args.sessions):
        if item.success:
            heard[item.result["result_key"]] = time.time()
    return heard


def client(args: argparse.Namespace) -> None:
    """Run one client and print what it heard."""
    if args.client == "peer":
        heard = asyncio.run(peer(args))
    else:
        heard = asyncio.run(ours(args, args.queue if args.client == "ours" else None))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    said = {
        "heard": heard,
        "memory": MEMORY,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "rss_mib": usage.ru_maxrss / 1024,
    }
    Path(args.folder, "said.json").write_text(json.dumps(said))


# The bench


def measure(name: str, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run one client against a fresh service."""
    import fake_agentcore

    options = ["--cold-start", str(COLD_START_S), "--rate", str(args.rate), "--sessions", str(args.sessions)]
    options += ["--calls", str(max(200.0, 4 * args.rate))]
    options += [] if name == "ours" else ["--no-notices"]
    folder.mkdir(parents=True)
    with fake_agentcore.running(*options) as service:
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": service.url,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "us-west-2",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        words = ["--client", name, "--queue", service.queue_url, "--folder", str(folder)]
        for option in ("rollouts", "seconds", "rate", "sessions"):
            words += [f"--{option}", str(getattr(args, option))]
        words += ["--memory"] if args.memory else []
        process = subprocess.Popen([sys.executable, __file__, *words], env=environment)
        said_at = time.monotonic()
        while process.poll() is None:
            time.sleep(0.2)
            if time.monotonic() - said_at > 10:
                said_at = time.monotonic()
                counts = service.counts()
                line = f"{CLIENTS[name]}: {len(counts['began'])} begun, {len(counts['stored'])} stored"
                print(f"\r\x1b[2K{line}", end="", file=sys.stderr, flush=True)
        print("\r\x1b[2K", end="", file=sys.stderr)
        counts = dict(service.counts())
    if process.returncode:
        raise SystemExit(f"{CLIENTS[name]} ended with {process.returncode}.")
    return {**counts, **json.loads((folder / "said.json").read_text())}


def row(name: str, found: dict[str, Any], args: argparse.Namespace) -> list[str]:
    """A client's line of the table."""
    heard, stored = found["heard"], found["stored"]
    lags = sorted(heard[key] - stored[key] for key in heard)
    first = min(found["began"].values()) - COLD_START_S
    ideal = max(n / args.rate + COLD_START_S + took for n, took in enumerate(durations(args)))
    total = max(heard.values()) - first
    calls = {operation: count for operation, count in found["calls"].items() if operation in PRICES}
    price = sum(PRICES[operation] * count for operation, count in calls.items()) / args.rollouts
    last_start = max(found["began"].values()) - COLD_START_S - first
    return [
        CLIENTS[name],
        f"{len(heard)}",
        f"{(args.rollouts - 1) / last_start if last_start else 0:.1f}",
        f"{total:.1f}",
        f"{total / ideal:.3f}",
        f"{statistics.fmean(lags):.2f}",
        f"{lags[int(len(lags) * 0.99) - 1]:.2f}",
        f"{lags[-1]:.2f}",
        f"{sum(calls.values()) / args.rollouts:.1f}",
        f"{price:.2f}",
        f"{found['throttled']}",
        f"{found['cpu_s'] / args.rollouts * 1000:.0f}",
        f"{found['rss_mib']:.0f}",
    ]


HEADINGS = [
    "client",
    "delivered",
    "starts/s",
    "total s",
    "of ideal",
    "lag mean s",
    "p99",
    "max",
    "S3+SQS calls",
    "USD/M rollouts",
    "throttled",
    "CPU ms",
    "RSS MiB",
]


def show(rows: list[list[str]]) -> None:
    """Print the table; calls, price and CPU are per rollout."""
    widths = [max(len(line[at]) for line in (HEADINGS, *rows)) for at in range(len(HEADINGS))]
    for line in (HEADINGS, *rows):
        cells = [
            cell.ljust(width) if not at else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells))


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=int, default=1000)
    parser.add_argument("--seconds", default="30-90", help="how long a rollout takes, from-to")
    parser.add_argument("--rate", type=float, default=RATE, help="new sessions per second")
    parser.add_argument("--sessions", type=int, default=5000, help="sessions alive at once")
    parser.add_argument("--only", choices=CLIENTS, action="append", help="some of the clients")
    parser.add_argument("--memory", action="store_true", help="ours alone, along 10,000 rollouts")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--queue", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.client:
        client(args)
        return
    import tempfile

    with tempfile.TemporaryDirectory() as root:
        rows = []
        if args.memory:
            args.rollouts, args.rate, args.seconds, args.sessions = 10_000, 50.0, "0.5-1.5", 200
            found = measure("ours", args, Path(root) / "memory")
            print("rollouts delivered  RSS MiB of the client")
            for done, mib in found["memory"].items():
                print(f"{int(done):>18,}  {mib:.1f}")
            print(f"CPU per rollout: {found['cpu_s'] / args.rollouts * 1000:.0f} ms")
            return
        for name in args.only or CLIENTS:
            rows.append(row(name, measure(name, args, Path(root) / name), args))  # noqa: PERF401 - slow
        show(rows)


if __name__ == "__main__":
    main()
