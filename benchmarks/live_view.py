"""What the live view costs: CPU of the process that runs a batch, with the view and without.

    python benchmarks/live_view.py [ROLLOUTS] [ROUNDS]

An app in the local runtime asks a scripted model twice in each rollout; both ways take turns, and the least
of ROUNDS (default 3) is shown. The view draws on a terminal that is thrown away. CPU is user and system time
of this process, which holds client, view and the runtime's front; sessions are processes of their own.
"""

import asyncio
import io
import os
import sys
import tempfile
import time
from pathlib import Path

from agentcore_rl.batch import BatchRunner
from agentcore_rl.cli.live_view import LiveView
from agentcore_rl.cli.screen import Screen
from agentcore_rl.endpoint import Endpoint
from agentcore_rl.launchers.local import LocalLauncher
from agentcore_rl.stores.places import open_notices, open_store
from agentcore_rl.tasks import task_from_payload
from agentcore_rl.testing import Answer, ScriptedModel

APP = """
from agentcore_rl.aws.app import AgentCoreRLApp
from agentcore_rl.recorder.wire import PLACEHOLDER_URL, clients

app = AgentCoreRLApp()

@app.rollout_entrypoint(reward=lambda payload, output, rollout: 1.0)
def solve(payload):
    messages = [{"role": "user", "content": payload["prompt"]}]
    for _ in range(2):
        body = {"model": "policy", "messages": messages}
        answer = clients()[0].post(f"{PLACEHOLDER_URL}/chat/completions", json=body).json()
        messages += [answer["choices"][0]["message"], {"role": "user", "content": "And then?"}]
    return "done"
"""


class Nowhere(io.StringIO):
    """A terminal that keeps nothing."""

    def isatty(self) -> bool:
        """It is one."""
        return True

    def write(self, text: str) -> int:
        """Keep nothing."""
        return len(text)


async def batch(folder: Path, run: str, rollouts: int, url: str, view: bool) -> tuple[float, float]:
    """CPU and wall seconds of one batch, its app's start aside."""
    store = str(folder / "records")
    launcher = LocalLauncher(str(folder / "rl_app.py"), env={"AGENTCORE_RL_STORE": store, "BASE_URL": url})
    runner = BatchRunner(
        launcher,
        store=open_store(store),
        notices=open_notices(store, run=run),
        run=run,
        endpoint=Endpoint(url, "scripted"),
        concurrency=4,
        folder=folder / "records" / run,
    )
    shown = LiveView(run, store, lambda: runner.progress, Screen(Nowhere())) if view else None
    cpu = wall = 0.0
    try:
        async with runner:
            if shown:
                shown.__enter__()
            async for outcome in runner.run([task_from_payload({"prompt": f"{n}"}) for n in range(rollouts)]):
                cpu, wall = cpu or time.process_time(), wall or time.monotonic()
                if shown:
                    shown.hear(outcome)
    finally:
        if shown:
            await asyncio.to_thread(shown.__exit__)
        spent = time.process_time() - cpu, time.monotonic() - wall
        await launcher.aclose()
    return spent


def main() -> None:
    rollouts = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    spent: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as place, ScriptedModel(lambda call: Answer("It is 4.")) as model:
        os.chdir(place)
        Path("rl_app.py").write_text(APP)
        for number in range(rounds):
            for view in (False, True):
                run = f"run-{number}-{view}".lower()
                spent[view].append(asyncio.run(batch(Path(place), run, rollouts, model.base_url, view)))
    best = {
        view: (min(cpu for cpu, _ in each), min(wall for _, wall in each)) for view, each in spent.items()
    }
    print(f"{rollouts} rollouts{'':<8}{'CPU s':>8}{'wall s':>8}{'CPU ms per wall s':>20}")
    for view, name in ((False, "without view"), (True, "with the view")):
        cpu, wall = best[view]
        print(f"{name:<20}{cpu:>8.2f}{wall:>8.1f}{1000 * cpu / wall:>20.0f}")
    more = best[True][0] - best[False][0]
    print(f"the view's own: {1000 * more:+.0f} ms of CPU, {more / best[True][1]:+.1%} of one core")


if __name__ == "__main__":
    main()
