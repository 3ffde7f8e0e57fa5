"""A gateway that is killed at a random moment under load, and what of its answers its log still has.

python tests/plugins/gateway_crash.py 100      # a hundred kills, one line each
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiohttp

from agentcore_rl.testing import Answer, ScriptedModel
from agentcore_rl_gateway.log import CallAnswered, CallLog, read_log
from agentcore_rl_gateway.past import whole_turns

_SERVE = """
import sys
from pathlib import Path
from agentcore_rl_gateway.engines.capture import Capture
from agentcore_rl_gateway.serving import GatewayServer, Options

server = GatewayServer(Capture(sys.argv[1]), Options(Path(sys.argv[2]), admin_key="k"))
server.serve(lambda: print(server.base_url, flush=True))
"""


async def _load(url: str, answered: list[dict[str, Any]], stop_after: float, pid: int) -> None:
    """Calls of eight conversations, streamed and not, until the gateway is killed."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as client:
        root, keys = url.removesuffix("/v1"), []
        for number in range(8):
            asked = {"session": f"s{number}"}
            headers = {"authorization": "Bearer k"}
            async with client.post(root + "/control/sessions", json=asked, headers=headers) as answer:
                keys.append((await answer.json())["key"])

        async def converse(key: str, stream: bool) -> None:
            messages = [{"role": "user", "content": "begin"}]
            headers = {"authorization": f"Bearer {key}", "agentcore-rl-tokens": "new"}
            while True:
                body = {"model": "m", "messages": messages, "stream": stream}
                async with client.post(url + "/chat/completions", json=body, headers=headers) as answer:
                    text = await answer.text()
                if stream:
                    if "[DONE]" not in text:
                        return
                    chunks = [
                        json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")
                    ]
                    (said,) = [chunk for chunk in chunks if "agentcore_rl" in chunk]
                else:
                    said = json.loads(text)
                answered.append({"id": said["id"], "ids": said["agentcore_rl"]["answer"]})
                messages = [
                    *messages,
                    {"role": "assistant", "content": "x"},
                    {"role": "user", "content": "on"},
                ]

        async def kill() -> None:
            await asyncio.sleep(stop_after)
            os.kill(pid, signal.SIGKILL)

        calls = [converse(key, bool(at % 2)) for at, key in enumerate(keys)]
        await asyncio.gather(kill(), *calls, return_exceptions=True)


def crash(model_url: str, folder: Path, seconds: float) -> tuple[int, int, int]:
    """One kill: answered calls, those of them that the log lacks, and bytes of a torn tail that were cut.

    Every turn in the log is put together whole as well, which fails where a part of one is there.
    """
    command = [sys.executable, "-c", _SERVE, model_url, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        answered: list[dict[str, Any]] = []
        asyncio.run(_load(url, answered, seconds, process.pid))
    with CallLog(folder) as log:
        list(log.replay())
        cut = log.cut
    entries = [entry for entry in read_log(folder) if isinstance(entry, CallAnswered)]
    known = {entry.response_id: entry.answer for entry in entries}
    packed = {one["id"]: b"".join(i.to_bytes(4, "little") for i in one["ids"]) for one in answered}
    missing = sum(known.get(name) != ids for name, ids in packed.items())
    for session in {entry.session for entry in entries}:
        mine = [entry for entry in entries if entry.session == session]
        turns = list(whole_turns(mine))
        assert len(turns) == len(mine)
        for turn in turns:
            json.loads(turn.messages)
            assert turn.logprobs is not None
            assert len(turn.logprobs) == len(turn.answer)
    return len(answered), missing, cut


def main(kills: int) -> int:
    """Kill so many gateways; the count of missing answers."""
    missing = 0
    with ScriptedModel(lambda _: Answer("x")) as model:
        for number in range(kills):
            with tempfile.TemporaryDirectory() as folder:
                answered, lost, cut = crash(model.base_url, Path(folder) / "log", random.uniform(0.02, 0.5))
            missing += lost
            model.take_calls()
            print(f"kill {number + 1}: {answered} answered, {lost} missing, {cut} bytes of a torn tail cut")
    print(f"{kills} kills: {missing} answered calls missing from the log")
    return missing


if __name__ == "__main__":
    sys.exit(1 if main(int(sys.argv[1]) if len(sys.argv) > 1 else 100) else 0)
