"""A model's folder as model hubs have them: its tokenizer, what ends its answers, and its chat template."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl_gateway.rendering.vocabulary import Vocabulary

__all__ = ["ModelFolder", "read_model"]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What a renderer is made from.

    Attributes:
        vocabulary: its tokenizer, with the token that ends answers where the folder names one.
        template: its chat template; None where there is none.
        variables: of the template, such as `bos_token`.
    """

    vocabulary: Vocabulary
    template: str | None = None
    variables: dict[str, str] = field(default_factory=dict)


def read_model(path: Path) -> ModelFolder:
    """Read `tokenizer.json`, and what stands beside it.

    Args:
        path: the file, or the folder that it is in.

    Raises:
        ConfigurationError: there is no such file, or it is none of a tokenizer.
    """
    file = path / "tokenizer.json" if path.is_dir() else path
    settings = _settings(file.with_name("tokenizer_config.json"))
    try:
        vocabulary = Vocabulary.from_file(file, eos=_token(settings.get("eos_token")))
    except Exception as error:  # the library raises bare Exception where a file is no tokenizer
        raise ConfigurationError(f"{file} is no tokenizer.json: {error}") from error
    variables = {
        name: token
        for name in ("bos_token", "pad_token", "unk_token")
        if (token := _token(settings.get(name))) is not None
    }
    return ModelFolder(vocabulary, _template(file, settings), variables)


def _settings(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{file} is no JSON: {error}") from error
    return settings if isinstance(settings, dict) else {}


def _token(value: Any) -> str | None:
    """A token's text; such files hold it plain or as an object."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) and text else None


def _template(file: Path, settings: dict[str, Any]) -> str | None:
    beside = file.with_name("chat_template.jinja")
    if beside.is_file():
        return beside.read_text(encoding="utf-8")
    named = settings.get("chat_template")
    if isinstance(named, list):  # several by name
        named = next((one.get("template") for one in named if one.get("name") == "default"), None)
    return named if isinstance(named, str) else None
