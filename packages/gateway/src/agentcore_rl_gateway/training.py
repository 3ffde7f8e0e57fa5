"""A session's training rows, made from the log alone: the same after a restart, in either mode."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import Any

import msgspec

from agentcore_rl_gateway.call import PastTurn
from agentcore_rl_gateway.history.forms import Served
from agentcore_rl_gateway.history.rows import Account, Node, Row, account_of, rows_of
from agentcore_rl_gateway.lineage import unpacked
from agentcore_rl_gateway.log import CallLog
from agentcore_rl_gateway.past import past_turns
from agentcore_rl_gateway.sessions import Session

__all__ = ["nodes_of", "rows_told"]

_NOTHING_SERVED = Served(b"", None, b"", b"", None)  # rows do not ask what was said


def rows_told(log: CallLog, session: Session) -> bytes:
    """What `GET /control/sessions/ID/rows` answers, as JSON.

    `rows`: one for each branch, with `ids`, `mask` (1: train), `logprobs` (null where there is none),
    `response_ids` and `policy_versions` (lowest and highest, or null).
    `account`: where each sampled id went; `sampled` = `trained` + the sum of `masked` + `partial`.
    """
    sampled, failed = session.counts.sampled, session.counts.partial
    nodes = nodes_of(past_turns(log, session), session)
    known = sum(len(node.answer) for node in nodes)
    account = account_of(nodes, known)
    masked = dict(account.masked)
    if sampled - failed > known:
        masked["no_prompt_ids"] = sampled - failed - known
    told = Account(sampled, account.trained, masked, account.partial + failed)
    return msgspec.json.encode(
        {
            "session": session.id,
            "rows": [_told(row) for row in rows_of(nodes)],
            "account": {
                "sampled": told.sampled,
                "trained": told.trained,
                "masked": told.masked,
                "partial": told.partial,
                "holds": told.holds,
            },
        }
    )


def nodes_of(turns: Iterable[PastTurn], session: Session) -> list[Node]:
    """These turns as what each adds to its parent, in the order of the log."""
    nodes: list[Node] = []
    by_id: dict[str, tuple[int, int]] = {}  # response id -> node, and the length of its prompt and answer
    for turn in turns:
        parent, before = by_id.get(turn.parent or "", (None, 0))
        prompt = unpacked(turn.prompt)
        values = turn.logprobs
        node = Node(
            id=len(nodes),
            parent=parent,
            added=array("I", prompt[before:]),
            answer=array("I", turn.answer),
            logprobs=None if values is None else array("d", [math.nan if v is None else v for v in values]),
            depth=0,
            place=0,
            tools=b"",
            served=_NOTHING_SERVED,
            response_id=turn.response_id,
            policy_version=turn.policy_version,
            masked=tuple(turn.masked),
            partial=False,
            delivered=not session.is_lost(turn.response_id),
        )
        if parent is not None:
            nodes[parent].continued = True
        by_id[turn.response_id] = node.id, len(prompt) + len(node.answer)
        nodes.append(node)
    return nodes


def _told(row: Row) -> dict[str, Any]:
    return {
        "ids": row.ids.tolist(),
        "mask": row.mask.tolist(),
        "logprobs": [None if math.isnan(value) else value for value in row.logprobs],
        "response_ids": row.response_ids,
        "policy_versions": row.policy_versions,
    }
