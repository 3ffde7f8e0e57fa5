"""What a renderer and an engine must agree on before anything is served.

Eight parts: text and ids, control ids, prompts, answers, what is added behind answers, a client's text that
spells control tokens, hostile answers, and one call of one token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl_gateway.rendering.renderer import Fork, Renderer, Unrenderable
from agentcore_rl_gateway.rendering.trials import (
    CONVERSATIONS,
    HOSTILE,
    INJECTION,
    TEXTS,
    TOOLS,
    Conversation,
)
from agentcore_rl_gateway.rendering.vocabulary import Vocabulary

__all__ = ["EngineView", "OneToken", "Part", "Report", "self_test"]


@dataclass(frozen=True, slots=True)
class OneToken:
    """What an engine says of one call of one token.

    Attributes:
        prompt_tokens: as it counted them.
        ids: that it sampled.
        logprobs: of these.
    """

    prompt_tokens: int
    ids: Sequence[int]
    logprobs: Sequence[float | None]


class EngineView(Protocol):
    """What an engine can be asked; each answers None where it has no such route."""

    def tokenize(self, text: str) -> Sequence[int] | None:
        """Ids of text in which control tokens are read."""
        ...

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
    ) -> Sequence[int] | None:
        """Ids of a prompt by the engine's own template."""
        ...

    def one_token(self, prompt: Sequence[int]) -> OneToken | None:
        """One sampled token behind a prompt."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the test.

    Attributes:
        name: what it looks at.
        problems: what differs, as sentences; empty when nothing does.
        skipped: why it could not be done; None when it was.
    """

    name: str
    problems: tuple[str, ...] = ()
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All parts."""

    parts: tuple[Part, ...]

    @property
    def passed(self) -> bool:
        """Nothing differs. Parts that an engine has no route for do not count."""
        return not any(part.problems for part in self.parts)

    def refuse(self) -> None:
        """Raise `ConfigurationError` where anything differs."""
        wrong = [f"{part.name}: {problem}" for part in self.parts for problem in part.problems]
        if wrong:
            more = f" (and {len(wrong) - 5} more)" if len(wrong) > 5 else ""
            raise ConfigurationError(
                "Renderer and model do not agree, so no call is served: " + "; ".join(wrong[:5]) + more + ". "
                "Choose the renderer and tokenizer of the model that the engine serves, or capture mode."
            )


def self_test(
    renderer: Renderer,
    vocabulary: Vocabulary,
    engine: EngineView | None = None,
    *,
    tools: bool = True,
) -> Report:
    """Test a renderer, and that an engine means the same by ids.

    Args:
        renderer: of the model.
        vocabulary: that it uses.
        engine: what samples; None for the parts that need none.
        tools: the model's calls are read; without, conversations with calls are passed over.
    """
    trials = [one for one in CONVERSATIONS if tools or not one.calls]
    parts: Sequence[tuple[str, Callable[[], list[str] | None]]] = [
        ("text and ids", lambda: _texts(vocabulary, engine)),
        ("control ids", lambda: _controls(vocabulary, engine)),
        ("prompts", lambda: _prompts(renderer, engine, trials)),
        ("answers", lambda: _answers(renderer, vocabulary) if tools else None),
        ("deltas", lambda: _deltas(renderer, trials)),
        ("client text", lambda: _injection(renderer, vocabulary)),
        ("hostile answers", lambda: _hostile(renderer, vocabulary)),
        ("one token", lambda: _one_token(renderer, engine)),
    ]
    return Report(tuple(_part(name, run) for name, run in parts))


def _part(name: str, run: Callable[[], list[str] | None]) -> Part:
    try:
        found = run()
    except Exception as error:  # noqa: BLE001 - what breaks here must not be served
        return Part(name, (f"it raised {type(error).__name__}: {str(error)[:200]}",))
    if found is None:
        return Part(name, (), "the engine has no route for it")
    return Part(name, tuple(found))


def _texts(vocabulary: Vocabulary, engine: EngineView | None) -> list[str]:
    problems = []
    for text in TEXTS:
        ids = vocabulary.encode_plain(text)
        back = b"".join(vocabulary.pieces(ids)).decode(errors="replace")
        if back != text:
            problems.append(f"{text[:40]!r} comes back from ids as {back[:40]!r}")
        theirs = engine.tokenize(text) if engine is not None else None
        if theirs is not None and list(theirs) != vocabulary.encode(text):
            problems.append(f"{text[:40]!r}: {_difference(vocabulary, vocabulary.encode(text), theirs)}")
    return problems


def _controls(vocabulary: Vocabulary, engine: EngineView | None) -> list[str] | None:
    if engine is None:
        return None
    problems = []
    for name, number in vocabulary.control.items():
        theirs = engine.tokenize(name)
        if theirs is None:
            return None
        if list(theirs) != [number]:
            problems.append(f"{name} is {number} here and {list(theirs)} there")
    return problems


def _prompts(
    renderer: Renderer, engine: EngineView | None, trials: Sequence[Conversation]
) -> list[str] | None:
    problems = []
    for trial in trials:
        try:
            ours = renderer.prompt(trial.messages, TOOLS if trial.tools else ())
        except Unrenderable as error:
            problems.append(f"{trial.name}: {error}")
            continue
        if engine is None:
            continue
        theirs = engine.render(trial.messages, TOOLS if trial.tools else ())
        if theirs is None:
            return problems or None
        if list(theirs) != ours:
            at = _first_difference(ours, theirs)
            problems.append(
                f"{trial.name}: differs at id {at}: {renderer.text(ours[at : at + 8])!r} here, "
                f"{renderer.text(list(theirs)[at : at + 8])!r} there"
            )
    return problems


def _answers(renderer: Renderer, vocabulary: Vocabulary) -> list[str]:
    """What the renderer writes for an answer it reads back as the same."""
    problems = []
    for trial in CONVERSATIONS:
        if not trial.calls or trial.reasoning:
            continue
        asked = renderer.prompt(trial.messages[: trial.asked], TOOLS)
        whole = renderer.prompt(trial.messages, TOOLS)
        if whole[: len(asked)] != asked:
            continue  # the template re-writes what was said; the deltas are tested below
        parsed = renderer.parse(whole[len(asked) :], asked[-64:], TOOLS)
        read = [
            (call.name, json.loads(call.arguments)) for call in parsed.calls if call.arguments is not None
        ]
        if read != list(trial.calls) or any(call.status != "ok" for call in parsed.calls):
            problems.append(f"{trial.name}: the calls are read as {read}")
        if parsed.content != trial.content:
            problems.append(f"{trial.name}: the text is read as {parsed.content[:40]!r}")
    return problems


def _deltas(renderer: Renderer, trials: Sequence[Conversation]) -> list[str]:
    problems = []
    opens = renderer.prompt([{"role": "user", "content": "?"}])
    for trial in trials:
        new = trial.messages[trial.asked + 1 :]
        tools = TOOLS if trial.tools else ()
        if not new:
            continue
        asked = renderer.prompt(trial.messages[: trial.asked], tools)
        whole = renderer.prompt(trial.messages, tools)
        ends = [at for at in range(len(asked), len(whole)) if whole[at] in renderer.stop_ids]
        if not ends:
            problems.append(f"{trial.name}: nothing ends the answer")
            continue
        answer = whole[len(asked) : ends[0] + 1]
        delta = renderer.delta(asked[-64:], answer, new, tools)
        if isinstance(delta, Fork):
            problems.append(f"{trial.name}: what follows an answer cannot be appended ({delta.reason})")
        elif delta[-2:] != opens[-2:]:
            problems.append(f"{trial.name}: what is appended does not open an answer")
        elif whole[: len(asked)] == asked and not trial.reasoning and asked + answer + delta != whole:
            problems.append(f"{trial.name}: what is appended is not what the whole prompt has there")
        cut = renderer.delta(asked[-64:], answer[:-1], new, tools)
        if not isinstance(cut, Fork) and cut[0] not in renderer.stop_ids:
            problems.append(f"{trial.name}: an answer cut by length is not ended")
    return problems


def _injection(renderer: Renderer, vocabulary: Vocabulary) -> list[str]:
    """A client's text that spells control tokens adds none."""
    spelled = INJECTION + "".join(vocabulary.control)
    problems = []
    for clean, hostile in [("a", spelled)]:
        for name, write in _writers(renderer).items():
            before, after = write(clean), write(hostile)
            extra = sum(map(vocabulary.is_control, after)) - sum(map(vocabulary.is_control, before))
            if extra:
                problems.append(f"{name}: a client's text became {extra} control ids")
            if renderer.text(after) != renderer.text(before[:]).replace("\x00a\x00", f"\x00{hostile}\x00"):
                problems.append(f"{name}: a client's text does not come back as it was")
    return problems


def _writers(renderer: Renderer) -> dict[str, Callable[[str], list[int]]]:
    user = {"role": "user", "content": "?"}
    answer = renderer.prompt([user])

    def added(text: str) -> list[int]:
        new = [{"role": "user", "content": f"\x00{text}\x00"}]
        found = renderer.delta(answer[-64:], [min(renderer.stop_ids)], new)
        return [] if isinstance(found, Fork) else found

    return {
        "a first prompt": lambda text: renderer.prompt(
            [{"role": "system", "content": f"\x00{text}\x00"}, user]
        ),
        "a user's message": lambda text: renderer.prompt([{"role": "user", "content": f"\x00{text}\x00"}]),
        "a delta": added,
    }


def _hostile(renderer: Renderer, vocabulary: Vocabulary) -> list[str]:
    for text in HOSTILE:
        for ids in (vocabulary.encode(text), vocabulary.encode_plain(text)):
            renderer.parse(ids)
    renderer.parse([-1, 1 << 31, *renderer.stop_ids, *range(300)])
    return []


def _one_token(renderer: Renderer, engine: EngineView | None) -> list[str] | None:
    prompt = renderer.prompt([{"role": "user", "content": "Hello"}])
    said = engine.one_token(prompt) if engine is not None else None
    if said is None:
        return None
    problems = []
    if said.prompt_tokens != len(prompt):
        problems.append(f"the engine counted {said.prompt_tokens} ids in a prompt of {len(prompt)}")
    if not said.ids:
        problems.append("the engine gave no ids of what it sampled")
    if len(said.logprobs) != len(said.ids):
        problems.append(f"the engine gave {len(said.logprobs)} logprobs for {len(said.ids)} ids")
    return problems


def _first_difference(one: Sequence[int], other: Sequence[int]) -> int:
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return min(len(one), len(other))


def _difference(vocabulary: Vocabulary, ours: Sequence[int], theirs: Sequence[int]) -> str:
    at = _first_difference(ours, theirs)
    return f"ids {list(ours)[at : at + 4]} here, {list(theirs)[at : at + 4]} in the engine"
