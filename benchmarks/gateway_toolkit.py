"""agentcore-rl-toolkit's gateway in front of a vLLM; `gateway.py` runs this in that package's environment.

python gateway_toolkit.py ENGINE_URL PORT TOKENIZER TEMPLATE
"""

import sys
from pathlib import Path

from agentcore_rl_toolkit.rollout_gateway import HfTemplateRenderer, RolloutGateway
from agentcore_rl_toolkit.rollout_gateway.sampling_backends.vllm_http import VllmHttpBackend
from transformers import PreTrainedTokenizerFast

if __name__ == "__main__":
    url, port, tokenizer_file, template = sys.argv[1:]
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=tokenizer_file, eos_token="<|im_end|>")
    tokenizer.chat_template = Path(template).read_text()
    renderer = HfTemplateRenderer(tokenizer, stop_sequences=["<|im_end|>"])
    gateway = RolloutGateway(
        backend=VllmHttpBackend(url), renderer=renderer, tokenizer=tokenizer, adapters=["openai"]
    )
    gateway.create_session("bench")
    gateway.run("127.0.0.1", int(port))
