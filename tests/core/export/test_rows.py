"""Rows from records: every branch once, every sampled token once, and what is missing is masked."""

import dataclasses
import math
from array import array
from collections import Counter

import pytest
from hypothesis import given, settings

from agentcore_rl.codec import decode_record, encode_record
from agentcore_rl.export import Account, Terms, account_of, rows, rows_of
from agentcore_rl.export.branches import is_partial
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Failure, FailureKind, Status
from made_branches import Session, asked, forked, said, sessions, stored_run, talk, with_logprobs, without_ids
from made_rollouts import golden_rollout, make_rollout

ALL = Terms(include_suspect=True)


def test_a_conversation_is_one_row():
    """Its ids are the last turn's; the mask is 1 at what was sampled, with the logprobs of these ids."""
    rollout = talk(3)
    (row,) = rows_of(rollout)
    last = rollout.turns[-1]
    assert row.ids.tolist() == [*last.prompt_ids, *last.answer_ids]
    assert row.mask.tolist() == [0] * 3 + [1] * 3 + ([0] * 2 + [1] * 3) * 2
    kept = [value for value in row.logprobs if value is not None]
    assert kept == [-(at + n) / 64 for at in (10, 15, 20) for n in range(3)]
    assert [value is None for value in row.logprobs] == [on == 0 for on in row.mask]
    assert (row.reward, row.masked, row.turns, row.first_sampled) == (1.0, None, (0, 1, 2), 3)
    assert row.policy_versions == (3, 3)


def test_spans_say_where_ids_are_from():
    """They cover the row without gaps, and each answer has its turn, agent and policy version."""
    rollout = talk(2)
    (path,) = rollout.trajectories
    turns = [
        dataclasses.replace(turn, policy_version=4 + turn.id, sampling={"temperature": turn.id / 2})
        for turn in path.turns
    ]
    rollout = dataclasses.replace(rollout, trajectories=[dataclasses.replace(path, turns=turns)])
    (row,) = rows_of(rollout)
    assert [(span.turn, span.start, span.end, span.sampled) for span in row.spans] == [
        (0, 0, 3, False),
        (0, 3, 6, True),
        (1, 6, 8, False),
        (1, 8, 11, True),
    ]
    assert row.policy_versions == (4, 5)
    assert row.temperatures == [0.0] * 6 + [0.5] * 5


def test_branches_share_a_turn_that_trains_once():
    """Of each agent the branch of most turns comes first; a shared answer trains in it alone."""
    made = rows_of(forked().rollout(), ALL)
    assert [(row.agent, row.ids.tolist(), row.mask.tolist()) for row in made] == [
        ("main", [1, 2, 3, 4, 5, 6, 9, 10], [0, 0, 1, 1, 0, 1, 0, 1]),
        ("main", [1, 2, 3, 4, 7, 8], [0, 0, 0, 0, 0, 1]),
        ("main", [1, 2, 33, 44, 5, 6, 9, 10, 11, 12], [0] * 9 + [1]),
        ("helper", [1, 20, 21, 22], [0, 0, 1, 1]),
    ]
    shared = next(span for span in made[1].spans if span.sampled)
    assert (shared.masked, made[1].logprobs[2]) == ("trained_in_another_branch", -0.25)


def test_a_prompt_goes_on_with_ids_not_with_messages():
    """A client that rewrites messages without changing ids goes on; the row is one."""
    session = Session()
    session.call([asked("q")], [1], [2, 3], [-1.0, -1.0], answer=said("a"))
    session.call([asked("Q"), said("A"), asked("r")], [1, 2, 3, 4], [5], [-1.0], answer=said("b"))
    assert session.turns[1].parent is None
    (row,) = rows_of(session.rollout(), ALL)
    assert row.ids.tolist() == [1, 2, 3, 4, 5]
    assert row.mask.tolist() == [0, 1, 1, 0, 1]


def test_agents_have_rows_of_their_own():
    """An agent whose prompt begins with another's answer has it as context; it trains in the other's row."""
    session = Session()
    session.call([asked("q")], [1], [2], [-1.0], answer=said("a"))
    session.call([asked("q"), said("a")], [1, 2, 3], [4], [-1.0], agent="other", answer=said("b"))
    made = rows_of(session.rollout(), ALL)
    assert [(row.agent, row.mask.tolist()) for row in made] == [("main", [0, 1]), ("other", [0, 0, 0, 1])]


@pytest.mark.parametrize(
    ("logprobs", "mask", "kept"),
    [
        (None, [0, 0, 0], 0),
        (array("d", [-1.0]), [0, 0, 0], 0),
        ([-1.0, math.nan, -2.0], [1, 0, 1], 2),
        ([-1.0, None, -2.0], [1, 0, 1], 2),
        ([-math.inf, -1.0, -2.0], [0, 1, 1], 2),
    ],
)
def test_what_has_no_logprob_does_not_train(logprobs, mask, kept):
    """A hole, such as inside a character that several ids spell, is None and masked, never 0.0."""
    rollout = with_logprobs(talk(1), logprobs)
    (row,) = rows_of(rollout)
    assert row.mask.tolist() == [0, 0, 0, *mask]
    assert [value is not None for value in row.logprobs[3:]] == [on == 1 for on in mask]
    assert 0.0 not in row.logprobs
    assert {span.masked for span in row.spans if span.sampled} == (
        {"no_logprob"} | ({None} if kept else set())
    )
    assert account_of(rollout) == Account(3, kept, {"no_logprob": 3 - kept})


def test_answers_that_are_not_whole():
    """A cut answer ends no row and does not train; where the agent went on behind it, it is context."""
    session = Session()
    session.call([asked("q")], [1], [2], [-1.0], answer=said("a"))
    cut = {"finish_reason": None, "suspect": ["cut_answer"]}
    begin = [asked("q"), said("a"), asked("r")]
    session.call(begin, [1, 2, 3], [4, 5], [-1.0, -1.0], answer=said("b"), **cut)
    assert [row.ids.tolist() for row in rows_of(session.rollout(), ALL)] == [[1, 2]]
    session.call([*begin, said("b"), asked("s")], [1, 2, 3, 4, 5, 6], [7], [-1.0], answer=said("c"))
    (row,) = rows_of(session.rollout(), ALL)
    assert row.mask.tolist() == [0, 1, 0, 0, 0, 0, 1]
    assert account_of(session.rollout(), ALL) == Account(4, 2, {}, partial=2)


def test_turns_without_ids():
    """They are counted, and no row is made of what is not known."""
    rollout = without_ids(talk(2))
    assert rows_of(rollout) == []
    assert account_of(rollout) == Account(without_ids=2)
    session = Session()
    session.call([asked("q")], None, [2, 3], [-1.0, -1.0], answer=said("a"))
    session.call([asked("q"), said("a"), asked("r")], [1, 2, 3, 4], [5], [-1.0], answer=said("b"))
    (row,) = rows_of(session.rollout())
    assert row.mask.tolist() == [0, 0, 0, 0, 1]
    assert account_of(session.rollout()) == Account(3, 1, {"no_prompt_ids": 2})


def _failed(kind, *, retryable=False, **fields):
    failure = Failure(kind, "it broke", "RuntimeError", None, retryable)
    return talk(1, status=Status.FAILED, failure=failure, **{"reward": None, **fields})


@pytest.mark.parametrize(
    ("rollout", "terms", "reason"),
    [
        (talk(1), Terms(), None),
        (talk(1, suspect=["forked"]), Terms(), "suspect"),
        (talk(1, suspect=["forked"]), ALL, None),
        (talk(1, reward=None), ALL, "no_reward"),
        (_failed(FailureKind.AGENT), ALL, "agent_failure"),
        (_failed(FailureKind.TIMEOUT), ALL, "timeout_failure"),
        (_failed(FailureKind.TIMEOUT), Terms(failed_reward=-1.0), None),
        (_failed(FailureKind.TIMEOUT, suspect=["unfinished_call"]), Terms(failed_reward=0.0), "suspect"),
        (_failed(FailureKind.REWARD), Terms(failed_reward=0.0), "reward_failure"),
        (_failed(FailureKind.CONTRACT, reward=Reward(1.0)), Terms(), "contract_failure"),
    ],
)
def test_the_rule_of_what_trains(rollout, terms, reason):
    """A rollout that must not train has a row with a mask of zeros and the reason; its tokens count so."""
    (row,) = rows_of(rollout, terms)
    assert row.masked == reason
    assert sum(row.mask) == (0 if reason else 3)
    assert {span.masked for span in row.spans if span.sampled} == {reason}
    assert account_of(rollout, terms).masked == ({reason: 3} if reason else {})


@pytest.mark.parametrize(
    "rollout",
    [_failed(FailureKind.RUNTIME), _failed(FailureKind.MODEL, retryable=True)],
    ids=["runtime", "silent model"],
)
def test_what_infrastructure_failed_is_left_out(rollout):
    """It says nothing of the policy, whatever the terms: no row, and its tokens count under that reason."""
    terms = Terms(True, 0.0)
    assert rows_of(rollout, terms) == []
    assert account_of(rollout, terms).masked == {"infrastructure_failure": 3}


def test_a_constrained_answer_says_so():
    """By the gateway's remark, or by the request's own response_format."""
    for fields in ({"suspect": ["constrained"]}, {"sampling": {"response_format": {"type": "json_schema"}}}):
        session = Session()
        session.call([asked("q")], [1], [2], [-1.0], answer=said("a"), **fields)
        (row,) = rows_of(session.rollout(), ALL)
        assert [span.constrained for span in row.spans] == [True, True]


def test_rewards_of_turns():
    """Where the reward function gave one for each turn, spans have them."""
    rollout = talk(2, reward=Reward(1.0, turn_rewards=[0.25, 0.75]))
    (row,) = rows_of(rollout)
    assert [span.reward for span in row.spans] == [0.25, 0.25, 0.75, 0.75]


def test_rows_of_a_run(tmp_path):
    """A run's chosen attempts, rollouts, or one: the same rows, with ids that are unique in the store."""
    run = stored_run(tmp_path, [talk(1), forked().rollout(), make_rollout(0)])
    made = list(rows(run, ALL))
    assert made == list(rows(list(run.rollouts), ALL)) == [r for one in run.rollouts for r in rows(one, ALL)]
    assert len({row.id for row in made}) == len(made) == 5
    assert {row.group for row in made} == {"task"}


def test_the_golden_record():
    """Its second turn has no logprobs, its sub-agent no ids, and its reward failed."""
    (row,) = rows_of(golden_rollout(), Terms(include_suspect=True))
    assert row.ids.tolist() == [1, 2, 3, 49152, 7, 9, 10]
    assert account_of(golden_rollout(), ALL) == Account(3, 0, {"reward_failure": 2, "no_logprob": 1})


@given(sessions())
@settings(deadline=None, max_examples=60)
def test_every_sampled_token_is_somewhere_once(session):
    """Sampled = trained + masked + partial, counted over the rows by a test that knows the calls."""
    rollout = session.rollout()
    made = rows_of(rollout, ALL)
    account = account_of(rollout, ALL)
    answers = {turn.id: list(turn.tokens.answer) if turn.tokens else [] for turn in session.turns}
    assert account.holds
    assert account.sampled == sum(map(len, answers.values()))
    assert account.trained == sum(sum(row.mask) for row in made)
    trained = Counter()
    for row in made:
        last = session.turns[row.turns[-1]]
        assert row.ids.tolist() == session.whole(last.id)
        assert not is_partial(last)
        assert [span.start for span in row.spans] == [0, *(span.end for span in row.spans[:-1])]
        assert row.spans[-1].end == len(row.ids) == len(row.mask) == len(row.logprobs)
        for span in row.spans:
            lit = set(row.mask[span.start : span.end])
            assert lit == ({1} if span.sampled and span.masked is None else {0})
            if lit == {1}:
                trained[span.turn] += span.end - span.start
                turn = session.turns[span.turn]
                assert row.ids[span.start : span.end] == turn.tokens.answer
                assert row.logprobs[span.start : span.end] == list(turn.tokens.logprobs)
    for turn in session.turns:
        known = session.prompts[turn.id] is not None and turn.tokens.logprobs is not None
        assert trained[turn.id] == (len(answers[turn.id]) if known and not is_partial(turn) else 0)


@given(sessions())
@settings(deadline=None, max_examples=20)
def test_the_order_of_agents_has_no_say(session):
    """Rows are the same whatever order the record's trajectories have, and after storing once more."""
    rollout = session.rollout()
    turned = dataclasses.replace(rollout, trajectories=list(rollout.trajectories)[::-1])
    again = decode_record(encode_record(rollout, bucket="", key="k"))

    def plain(record):
        return sorted(
            (row.agent, row.ids.tolist(), row.mask.tolist(), row.turns) for row in rows_of(record, ALL)
        )

    assert plain(rollout) == plain(turned) == plain(again)


def test_a_hundred_thousand_tokens():
    """A long conversation whose every tenth prompt was rendered anew costs little more than its rows."""
    session, messages, ids = Session(), [asked("q")], [7] * 500
    for number in range(100):
        if number % 10 == 9:
            ids = [number, *ids[1:]]
        session.call(messages, ids, [number] * 500, [-1.0] * 500, answer=said(f"a{number}"))
        messages = [*messages, said(f"a{number}"), asked(f"q{number}")]
        ids = [*ids, *[number] * 500, *[8] * 500]
    made = rows_of(session.rollout(), ALL)
    assert sorted(len(row.ids) for row in made) == [1000 * n for n in range(9, 100, 10)] + [100_000]
    assert sum(sum(row.mask) for row in made) == 50_000
