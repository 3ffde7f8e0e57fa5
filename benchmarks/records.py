"""What a record takes: bytes, and CPU to encode, decode and write it, at 50 and 200 turns.

Each row is a rollout that was really made: an agent on a ScriptedModel whose prompt grows by a tool call and
its answer per turn, 500 tokens. It returns a text, or the rollout's own turns (`rollout_data`), also with a
model that gives the ids and logprobs of tokens. Write is the spool and then the store, with their fsyncs. A
ratio of 1.00 is linear: four times the turns take four times as much; below it the fixed cost shows.

    python benchmarks/records.py [--rounds N] [--folder DIRECTORY]
"""

import argparse
import contextlib
import gc
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import openai

from agentcore_rl.codec import decode_record, encode_record
from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.entrypoint import Entrypoint, RolloutLife
from agentcore_rl.recorder.scope import current_recorder
from agentcore_rl.recorder.turns_so_far import RolloutData
from agentcore_rl.recorder.wire import clients, openai_arguments
from agentcore_rl.rollout import Rollout, RolloutRequest, Status
from agentcore_rl.settings import Settings
from agentcore_rl.spool import Address, Spool, SpoolEntry
from agentcore_rl.stores import Notice
from agentcore_rl.stores.directory import DirectoryStore
from agentcore_rl.testing import Answer, ScriptedModel, ServedCall, ToolCall

FEW, MANY = 50, 200
ANSWER_TOKENS, TOOL_TOKENS = 100, 400
SECRETS = [Secret("key-of-the-rollout-000001"), Secret("IQoJb3JpZ2luX2VjEHc/" * 45)]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "search",
            "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
        },
    }
]
MODEL = openai.OpenAI(http_client=cast(Any, clients()[0]), **openai_arguments(agent="main", timeout_s=60.0))
IDS = [1000 + number * 7 % 150_000 for number in range((ANSWER_TOKENS + TOOL_TOKENS) * (MANY + 1))]


def line(call: ServedCall) -> Answer:
    """A tool call; where ids are asked for, the prompt's extend those of the turn before."""
    assert call.json is not None
    at = len(call.json["messages"]) // 2
    asked = call.json.get("return_token_ids")
    known = at * (ANSWER_TOKENS + TOOL_TOKENS) + TOOL_TOKENS
    return Answer(
        "thinking " * (ANSWER_TOKENS // 4),
        tool_calls=[ToolCall("search", {"query": f"{at} " + "word " * (ANSWER_TOKENS // 4)})],
        prompt_token_ids=IDS[:known] if asked else None,
        token_ids=IDS[known : known + ANSWER_TOKENS] if asked else None,
        logprobs=[-0.1234567 * (1 + n % 9) for n in range(ANSWER_TOKENS)] if asked else None,
        usage={"prompt_tokens": known, "completion_tokens": ANSWER_TOKENS, "total_tokens": known + 1},
    )


def agent(turns: int, returned: bool) -> Callable[[dict[str, Any]], Any]:
    """So many model calls, each answered by a tool."""

    def solve(payload: dict[str, Any]) -> Any:
        messages: list[Any] = [{"role": "user", "content": payload["prompt"]}]
        for number in range(turns):
            answer = MODEL.chat.completions.create(model="policy", messages=messages, tools=cast(Any, TOOLS))
            message = answer.choices[0].message.model_dump(exclude_none=True)
            found = f"found {number} " + "word " * (TOOL_TOKENS * 4 // 5)
            messages += [
                message,
                {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": found},
            ]
        return {"rollout_data": RolloutData(current_recorder()), "rewards": 1.0} if returned else "done"

    return solve


def made(base_url: str, turns: int, *, returned: bool = False, tokens: bool = False) -> Rollout:
    """A rollout of so many turns."""
    kept: list[Rollout] = []
    extra = {"return_token_ids": True, "logprobs": True} if tokens else {}
    request = RolloutRequest(
        run="run",
        task="t",
        sample=0,
        session="s" * 40,
        input_id="t.0",
        endpoint=Endpoint(base_url, "policy", api_key=SECRETS[0], extra_body=extra),
        payload={"prompt": "word " * TOOL_TOKENS},
    )
    entrypoint = Entrypoint.of(agent(turns, returned), None, declared=not returned)
    settings = Settings.from_environment({})
    life = RolloutLife(request, entrypoint, settings=settings, secrets=SECRETS, keep=kept.append)
    life.start()
    life.join()
    (rollout,) = kept
    assert rollout.status is Status.SUCCEEDED, rollout.failure
    assert len(rollout.turns) == turns
    assert (rollout.turns[0].stored.tokens is not None) is tokens
    return rollout


def least(function: Callable[[], object], rounds: int) -> float:
    """CPU milliseconds, the least of the rounds."""
    times = []
    for _ in range(rounds):
        gc.collect()
        before = time.process_time()
        function()
        times.append(1000 * (time.process_time() - before))
    return min(times)


def costs(rollout: Rollout, folder: Path, rounds: int) -> dict[str, float]:
    """Bytes of the record, and milliseconds of CPU for what is done with it."""
    content = encode_record(rollout, bucket="", key="run/t.0/s.json", secrets=SECRETS)
    spool, store = Spool(folder / "spool"), DirectoryStore(folder / "store")
    numbers = iter(range(sys.maxsize))
    notice = Notice("run", "t", 0, 0, "s" * 40, "run/t.0/s.json", len(content), "0" * 64, "succeeded", None)

    def write() -> None:
        key = f"run/t.0/{next(numbers)}.json"
        file = spool.add(SpoolEntry(Address(key, store.location, None, "", None, notice), content))
        store.put_if_absent(key, file.read().content)
        file.remove()

    taken = {
        "bytes": float(len(content)),
        "encode": least(lambda: encode_record(rollout, bucket="", key="k", secrets=SECRETS), rounds),
        "decode": least(lambda: decode_record(content), rounds),
        "write": least(write, rounds),
    }
    spool.close()
    shutil.rmtree(folder)
    return taken


def main() -> None:
    """Makes the rollouts, measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", help="where store and spool are made; the default is for temporary files")
    options = parser.parse_args()
    print(f"{'per turn, ' + str(FEW) + ' > ' + str(MANY) + ' turns':<26}", end="")
    print("".join(f"{head:>25}" for head in ("bytes", "encode ms", "decode ms", "write ms")))
    kinds: dict[str, dict[str, bool]] = {
        "text returned": {},
        "rollout_data returned": {"returned": True},
        "and with token ids": {"returned": True, "tokens": True},
    }
    with ScriptedModel(line) as model, contextlib.ExitStack() as closing:
        root = Path(closing.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        for kind, how in kinds.items():
            few, many = (
                {name: value / turns for name, value in costs(rollout, root / "c", options.rounds).items()}
                for turns in (FEW, MANY)
                for rollout in [made(model.base_url, turns, **how)]
            )
            model.take_calls()
            cells = [
                f"{few[name]:.{digits}f} > {many[name]:.{digits}f} = {many[name] / few[name]:.2f}"
                for name, digits in (("bytes", 0), ("encode", 4), ("decode", 4), ("write", 4))
            ]
            print(f"{kind:<26}" + "".join(f"{cell:>25}" for cell in cells))


if __name__ == "__main__":
    main()
