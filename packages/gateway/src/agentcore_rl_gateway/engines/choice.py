"""Which engine a gateway stands in front of, as `--engine` names it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.logs import logger_of
from agentcore_rl_gateway.call import Mode
from agentcore_rl_gateway.engines.capture import Capture
from agentcore_rl_gateway.engines.llama_cpp import LlamaCpp
from agentcore_rl_gateway.engines.llama_view import LlamaView
from agentcore_rl_gateway.engines.sglang import SGLang
from agentcore_rl_gateway.engines.token_engine import TokenEngine
from agentcore_rl_gateway.engines.vllm import VLLM
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.rendering.choice import CaptureOnly, choose_renderer
from agentcore_rl_gateway.rendering.model_folder import read_model
from agentcore_rl_gateway.rendering.renderer import Renderer
from agentcore_rl_gateway.rendering.self_test import self_test
from agentcore_rl_gateway.token_in import TokenIn

__all__ = ["chosen_mode"]

logger = logger_of(__name__)

_KINDS = ("capture", "vllm", "sglang")


@contextlib.contextmanager
def chosen_mode(
    engine: str, *, tokenizer: Path | None = None, renderer: str | None = None, key: str = ""
) -> Iterator[Mode]:
    """What answers calls, there while the block runs.

    Args:
        engine: `llama.cpp` (the local model, in a process of its own), `vllm=URL` or `sglang=URL` (its
            token-level route), or `capture=URL` (any OpenAI-compatible server, with its version path).
        tokenizer: `tokenizer.json` of the model that vLLM or SGLang serves, or the folder that it is in.
        renderer: how that model writes: "chatml-hermes" (the same as None), "template" (the folder's chat
            template; a model that it does not serve is captured), or a family of the `renderers` library.
        key: the bearer token that a server at a URL wants.

    Raises:
        ConfigurationError: there is no such engine, its tokenizer is missing or of another family, the
            renderer fails its test, or the local model cannot be started.
    """
    kind, _, url = engine.partition("=")
    if (renderer or tokenizer) and kind not in ("vllm", "sglang"):
        raise ConfigurationError(
            f"--engine {engine} takes neither --tokenizer nor --renderer: they are for vllm=URL and "
            "sglang=URL."
        )
    if kind == "llama.cpp" and not url:
        with _local_model() as mode:
            yield mode
        return
    if kind not in _KINDS:
        raise ConfigurationError(
            f"There is no engine {engine!r}: --engine takes llama.cpp, vllm=URL, sglang=URL, or capture=URL "
            "for any OpenAI-compatible server."
        )
    if not re.match(r"https?://[^/]", url):
        raise ConfigurationError(
            f"--engine {engine} names no URL: give the server's, such as {kind}=http://127.0.0.1:8000."
        )
    if kind == "capture":
        yield Capture(url, key=key)
        return
    root = url.rstrip("/").removesuffix("/v1")
    chosen = _renderer(engine, tokenizer, renderer)
    if isinstance(chosen, CaptureOnly):
        logger.warning(
            "Calls are captured, not rendered: %s Ids are those that the engine's answers name.",
            chosen.detail,
        )
        yield Capture(f"{root}/v1", key=key, reason=chosen.detail)
        return
    sampler: TokenEngine = VLLM(root, key=key) if kind == "vllm" else SGLang(root, key=key)
    yield TokenIn(sampler, chosen)


def _renderer(engine: str, tokenizer: Path | None, name: str | None) -> Renderer | CaptureOnly:
    """The renderer that was named, tested.

    Neither vLLM nor SGLang has a route here that the parts which ask an engine could use: these are passed
    over.
    """
    if tokenizer is None:
        raise ConfigurationError(
            f"--engine {engine} takes token ids, so the gateway needs the model's tokenizer: give its "
            "tokenizer.json with --tokenizer, or use capture=URL."
        )
    model = read_model(tokenizer)
    try:
        if name == "template":
            variables: dict[str, Any] = dict(model.variables)
            chosen = choose_renderer(model.vocabulary, template=model.template, **variables)
        else:
            options: dict[str, Any] = {} if name not in (None, "chatml-hermes") else {"system": None}
            chosen = choose_renderer(model.vocabulary, family=name or "chatml-hermes", **options)
    except ValueError as error:
        raise ConfigurationError(f"{tokenizer} cannot be used: {error}") from error
    return chosen if isinstance(chosen, CaptureOnly) else chosen.renderer


@contextlib.contextmanager
def _local_model() -> Iterator[Mode]:
    from agentcore_rl.local_model import LocalModel, find_model
    from agentcore_rl.local_model.engine import MODELS
    from agentcore_rl_gateway.rendering.gguf import gguf_vocabulary

    file = find_model()
    renderer = ChatMLHermes(gguf_vocabulary(file)[0])
    with LocalModel(file) as model:
        view = LlamaView(model.engine_url)
        yield TokenIn(
            LlamaCpp(model.engine_url, models=dict(MODELS)),
            renderer,
            lambda: self_test(renderer, renderer.vocabulary, view).refuse(),
        )
