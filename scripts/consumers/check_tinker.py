"""Makes Tinker's Datum of every line, and compares it with what tinker-cookbook makes of the same sequence.

Run by scripts/consumers.sh in an environment with tinker and tinker-cookbook: check_tinker.py FOLDER
"""

import json
import sys
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import numpy as np
import tinker
from tinker_cookbook.completers import TokensWithLogprobs
from tinker_cookbook.rl.data_processing import trajectory_to_data
from tinker_cookbook.rl.types import Trajectory, Transition


def theirs(tokens, mask, logprobs, advantage):
    """The cookbook's datum of one growing conversation: runs of sampled ids are its actions."""
    transitions, at = [], 0
    for on, group in groupby(mask):
        end = at + len(list(group))
        if on:
            action = TokensWithLogprobs(tokens=tokens[at:end], maybe_logprobs=logprobs[at:end])
            transitions.append(
                Transition(
                    ob=tinker.ModelInput.from_ints(tokens[:at]), ac=action, reward=0.0, episode_done=False
                )
            )
        at = end
    (datum,) = trajectory_to_data(
        Trajectory(transitions=transitions, final_ob=tinker.ModelInput.empty()), advantage
    )
    return datum


def main():
    lines = [json.loads(line) for line in (Path(sys.argv[1]) / "tinker.jsonl").read_text().splitlines()]
    compared = 0
    for line in lines:
        given = line["datum"]
        fields = {name: tinker.TensorData(**value) for name, value in given["loss_fn_inputs"].items()}
        model_input = tinker.ModelInput.model_validate(given["model_input"])
        datum = tinker.Datum(model_input=model_input, loss_fn_inputs=fields)
        targets = fields["target_tokens"].to_numpy().tolist()
        tokens = [*datum.model_input.to_ints(), targets[-1]]
        assert tokens[1:] == targets
        mask = [0, *fields["mask"].to_numpy().astype(int).tolist()]
        logprobs = [0.0, *fields["logprobs"].to_numpy().tolist()]
        advantage = max(fields["advantages"].to_numpy().tolist(), key=abs)
        if mask[-1] != 1:  # the cookbook's datum ends with what was sampled
            continue
        other = theirs(tokens, mask, logprobs, advantage)
        assert other.model_input.to_ints() == datum.model_input.to_ints()
        assert other.loss_fn_inputs.keys() == datum.loss_fn_inputs.keys()
        for name, value in other.loss_fn_inputs.items():
            assert np.allclose(value.to_numpy(), fields[name].to_numpy()), name
        compared += 1
    assert compared
    print(
        f"tinker {version('tinker')}, tinker-cookbook {version('tinker-cookbook')}: "
        f"{len(lines)} Datums, {compared} equal to the cookbook's"
    )


main()
