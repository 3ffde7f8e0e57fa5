"""Loads the exports with datasets and hands them to TRL's own trainers, on a very small model.

Run by scripts/consumers.sh in an environment with trl: check_trl.py FOLDER
"""

import json
import os
import sys
from pathlib import Path

os.environ |= {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}

import datasets
import tokenizers
import torch
import transformers
import trl

# ChatML with tools, as Qwen's models speak it; what is sampled is marked for assistant_only_loss.
TEMPLATE = (
    "{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content or '' }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }} {{ c.function.arguments | tojson }}"
    "</tool_call>{% endfor %}<|im_end|>{% endgeneration %}\n"
    "{% else %}{{ m.content or '' }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer():
    specials = ["<|im_start|>", "<|im_end|>", "<pad>"]
    vocabulary = {c: n for n, c in enumerate(tokenizers.pre_tokenizers.ByteLevel.alphabet())}
    core = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    core.add_special_tokens(specials)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<pad>"
    )
    fast.chat_template = TEMPLATE
    return fast


def model(tokens):
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=len(tokens) + 2,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=8192,
        pad_token_id=tokens.pad_token_id,
        eos_token_id=tokens.eos_token_id,
    )
    return transformers.Qwen2ForCausalLM(config)


def table(kind, path):
    return datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=str(path.parent / "hf"))


def load(path):
    """As datasets reads it, held against the lines themselves."""
    loaded = datasets.load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(path.parent / "hf")
    )
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(loaded) == len(lines)
    for row, line in zip(loaded, lines, strict=True):
        assert row.items() >= line.items(), "datasets reads what was written"
    return loaded


def sft(loaded, folder, tokens, **options):
    arguments = trl.SFTConfig(
        output_dir=str(folder / "sft"),
        max_steps=1,
        max_length=None,
        per_device_train_batch_size=2,
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        **options,
    )
    trainer = trl.SFTTrainer(
        model=model(tokens), args=arguments, train_dataset=loaded, processing_class=tokens
    )
    loss = trainer.train().training_loss
    assert loss > 0, loss
    return trainer


def grpo(loaded, folder, tokens):
    """One step on the recorded sequences themselves: rollout_func plays them back."""
    columns = loaded.to_dict()
    seen = []

    def play(prompts, trainer):
        at = [index % len(loaded) for index in range(len(prompts))]
        return {name: [values[index] for index in at] for name, values in columns.items()}

    def reward(completions, env_reward, **columns):
        seen.extend(env_reward)
        return [value + 0.1 * index for index, value in enumerate(env_reward)]

    arguments = trl.GRPOConfig(
        output_dir=str(folder / "grpo"),
        max_steps=1,
        num_generations=4,
        per_device_train_batch_size=4,
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = trl.GRPOTrainer(
        model=model(tokens),
        reward_funcs=reward,
        args=arguments,
        train_dataset=datasets.Dataset.from_dict({"prompt": ["go on"] * 8}),
        processing_class=tokens,
        rollout_func=play,
    )
    trainer.train()
    assert seen == [columns["env_reward"][index % len(loaded)] for index in range(len(seen))] != []


def main():
    folder = Path(sys.argv[1])
    tokens = tokenizer()
    trainer = sft(load(folder / "trl.jsonl"), folder, tokens, assistant_only_loss=True)
    for labels in trainer.train_dataset["labels"]:
        assert {label == -100 for label in labels} == {True, False}, "answers train, prompts do not"
    sft(load(folder / "trl-prompt-completion.jsonl"), folder, tokens)
    grpo(load(folder / "trl-rollout.jsonl"), folder, tokens)
    for name in ("parquet", "parquet-rows", "verl-prompts"):
        path = folder / f"{name}.parquet"
        table = datasets.load_dataset(
            "parquet", data_files=str(path), split="train", cache_dir=str(folder / "hf")
        )
        assert len(table) > 0
    print(f"trl {trl.__version__}, datasets {datasets.__version__}: SFT twice, GRPO, three Parquet files")


main()
