"""A small real language model on this machine: SmolLM2-135M-Instruct on llama.cpp.

`LocalModel` runs it as an OpenAI-compatible server, `find_model` and `fetch_model` see to its weights. The
engine itself is imported only inside the server's process.
"""

from agentcore_rl.local_model.local_model import LocalModel
from agentcore_rl.local_model.model_file import Progress, fetch_model, find_model

__all__ = ["LocalModel", "Progress", "fetch_model", "find_model"]
