"""Which renderer serves a model, found once at the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl_gateway.rendering.chatml import ChatMLHermes
from agentcore_rl_gateway.rendering.library import FromLibrary
from agentcore_rl_gateway.rendering.renderer import Renderer
from agentcore_rl_gateway.rendering.self_test import EngineView, Report, self_test
from agentcore_rl_gateway.rendering.template import FromTemplate
from agentcore_rl_gateway.rendering.vocabulary import Vocabulary

__all__ = ["CaptureOnly", "Chosen", "choose_renderer"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A renderer that passed its test.

    Attributes:
        renderer: serves the model.
        report: what was tested, and what the engine has no route for.
    """

    renderer: Renderer
    report: Report


@dataclass(frozen=True, slots=True)
class CaptureOnly:
    """No renderer serves this model: calls can only be carried, and ids taken from what the engine says.

    Attributes:
        reason: "no_template" where nothing says how the model writes, "no_end" where no token is known
            that ends answers, "template_broken" where it is no template, "template_unfit" where it or the
            tokenizer failed the test.
        detail: a sentence.
    """

    reason: Literal["no_template", "no_end", "template_broken", "template_unfit"]
    detail: str


def choose_renderer(
    vocabulary: Vocabulary,
    *,
    family: str | None = None,
    template: str | None = None,
    engine: EngineView | None = None,
    **options: Any,
) -> Chosen | CaptureOnly:
    """The renderer of a family that was named, else of the model's template; tested either way.

    A family is never guessed from a model's name.

    Args:
        vocabulary: of the model.
        family: "chatml-hermes", or a name of the `renderers` library.
        template: the model's chat template.
        engine: what samples; compared with where it has the routes.
        options: of the renderer.

    Raises:
        ConfigurationError: the family that was named does not fit.
    """
    if family is not None:
        renderer: Renderer = (
            ChatMLHermes(vocabulary, **options)
            if family == "chatml-hermes"
            else FromLibrary(family, vocabulary, **options)
        )
        report = self_test(renderer, vocabulary, engine)
        report.refuse()
        return Chosen(renderer, report)
    if not template:
        return CaptureOnly("no_template", "The model has no chat template, and no family was named.")
    try:
        made = FromTemplate(template, vocabulary, **options)
    except ConfigurationError as error:
        ends = options.get("stop") or vocabulary.eos_token
        return CaptureOnly("template_broken" if ends else "no_end", str(error))
    # A template that knows no tools is one of text alone: it may serve that.
    report = self_test(made, vocabulary, engine, tools="tool" in template)
    try:
        report.refuse()
    except ConfigurationError as error:
        return CaptureOnly("template_unfit", str(error))
    return Chosen(made, report)
