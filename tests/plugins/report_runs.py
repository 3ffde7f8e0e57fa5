"""Runs of made records, in memory, and what a report's page carries, read back."""

import gzip
import re
from base64 import b85decode
from collections.abc import Iterable, Iterator

from agentcore_rl.codec import encode_record
from agentcore_rl.read import Run
from agentcore_rl.rollout import Rollout
from agentcore_rl.stores import StoredObject

__all__ = ["carried", "run_of"]


class KeptRecords:
    """A record store in memory, which takes any key."""

    location = "kept"

    def __init__(self, records: dict[str, bytes]) -> None:
        self._records = records

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[StoredObject]:
        for key, content in sorted(self._records.items()):
            if key.startswith(prefix) and key > after:
                yield StoredObject(key, len(content))

    def get(self, key: str) -> bytes:
        return self._records[key]


def run_of(rollouts: Iterable[Rollout], run: str = "run", **records: bytes) -> Run:
    """A run of these rollouts, and of these further objects by the name of their rollout."""
    kept = {f"{run}/{name}/x.json": content for name, content in records.items()}
    for rollout in rollouts:
        key = f"{run}/{rollout.input_id}/{rollout.session}.json"
        kept[key] = encode_record(rollout, bucket="", key=key)
    return Run(KeptRecords(kept), run)


def carried(page: str, name: str) -> bytes:
    """What the block of this id holds."""
    [packed] = re.findall(rf'<script type="application/x-gzip" id="{name}">([^<]*)</script>', page)
    return gzip.decompress(b85decode(packed.replace(",", "<")))
