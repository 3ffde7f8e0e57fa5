"""llama.cpp in this process: the only file that imports `xllamacpp`."""

import http.client
import json
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agentcore_rl.exceptions import MissingDependencyError

__all__ = ["MODELS", "TUNED_ADAPTER", "Engine"]

TUNED_ADAPTER = Path(str(files(__package__) / "smollm2-tools.lora.gguf"))
"""The LoRA adapter of `smollm2-tools`, made by `scripts/train_math_lora.py`."""

MODELS: Mapping[str, float] = {"smollm2": 0.0, "smollm2-tools": 1.0}
"""Model names and the scale of the adapter that each is served with."""


class Engine:
    """One loaded model with its adapter. Methods block and may be called from several threads at once.

    Args:
        model_path: The GGUF file of the base model.
        adapter: A LoRA adapter in GGUF form; `None` serves the base model under both names.
        threads: CPU threads; `None` reads prompts on every core and samples on half of them, since sampling
            gains little from more and the agent needs some too.
        slots: Answers sampled at the same time; further calls wait.
        slot_tokens: Most tokens of prompt and answer together, per slot.

    Raises:
        MissingDependencyError: `xllamacpp` is not installed.
    """

    def __init__(
        self,
        model_path: Path,
        *,
        adapter: Path | None = TUNED_ADAPTER,
        threads: int | None = None,
        slots: int = 4,
        slot_tokens: int = 4096,
    ) -> None:
        try:
            import xllamacpp
        except ImportError as error:
            raise MissingDependencyError(
                "The local model needs llama.cpp, which is not installed: "
                'pip install "agentcore-rl[local-model]"'
            ) from error
        params = xllamacpp.CommonParams()
        params.model.path = str(model_path)
        params.n_parallel = slots
        params.n_ctx = slots * slot_tokens
        params.kv_unified = False  # each slot has its own tokens: one long rollout cannot starve another
        cores = os.cpu_count() or 1
        params.cpuparams.n_threads = threads or max(1, cores // 2)
        params.cpuparams_batch.n_threads = threads or cores
        params.use_jinja = True
        params.chat_template = (files(__package__) / "chat_template.jinja").read_text(encoding="utf-8")
        params.cache_ram_mib = 0  # a second prompt cache, of up to 8 GiB and blind to adapters
        params.prefill_assistant = False  # a trailing assistant message is history, not a start to go on with
        params.verbosity = 1  # errors only: a line per request would flood the log
        params.port = 0  # any free one; used for what has no function: templates and tokens
        self._has_adapter = adapter is not None
        if adapter is not None:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
        self.slots = slots
        self.slot_tokens = slot_tokens
        self._server = xllamacpp.Server(params)
        self._address = urlsplit(str(self._server.listening_address))

    @property
    def url(self) -> str:
        """Where llama.cpp's own server listens, on this machine alone."""
        return f"http://{self._address.hostname or '127.0.0.1'}:{self._address.port}"

    def chat(self, body: Mapping[str, Any], *, adapter_scale: float) -> dict[str, Any]:
        """One chat completion as llama.cpp answers it, not streamed.

        Args:
            body: An OpenAI chat completion request; llama.cpp's own parameters are allowed too.
            adapter_scale: 0.0 for the base model, 1.0 for the tuned one.

        Returns:
            llama.cpp's answer, or an object with `error`. Where the body asks for `verbose`, its `__verbose`
            holds the prompt's text and every sampled token id.

        Raises:
            ValueError: llama.cpp cannot read the body; the text says why.
        """
        lora = [{"id": 0, "scale": adapter_scale}] if self._has_adapter else []
        answer: dict[str, Any] = self._server.handle_chat_completions({**body, "lora": lora, "stream": False})
        return answer

    def render(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The text that the model sees for these messages, up to where its answer begins."""
        body = {"messages": messages, **({"tools": tools} if tools else {})}
        return str(self._post("/apply-template", body)["prompt"])

    def token_ids(self, text: str) -> list[int]:
        """The ids of a rendered prompt, control tokens included."""
        body = {"content": text, "add_special": False, "parse_special": True}
        return list(self._post("/tokenize", body)["tokens"])

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(
            self._address.hostname or "127.0.0.1", self._address.port, timeout=60
        )
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise ValueError(str(answer["error"].get("message", answer["error"])))
        return answer
