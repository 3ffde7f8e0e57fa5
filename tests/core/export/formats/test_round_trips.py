"""Every format of token ids says the same as the row: ids, mask, and the logprobs of what trains."""

import msgspec
import pytest
from hypothesis import given, settings

from agentcore_rl.export import FORMATS, Terms, rows_of
from agentcore_rl.export.formats.unfit import Unfit
from made_branches import forked, sessions, talk

ALL = Terms(include_suspect=True)


def _trl(line):
    ids = line["prompt_ids"] + line["completion_ids"]
    mask = [0] * len(line["prompt_ids"]) + line["env_mask"]
    return ids, mask, [None] * len(line["prompt_ids"]) + line["logprobs"]


def _verl(line):
    ids = line["prompt_ids"] + line["response_ids"]
    mask = [0] * len(line["prompt_ids"]) + line["response_mask"]
    return ids, mask, [None] * len(line["prompt_ids"]) + (line["response_logprobs"] or [None] * len(mask))


def _tinker(line):
    fields = line["datum"]["loss_fn_inputs"]
    (chunk,) = line["datum"]["model_input"]["chunks"]
    targets = fields["target_tokens"]["data"]
    assert chunk["tokens"][1:] == targets[:-1], "the input is the targets, one id earlier"
    ids = [*chunk["tokens"], targets[-1]]
    return ids, [0, *map(int, fields["mask"]["data"])], [None, *fields["logprobs"]["data"]]


def _prime_rl(line):
    sample = line["sample"]
    return sample["token_ids"], [int(on) for on in sample["mask"]], sample["logprobs"]


READ = {"trl-rollout": _trl, "verl": _verl, "tinker": _tinker, "prime-rl": _prime_rl}


def _check(row, name):
    try:
        (line,) = FORMATS[name].converter()(row)
    except Unfit as unfit:
        assert (name, unfit.reason) == ("tinker", "sampled_without_a_prompt")  # noqa: PT017
        return
    ids, mask, logprobs = READ[name](msgspec.json.decode(msgspec.json.encode(line)))
    assert ids == row.ids.tolist()
    assert mask == row.mask.tolist()
    trained = [(at, value) for at, value in enumerate(row.logprobs) if row.mask[at]]
    assert [(at, logprobs[at]) for at, on in enumerate(mask) if on] == trained


@pytest.mark.parametrize("name", READ)
def test_branches_lose_nothing(name):
    """Forks, a sub-agent, and a rollout of which nothing trains."""
    for rollout in (talk(3), forked().rollout()):
        for terms in (ALL, Terms()):
            for row in rows_of(rollout, terms):
                _check(row, name)


@given(sessions())
@settings(deadline=None, max_examples=15)
def test_any_row_loses_nothing(session):
    """In all of them."""
    for row in rows_of(session.rollout(), ALL):
        for name in READ:
            _check(row, name)
