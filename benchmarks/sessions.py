"""What a session of the local runtime costs: forked beside spawned, alive by the thousand.

Starts sessions of a framework's math example (`examples/math_agent`) through `LocalLauncher`'s runtime or
through boto3 over HTTP, each answering one payload that its entrypoint refuses, so that no model is called.
CPU is user and system time of the processes named; memory is what a process has for itself (USS), and what
the machine has less (MemAvailable), per session.

    python benchmarks/sessions.py [--framework strands] [--alive 1000] [--spawned 4] [--boto3]
"""

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from agentcore_rl.adapter import ADAPTERS
from agentcore_rl.exceptions import SessionLost
from agentcore_rl.local_runtime import LocalRuntime
from agentcore_rl.local_runtime.gate import available_mib

EXAMPLES = Path(__file__).parent.parent / "examples" / "math_agent"
FRAMEWORKS = ("strands", "langgraph", "autogen", "crewai")
BARS = {"cpu": 0.03, "uss": 25.0, "whole": 0.06}
IDLE_S = 5.0
HEAD = """\
                            session: CPU s     front  together  MiB per session     first sessions  idle s to
framework  mode   alive lost    fork     run   CPU s     CPU s     USS    max taken     s    per s   CPU  end\
"""
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def process_cpu(pid: int) -> float:
    """User and system CPU seconds of a process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def uss_mib(pid: int) -> float:
    """Memory that a process shares with nobody."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def children(pid: int) -> list[int]:
    """Child processes of a process."""
    return [
        int(child)
        for listing in Path(f"/proc/{pid}/task").glob("*/children")
        for child in listing.read_text().split()
    ]


def own_cpu() -> float:
    """User and system CPU seconds of this process: the front and the client."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Caller:
    """Starts sessions, past HTTP or with boto3 over it."""

    def __init__(self, runtime: LocalRuntime, *, boto3: bool) -> None:
        self._runtime, self._client = runtime, None
        self._pool = ThreadPoolExecutor(16)
        if boto3:
            import boto3 as sdk
            from botocore.config import Config

            self._client = sdk.client(
                "bedrock-agentcore",
                endpoint_url=runtime.endpoint_url,
                region_name=runtime.region,
                aws_access_key_id="local",
                aws_secret_access_key="local",
                config=Config(max_pool_connections=16, read_timeout=300, retries={"total_max_attempts": 1}),
            )

    async def start(self, session: str) -> None:
        """Deliver a payload that the app refuses."""
        if self._client is None:
            status, _, _ = await self._runtime.invoke(session, b'{"prompt": 0}')
            assert status == 400, status
        else:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._invoke, session)

    def _invoke(self, session: str) -> None:
        client: Any = self._client
        try:
            client.invoke_agent_runtime(
                agentRuntimeArn=self._runtime.arn, runtimeSessionId=session, payload=json.dumps({"prompt": 0})
            )
        except client.exceptions.RuntimeClientError as error:
            if "(400)" not in str(error):
                raise


async def measure(framework: str, mode: Any, alive: int, *, boto3: bool) -> None:
    """Start so many sessions, 16 at a time, and print what they cost."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**ADAPTERS.import_env(), "AGENTCORE_RL_STORE": f"{folder}/store"}
        app = EXAMPLES / framework / "rl_app.py"
        runtime = LocalRuntime(
            str(app), directory=Path(folder), env=env, mode=mode, memory_floor_mib=1024, qualifiers={}
        )
        began, imported = time.monotonic(), 0.0
        async with runtime:
            caller = Caller(runtime, boto3=boto3)
            await caller.start(f"the-first-session-of-a-benchmark-{0:05}")
            server = children(os.getpid())[0] if mode == "fork" else None
            imported = process_cpu(server) if server else 0.0
            first_s = time.monotonic() - began
            before, memory, began = own_cpu(), available_mib() or 0.0, time.monotonic()
            gate, lost = asyncio.Semaphore(16), 0

            async def one(number: int) -> None:
                nonlocal lost
                async with gate:
                    try:
                        await caller.start(f"one-of-the-sessions-of-a-benchmark-{number:05}")
                    except SessionLost as error:
                        lost += 1
                        print(error, file=sys.stderr)

            await asyncio.gather(*(one(number) for number in range(alive)))
            wall_s = time.monotonic() - began
            front = (own_cpu() - before) / alive
            forking = (process_cpu(server) - imported) / alive if server else 0.0
            sessions = children(server or os.getpid())
            cpu = [process_cpu(pid) for pid in sessions]
            uss = sorted(uss_mib(pid) for pid in sessions)
            taken = (memory - (available_mib() or 0.0)) / alive
            await asyncio.sleep(IDLE_S)
            idle = sum(process_cpu(pid) for pid in sessions) - sum(cpu)
            began = time.monotonic()
        run = sum(cpu) / len(cpu)
        cells = [
            f"{framework:<10} {mode:<5} {len(sessions):>6} {lost:>4}",
            f"{forking:>7.4f} {run:>7.4f} {front:>7.4f} {forking + run + front:>9.4f}",
            f"{sum(uss) / len(uss):>7.1f} {uss[-1]:>6.1f} {taken:>5.1f}",
            f"{first_s:>5.1f} {alive / wall_s:>8.1f} {idle / IDLE_S:>5.2f} {time.monotonic() - began:>5.1f}",
        ]
        print(" ".join(cells), flush=True)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--framework", choices=[*FRAMEWORKS, "all"], default="all")
    parser.add_argument("--alive", type=int, default=100, help="forked sessions alive at once")
    parser.add_argument("--spawned", type=int, default=4, help="spawned sessions; 0: none")
    parser.add_argument("--boto3", action="store_true", help="call over HTTP with boto3")
    args = parser.parse_args()
    print(HEAD)
    for framework in FRAMEWORKS if args.framework == "all" else [args.framework]:
        asyncio.run(measure(framework, "fork", args.alive, boto3=args.boto3))
        if args.spawned:
            asyncio.run(measure(framework, "spawn", args.spawned, boto3=args.boto3))
    print(f"bars: session {BARS['cpu']} CPU s, {BARS['uss']} MiB USS, together {BARS['whole']} CPU s")


if __name__ == "__main__":
    main()
