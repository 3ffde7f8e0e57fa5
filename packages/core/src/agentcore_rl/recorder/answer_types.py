"""The OpenAI SDK's classes of answers, built before threads share them."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from typing import Any, get_args

__all__ = ["build_answer_types"]

_lock = threading.Lock()
_built = False


def build_answer_types() -> None:
    """Build the pydantic classes that chat completions are read into; once a process, about 50 ms of CPU.

    The SDK leaves each class's schema to its first use (`defer_build`), and two threads that use one
    first at the same moment break it: one of them gets PydanticUserError "BaseModel cannot be
    instantiated directly" instead of its answer (seen with openai 3.5 and pydantic 2.12). Built while
    a model object is made, the classes are whole before any rollout runs, and forked sessions share them.

    Does nothing where the SDK is not imported.
    """
    global _built
    with _lock:
        if _built or "openai" not in sys.modules:
            return
        chat = importlib.import_module("openai.types.chat")
        seen: dict[type, None] = {}
        for name in ("ChatCompletion", "ChatCompletionChunk"):
            _collect(getattr(chat, name), seen)
        for each in reversed(seen):
            each.model_rebuild()  # type: ignore[attr-defined]
        _built = True


def _collect(annotation: Any, seen: dict[type, None]) -> None:
    """Every pydantic class in an annotation and, field by field, behind it."""
    if not hasattr(annotation, "model_rebuild"):
        for inner in _inner(annotation):
            _collect(inner, seen)
    elif annotation not in seen:
        seen[annotation] = None
        for field in annotation.model_fields.values():
            _collect(field.annotation, seen)


def _inner(annotation: Any) -> Iterator[Any]:
    return (each for each in get_args(annotation) if not isinstance(each, str))
