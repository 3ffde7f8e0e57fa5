"""verl: AgentLoopOutput's fields, and a data set of prompts."""

import dataclasses

from agentcore_rl.export import FORMATS, Terms, rows_of
from made_branches import forked, talk
from made_rollouts import make_rollout

# verl 0.9.1, AgentLoopOutput; `scripts/consumers.sh` holds the class itself against it.
FIELDS = {
    "prompt_ids",
    "response_ids",
    "response_mask",
    "response_logprobs",
    "routed_experts",
    "multi_modal_data",
    "reward_score",
    "num_turns",
    "metrics",
    "extra_fields",
    "mm_processor_kwargs",
    "mm_processor_output",
}


def test_an_agent_loop_output():
    """Its fields and no others; 0.0 stands only where the mask is 0, as verl's own loops write it."""
    (row,) = rows_of(talk(2))
    (line,) = FORMATS["verl"].converter()(row)
    assert line.keys() <= FIELDS
    assert (line["reward_score"], line["num_turns"]) == (1.0, 4)
    assert len(line["response_ids"]) == len(line["response_mask"]) == len(line["response_logprobs"])
    for value, on in zip(line["response_logprobs"], line["response_mask"], strict=True):
        assert (value == 0.0) is (on == 0)
    assert line["extra_fields"]["uid"] == "task"


def test_a_row_of_which_nothing_trains():
    """It says why, and has no logprobs rather than zeros."""
    (row, *_) = rows_of(forked().rollout(), Terms())
    (line,) = FORMATS["verl"].converter()(row)
    assert (line["response_logprobs"], line["extra_fields"]["masked"]) == (None, "suspect")


def test_prompts_of_tasks():
    """One row for each task, with the payload's ground truth as text."""
    convert = FORMATS["verl-prompts"].converter()
    first = make_rollout(payload={"prompt": "p", "answer": 42})
    other = dataclasses.replace(first, task="other", payload={"ground_truth": "yes", "answer": "no"})
    lines = [line for one in (first, first, other) for line in convert(one)]
    assert [line["reward_model"]["ground_truth"] for line in lines] == ["42", "yes"]
    assert [line["extra_info"]["index"] for line in lines] == [0, 1]
    assert lines[0]["prompt"] == [{"role": "user", "content": "question 0"}]
    assert list(FORMATS["verl-prompts"].converter()(first)), "each file begins anew"
