"""What a report of many rollouts takes: to write, and in a browser.

The rollouts are made up, as large as real ones: 3 to 8 turns with tool calls, some of them wrong, and 300
sampled tokens with logprobs. Their ids are drawn evenly, which no real text's are: they compress worst. They
come from a store that makes a record when it is read: no disk is measured, and the making is left out. With
Chromium installed, the file is opened from disk as a reader would.

    python benchmarks/report.py [--rollouts N] [--out FILE]
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from agentcore_rl.codec import encode_record
from agentcore_rl.read import Run
from agentcore_rl.report import write_report
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import (
    Crosscheck,
    Failure,
    FailureKind,
    HTTPAttempt,
    PromptRef,
    Rollout,
    Status,
    StopReason,
    Timings,
    Tokens,
    ToolExecution,
    Trajectory,
    Turn,
    Usage,
)
from agentcore_rl.stores import StoredObject

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "plugins"))

from chromium import FLAGS, chromium_path

SAMPLED = 300
WORDS = (
    "the order of this customer was shipped on Monday and should arrive tomorrow please check our policy "
    "before you refund anything because a payment that has been returned twice cannot be traced later when "
    "did they write and which address was used for account number delivered status search list price total"
).split()
ROUNDS = 5


def raw(value: Any) -> msgspec.Raw:
    """A value as raw JSON."""
    return msgspec.Raw(msgspec.json.encode(value))


def tool(name: str, **properties: Any) -> dict[str, Any]:
    """A tool as requests offer it."""
    schema = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


TOOLS = raw(
    [
        tool("get_order", order={"type": "string"}),
        tool("search", query={"type": "string"}, limit={"type": "integer"}),
        tool(
            "refund", order={"type": "string"}, amount={"type": "number"}, reason={"enum": ["late", "other"]}
        ),
    ]
)


class MadeStore:
    """Makes the record of a key when it is read: always the same."""

    location = "made"

    def __init__(self, rollouts: int) -> None:
        self._rollouts = rollouts
        self.bytes = 0
        self.cpu_s = 0.0

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        """The keys of the run."""
        for number in range(self._rollouts):
            yield StoredObject(f"run/task-{number // 4:05}.{number % 4}/session-{number:033}.json", 0)

    def get(self, key: str) -> bytes:
        """The record."""
        before = time.process_time()
        content = encode_record(made(int(key[-38:-5])), bucket="", key=key)
        self.cpu_s += time.process_time() - before
        self.bytes += len(content)
        return content

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Nothing is put here."""
        raise NotImplementedError


def words(chance: random.Random, most: int) -> str:
    """A text of so many words at most."""
    return " ".join(chance.choices(WORDS, k=chance.randint(most // 2, most)))


def made_call(chance: random.Random, turn: int) -> dict[str, Any]:
    """A tool call; one of twenty is wrong."""
    order = f"A{chance.randrange(10_000)}"
    name, arguments = chance.choice(
        [
            ("get_order", {"order": order}),
            ("search", {"query": words(chance, 8), "limit": 5}),
            ("refund", {"order": order, "amount": chance.randrange(100), "reason": "late"}),
        ]
    )
    text = json.dumps(arguments)
    if chance.random() < 0.05:
        name, text = chance.choice([(name, text[:-2]), ("orders", text), (name, "{}")])
    function = {"name": name, "arguments": text}
    return {"id": f"call-{turn}-{chance.getrandbits(40):010x}", "type": "function", "function": function}


def made(number: int) -> Rollout:
    """The rollout of this number."""
    chance = random.Random(number)
    turns = chance.randint(3, 8)
    messages = [raw({"role": "system", "content": words(chance, 60)})]
    messages += [raw({"role": "user", "content": words(chance, 40)})]
    stored: list[Turn] = []
    new, keep, known, at = [0, 1], 0, 0, 0.1
    for turn in range(turns):
        calls = [made_call(chance, turn)] if turn < turns - 1 else []
        answer = {"role": "assistant", "content": words(chance, 30)}
        messages.append(raw(answer | {"tool_calls": calls} if calls else answer))
        sampled, given = SAMPLED // turns, 60 if turn == 0 else 15
        ids = [array("I", (chance.randrange(49_152) for _ in range(count))) for count in (given, sampled)]
        logprobs = array("d", (-(chance.expovariate(2.0) ** 1.7) for _ in range(sampled)))
        took = 0.1 + chance.expovariate(1.0)
        stored.append(
            Turn(
                id=turn,
                parent=turn - 1 if turn else None,
                agent="main",
                prompt=PromptRef(keep, new),
                answer=len(messages) - 1,
                tools=0,
                model="policy",
                sampling={"temperature": 1.0},
                asked={},
                finish_reason="tool_calls" if calls else "stop",
                usage=Usage(known + given, sampled),
                response_id=f"chatcmpl-{chance.getrandbits(64):016x}",
                tokens=Tokens(known, ids[0], ids[1], logprobs),
                policy_version=number % 3,
                executions=[
                    ToolExecution(call["id"], call["function"]["name"], seconds=0.01) for call in calls
                ],
                http=[HTTPAttempt(at, took, 200, None, True)],
                scope="rollout",
                source="wire",
                labels={},
                suspect=[],
                started_s=at,
                seconds=took,
            )
        )
        known, keep, at = known + given + sampled, keep + len(new), at + took
        new = [len(messages) - 1]
        for call in calls:
            messages.append(raw({"role": "tool", "tool_call_id": call["id"], "content": words(chance, 30)}))
            new.append(len(messages) - 1)
    broke = chance.random() < 0.05
    failure = Failure(FailureKind.AGENT, f"KeyError: A{chance.randrange(10_000)}.", "KeyError", "Traceback")
    task, sample = f"task-{number // 4:05}", number % 4
    return Rollout(
        run="run",
        task=task,
        sample=sample,
        attempt=0,
        session=f"session-{number:033}",
        input_id=f"{task}.{sample}",
        status=Status.FAILED if broke else Status.SUCCEEDED,
        stop_reason=StopReason.FINISHED,
        failure=failure if broke else None,
        messages=messages,
        tools=[TOOLS],
        trajectories=[Trajectory("main", None, stored)],
        reward=None if broke else Reward(round(chance.random(), 2)),
        output=words(chance, 30),
        suspect=[],
        usage=Usage(sum(turn.usage.prompt_tokens or 0 for turn in stored if turn.usage), SAMPLED),
        timings=Timings(1_767_225_600.0 + number, at, 0.01, at + 0.02),
        model="policy",
        policy_versions=[number % 3],
        software={"agentcore-rl": "0.1.0", "agentcore-rl-strands": "0.1.0"},
        crosscheck=Crosscheck(turns, collected=True),
        counts={},
        trace_id=None,
        payload={"prompt": words(chance, 40)},
    )


def written(rollouts: int, path: Path) -> None:
    """Write the report, and print what that took."""
    store = MadeStore(rollouts)
    run = Run(store, "run")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    report = write_report([run], path)
    taken = time.process_time() - begun - store.cpu_s
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{'rollouts':<28}{rollouts:>10,}")
    print(f"{'records, MB':<28}{store.bytes / 1e6:>10.1f}")
    print(f"{'report, MB':<28}{report.size / 1e6:>10.1f}  {report.size / store.bytes:.2f} of the records")
    print(f"{'writing, CPU s':<28}{taken:>10.1f}  {1000 * taken / rollouts:.2f} ms a rollout")
    print(f"{'memory on top, MiB':<28}{grown:>10.0f}")


def opened(path: Path, rollouts: int) -> None:
    """Open the report in Chromium, and print how long what a reader does takes."""
    browser_path = chromium_path()
    if browser_path is None:
        print("There is no Chromium here: what the browser takes is not measured.")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        taken: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            page = browser.new_page()
            page.goto(path.as_uri(), wait_until="commit")
            page.wait_for_selector("body[data-ready]", state="attached")
            taken.setdefault("ready", []).append(float(page.evaluate("document.body.dataset.ready")))
            page.wait_for_load_state("load")
            taken.setdefault("whole", []).append(
                page.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart")
            )
            for name, address in {
                "table": "view=rollouts",
                "sort": "view=rollouts&sort=-reward",
                "search": "view=rollouts&q=refund+damaged",
                "filter": "view=rollouts&error=any&min=0.5",
            }.items():
                taken.setdefault(name, []).append(shown(page, address))
            for number in range(0, rollouts, max(1, rollouts // 5)):
                address = f"view=rollout&id=task-{number // 4:05}.{number % 4}"
                taken.setdefault("open a transcript", []).append(shown(page, address))
                taken.setdefault("its tokens", []).append(shown(page, f"{address}&tokens=1"))
            page.close()
        browser.close()
    for name, times in taken.items():
        middle = sorted(times)[len(times) // 2]
        print(f"{name + ', ms':<28}{middle:>10.0f}  {min(times):.0f} to {max(times):.0f}")


def shown(page: Any, address: str) -> float:
    """Milliseconds from following a link to the frame after everything it shows is drawn."""
    return float(
        page.evaluate(
            """(address) => new Promise((then) => {
              const begun = performance.now();
              location.hash = address;
              const look = () => document.body.dataset.shown === location.hash
                ? requestAnimationFrame(() => then(performance.now() - begun)) : setTimeout(look, 1);
              look();
            })""",
            address,
        )
    )


def main() -> None:
    """Writes, opens, prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rollouts", type=int, default=10_000)
    parser.add_argument("--out", help="keep the report there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(options.out or Path(folder) / "report.html").absolute()
        written(options.rollouts, path)
        opened(path, options.rollouts)


if __name__ == "__main__":
    main()
