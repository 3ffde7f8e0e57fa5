"""Makes verl's AgentLoopOutput of every line, and reads the prompts with its RLHFDataset.

Run by scripts/consumers.sh in an environment with verl: check_verl.py FOLDER
"""

import json
import sys
from pathlib import Path

import torch
import verl
from omegaconf import OmegaConf
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.utils.dataset.rl_dataset import RLHFDataset


def main():
    folder = Path(sys.argv[1])
    lines = [json.loads(line) for line in (folder / "verl.jsonl").read_text().splitlines()]
    for line in lines:
        unknown = line.keys() - AgentLoopOutput.model_fields.keys()
        assert not unknown, unknown
        output = AgentLoopOutput(**line)
        made = output.as_dict()
        assert made["prompts"].tolist() == line["prompt_ids"]
        assert made["responses"].tolist() == line["response_ids"]
        assert made["response_mask"].tolist() == line["response_mask"]
        assert torch.equal(made["rollout_log_probs"], torch.tensor(line["response_logprobs"]))
        assert made["rm_scores"][-1].item() == line["reward_score"]
    config = OmegaConf.create({"cache_dir": str(folder / "verl"), "filter_overlong_prompts": False})
    prompts = RLHFDataset(str(folder / "verl-prompts.parquet"), tokenizer=None, config=config)
    first = prompts[0]
    assert first["raw_prompt"][-1]["role"] == "user"
    assert first["reward_model"]["ground_truth"]
    print(f"verl {verl.__version__}: {len(lines)} AgentLoopOutputs, {len(prompts)} prompts in RLHFDataset")


main()
