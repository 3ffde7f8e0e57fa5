"""What fifty turns to 32,000 tokens leave on disk and in memory; `gateway.py` prints it for both modes."""

import json
from typing import Any

from gateway_subjects import Running

TURNS = 50
SESSIONS = 60
WORDS = "word and " * 228  # 512 tokens of four characters; an answer has 128


async def kept(one: Running) -> list[tuple[int, float, float]]:
    """Of one session after 25 and after 50 turns: (turns, bytes on disk, bytes of the process' memory).

    Many go on at the same time in a process that has served one before: what it grows by is theirs.
    """
    await _turns(one, [await _session(one, "first")], TURNS)
    talks = [await _session(one, f"s{number}") for number in range(SESSIONS)]
    disk, memory = _disk(one), one.memory()
    found = []
    for turns in (TURNS // 2, TURNS):
        await _turns(one, talks, TURNS // 2)
        found.append((turns, (_disk(one) - disk) / SESSIONS, (one.memory() - memory) / SESSIONS))
    for client, _ in talks:
        await client.close()
    return found


async def _session(one: Running, name: str) -> tuple[Any, list[Any]]:
    return await one.client_of(name), []


async def _turns(one: Running, talks: list[tuple[Any, list[Any]]], turns: int) -> None:
    for _ in range(turns):
        for client, messages in talks:
            messages.append({"role": "user", "content": f"{len(messages)} {WORDS}"})
            said, _ms = await one.call(json.dumps({"model": "m", "messages": messages}).encode(), client)
            answer = json.loads(said)["choices"][0]["message"]
            messages.append({name: answer[name] for name in ("role", "content")})


def _disk(one: Running) -> int:
    return sum(path.stat().st_size for path in one.folder.rglob("*.log"))
