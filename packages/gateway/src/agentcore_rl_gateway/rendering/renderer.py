"""The protocol of renderers, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

__all__ = ["Fork", "Message", "Parsed", "ParsedCall", "Renderer", "Unrenderable"]

Message = Mapping[str, Any]
"""One OpenAI chat message, or one tool of a request."""


class Unrenderable(ValueError):
    """Messages that a model's template has no form for; the client is told, and nothing is dropped."""


@dataclass(frozen=True, slots=True)
class Fork:
    """A delta that there is not: the conversation must be rendered anew.

    Attributes:
        reason: "template" where the template has no form for these messages behind an answer, "drift"
            where what it makes does not begin with what was served.
    """

    reason: Literal["template", "drift"]


@dataclass(frozen=True, slots=True)
class ParsedCall:
    """One try of the model to call a tool.

    Attributes:
        status: "ok", "invalid" (not an object with a name and an object of arguments) or "unclosed".
        name: the tool; None where none can be read.
        arguments: the JSON text as it was sampled; None where there is no object of arguments.
        raw: everything between the call's markers.
        span: first id of the call and the id behind it, markers included; None when unknown.
    """

    status: Literal["ok", "invalid", "unclosed"]
    name: str | None
    arguments: str | None
    raw: str
    span: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Parsed:
    """What sampled ids say.

    Attributes:
        content: the visible text before the first call, without blanks around it.
        reasoning: the model's thoughts; None where there are none.
        calls: tries to call a tool, in order.
        complete: thoughts that were begun were ended.
        trailing: text behind the last call, which no client sees.
        notes: what is to be counted: "hostile" (the family's parser gave up), "trailing_text",
            "ids_behind_stop".
    """

    content: str
    reasoning: str | None = None
    calls: tuple[ParsedCall, ...] = ()
    complete: bool = True
    trailing: str = ""
    notes: tuple[str, ...] = ()


class Renderer(Protocol):
    """One model's way to write conversations.

    Pure and synchronous; usable from several threads. Text of a client never becomes a control id.
    """

    @property
    def name(self) -> str:
        """Which renderer, for people."""
        ...

    @property
    def digest(self) -> str:
        """Hash of everything that decides about ids; goes into every record."""
        ...

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end an answer."""
        ...

    def prompt(self, messages: Sequence[Message], tools: Sequence[Message] = ()) -> list[int]:
        """All ids of a prompt, up to where the model begins to answer.

        Raises:
            Unrenderable: the template has no form for these messages.
        """
        ...

    def delta(
        self,
        tail: Sequence[int],
        answer: Sequence[int],
        new: Sequence[Message],
        tools: Sequence[Message] = (),
    ) -> list[int] | Fork:
        """What is to be appended behind an answer, up to where the model begins the next.

        Only what is added is handed out, so that nothing returned can change what was served.

        Args:
            tail: the last ids of the answered prompt, at least those that open the answer.
            answer: the sampled ids behind them.
            new: the messages behind the answer.
            tools: of the conversation.

        Raises:
            Unrenderable: the template has no form for these messages.
        """
        ...

    def parse(self, ids: Sequence[int], tail: Sequence[int] = (), tools: Sequence[Message] = ()) -> Parsed:
        """What sampled ids say. Never raises, whatever was sampled, and takes time linear in its length.

        Args:
            ids: that were sampled.
            tail: the last ids of the prompt, which may have begun a thought.
            tools: that were offered; some families read arguments by their schemas.
        """
        ...

    def text(self, ids: Sequence[int]) -> str:
        """The text of ids; control ids by name, broken characters replaced."""
        ...
