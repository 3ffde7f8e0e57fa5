"""Rows that core makes of a record are those that the gateway's own history makes of the same calls."""

import math
import random

import pytest

from agentcore_rl.codec import decode_record, encode_record
from agentcore_rl.export import Terms, account_of, rows_of
from agentcore_rl_gateway.engines.vllm import VLLM
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.token_in import TokenIn
from gateway_doubles import vllm
from gateway_fidelity import TOOL, EngineLog, Talk, bench
from made_rollouts import make_rollout
from made_vocabulary import made_vocabulary, sampled

VOCABULARY = made_vocabulary()
ALL = Terms(include_suspect=True)


def _record(done):
    """The record of a bench, written and read."""
    done.turns()
    transcript = done.recording.transcript
    made = make_rollout(
        messages=transcript.messages, tools=transcript.tools, trajectories=transcript.trajectories
    )
    return decode_record(encode_record(made, bucket="", key="k"))


def _plain(ids, logprobs):
    known = [None if value is None or math.isnan(value) else value for value in logprobs]
    return list(ids), known


def _edit(talk):
    """The client forgets its last exchange, and says something else."""
    del talk.messages[4:]
    talk.messages.append({"role": "user", "content": "No, begin again."})


@pytest.mark.parametrize("framework", ["sdk", "langgraph"])
@pytest.mark.parametrize("edits", [False, True], ids=["one branch", "branches"])
def test_the_same_rows(serve, framework, edits):
    """Ids and logprobs of every branch, and every sampled token trained once, by both accounts."""
    draw, said = random.Random(5), []
    log = EngineLog(lambda _: said.pop(0))
    with vllm(log) as server:
        desk = serve(TokenIn(VLLM(server.url), ChatMLHermes(VOCABULARY)))
        with bench(desk, log) as done:
            talk = Talk(framework=framework, tools=[TOOL])
            for turn in range(6):
                calls = [("write", '{"path":  "é"}')] if turn % 2 else []
                said.append((sampled(VOCABULARY, f" the other {turn}", calls, None, draw=draw), "stop"))
                talk.turn()
                if edits and turn == 3:
                    _edit(talk)
            rollout = _record(done)
            theirs = sorted(_plain(row.ids, row.logprobs) for row in done.rows())
            held = done.account()
    mine = rows_of(rollout, ALL)
    assert sorted(_plain(row.ids, row.logprobs) for row in mine) == theirs
    assert len(mine) == (2 if edits else 1)
    account = account_of(rollout, ALL)
    assert (account.sampled, account.trained) == (held.sampled, held.trained) == (log.sampled, log.sampled)
    assert sum(sum(row.mask) for row in mine) == account.trained
