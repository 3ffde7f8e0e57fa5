"""prime-rl: the fields of TrainingSample."""

import dataclasses

from agentcore_rl.export import FORMATS, rows_of
from made_branches import talk

# prime-rl 0.8.0 (559b447), TrainingSample; it is on no registry to be held against.
REQUIRED = {"token_ids", "mask", "logprobs", "temperatures", "env_name"}
OPTIONAL = {
    "ref_logprobs",
    "mm_kwargs",
    "routed_experts",
    "mm_token_type_ids",
    "rl_weights",
    "ce_weights",
    "ref_kl_weights",
    "advantages",
}


def test_a_training_sample():
    """All lists have one entry for each id, and mask has booleans."""
    (row,) = rows_of(talk(2))
    (line,) = FORMATS["prime-rl"].converter()(dataclasses.replace(row, advantage=-0.25))
    sample = line["sample"]
    assert sample.keys() >= REQUIRED
    assert sample.keys() <= REQUIRED | OPTIONAL
    assert {len(value) for name, value in sample.items() if name != "env_name"} == {len(row.ids)}
    assert sample["mask"][:4] == [False, False, False, True]
    assert sample["temperatures"] == [1.0] * len(row.ids)
    assert set(sample["advantages"]) == {0.0, -0.25}


def test_a_temperature_that_was_not_said():
    """It is the chat API's own."""
    (row,) = rows_of(talk(1))
    spans = tuple(dataclasses.replace(span, temperature=None) for span in row.spans)
    (line,) = FORMATS["prime-rl"].converter()(dataclasses.replace(row, spans=spans))
    assert set(line["sample"]["temperatures"]) == {1.0}
