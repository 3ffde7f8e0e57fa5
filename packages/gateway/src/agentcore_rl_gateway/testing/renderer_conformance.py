"""What every renderer must do, as a suite to subclass."""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from agentcore_rl_gateway.rendering.renderer import Fork, Renderer, Unrenderable
from agentcore_rl_gateway.rendering.trials import CONVERSATIONS, HOSTILE, INJECTION, TEXTS, TOOLS
from agentcore_rl_gateway.rendering.vocabulary import Vocabulary

__all__ = ["RendererConformance"]

_USER = {"role": "user", "content": "Hello"}
_TAIL = 64


class RendererConformance(ABC):
    """Subclass it as `TestMyRenderer`, and say how the model's answers are spelled."""

    @abstractmethod
    def renderer(self) -> Renderer:
        """What is tested."""

    @abstractmethod
    def vocabulary(self) -> Vocabulary:
        """That it uses."""

    @abstractmethod
    def sampled(
        self, content: str, calls: Sequence[tuple[str, str]] = (), reasoning: str | None = None
    ) -> list[int]:
        """The ids of an answer, with what ends it; arguments are JSON texts."""

    def test_it_says_what_it_is(self) -> None:
        """A digest that two of the same kind share, and ids that end an answer."""
        one, other = self.renderer(), self.renderer()
        assert one.digest
        assert one.digest == other.digest
        assert one.stop_ids
        assert one.name

    def test_a_prompt_is_a_pure_function(self) -> None:
        """The same messages give the same ids, and are not changed."""
        renderer = self.renderer()
        for trial in CONVERSATIONS:
            before = copy.deepcopy(trial)
            tools = TOOLS if trial.tools else ()
            assert renderer.prompt(trial.messages, tools) == renderer.prompt(trial.messages, tools)
            assert trial == before

    def test_every_message_is_in_the_prompt(self) -> None:
        """What a client says is in the ids, letter by letter."""
        renderer = self.renderer()
        for text in TEXTS[::20]:
            said = f"[{text}]"
            messages = [{"role": "system", "content": said}, _USER, {"role": "user", "content": said}]
            assert renderer.text(renderer.prompt(messages)).count(said) == 2

    def test_client_text_is_never_a_control_id(self) -> None:
        """Text that spells control tokens is text, in prompts, tools, results and deltas."""
        renderer, vocabulary = self.renderer(), self.vocabulary()
        spelled = INJECTION + "".join(vocabulary.control)

        def controls(ids: Sequence[int] | Fork) -> int:
            return 0 if isinstance(ids, Fork) else sum(map(vocabulary.is_control, ids))

        answer = self.sampled("ok")
        tail = renderer.prompt([_USER])[-_TAIL:]
        for role in ("system", "user"):
            clean, hostile = ([{"role": role, "content": text}, _USER] for text in ("a", spelled))
            assert controls(renderer.prompt(clean)) == controls(renderer.prompt(hostile))
            assert spelled in renderer.text(renderer.prompt(hostile))
        clean_tool, hostile_tool = (
            [{"type": "function", "function": {"name": "f", "description": text, "parameters": {}}}]
            for text in ("a", spelled)
        )
        assert controls(renderer.prompt([_USER], clean_tool)) == controls(
            renderer.prompt([_USER], hostile_tool)
        )
        for new in ({"role": "user"}, {"role": "tool", "tool_call_id": "c", "name": "f"}):
            before, after = (
                renderer.delta(tail, answer, [{**new, "content": text}]) for text in ("a", spelled)
            )
            assert controls(before) == controls(after)

    def test_a_delta_is_what_the_whole_prompt_has_there(self) -> None:
        """Behind an answer stands what the template writes there, and it opens the next."""
        renderer = self.renderer()
        for trial in CONVERSATIONS:
            new = trial.messages[trial.asked + 1 :]
            if not new or trial.reasoning:
                continue
            tools = TOOLS if trial.tools else ()
            asked = renderer.prompt(trial.messages[: trial.asked], tools)
            whole = renderer.prompt(trial.messages, tools)
            end = next(at for at in range(len(asked), len(whole)) if whole[at] in renderer.stop_ids)
            answer = whole[len(asked) : end + 1]
            delta = renderer.delta(asked[-_TAIL:], answer, new, tools)
            assert not isinstance(delta, Fork), trial.name
            assert whole[: len(asked)] != asked or asked + answer + delta == whole, trial.name
            assert delta[-2:] == asked[-2:], trial.name

    def test_an_answer_cut_by_length_is_ended(self) -> None:
        """What ends an answer is added where it was not sampled, and only there."""
        renderer = self.renderer()
        tail = renderer.prompt([_USER])[-_TAIL:]
        answer = self.sampled("ok")
        whole, cut = (renderer.delta(tail, ids, [_USER]) for ids in (answer, answer[:-1]))
        assert not isinstance(whole, Fork)
        assert not isinstance(cut, Fork)
        assert cut[0] in renderer.stop_ids
        assert cut[1:] == whole

    def test_thoughts_stay(self) -> None:
        """A conversation whose answers had thoughts goes on behind them."""
        renderer = self.renderer()
        tail = renderer.prompt([_USER])[-_TAIL:]
        assert not isinstance(renderer.delta(tail, self.sampled("ok", (), "why"), [_USER]), Fork)

    def test_answers_are_read(self) -> None:
        """Text, calls in order with arguments as they were sampled, and where they stand."""
        renderer = self.renderer()
        tail = renderer.prompt([_USER], TOOLS)[-_TAIL:]
        written = [("add", '{"b":  2, "a" : 1e0}'), ("say", '{"text": "\\u00e9 日本"}')]
        ids = self.sampled("Now.", written)
        parsed = renderer.parse(ids, tail, TOOLS)
        assert parsed.content == "Now."
        assert [(call.status, call.name, call.arguments) for call in parsed.calls] == [
            ("ok", name, arguments) for name, arguments in written
        ]
        spans = [call.span for call in parsed.calls if call.span is not None]
        assert len(spans) in (0, 2)
        for (first, end), (name, _) in zip(spans, written, strict=False):
            text = renderer.text(ids[first:end])
            assert name in text
            assert all(other == name or other not in text for other, _ in written)

    def test_thoughts_are_no_content(self) -> None:
        """Neither is a call that was drafted in them."""
        renderer = self.renderer()
        tail = renderer.prompt([_USER], TOOLS)[-_TAIL:]
        draft = self.renderer().text(self.sampled("", [("add", "{}")])[:-1])
        parsed = renderer.parse(self.sampled("ok", (), f"try {draft}"), tail, TOOLS)
        assert (parsed.content, parsed.calls, parsed.complete) == ("ok", (), True)
        assert "try" in (parsed.reasoning or "")

    def test_what_is_no_call_is_not_served_as_one(self) -> None:
        """A name that is no text, arguments that are no object, a call that was cut."""
        renderer = self.renderer()
        tail = renderer.prompt([_USER], TOOLS)[-_TAIL:]
        for arguments in ('"x"', "[]", "null", '{"a": NaN}', "{", '{"a": ' + "9" * 5000 + "}"):
            parsed = renderer.parse(self.sampled("", [("add", arguments)]), tail, TOOLS)
            assert not any(call.status == "ok" for call in parsed.calls), arguments
        whole = self.sampled("", [("add", '{"a": 1}')])
        cut = renderer.parse(whole[:-2], tail, TOOLS)
        assert not any(call.status == "ok" for call in cut.calls)

    def test_reading_never_raises(self) -> None:
        """Whatever was sampled."""
        renderer, vocabulary = self.renderer(), self.vocabulary()
        for text in HOSTILE:
            for ids in (vocabulary.encode(text), vocabulary.encode_plain(text)):
                assert renderer.parse(ids) is not None
        assert renderer.parse([-1, 1 << 31, *renderer.stop_ids, *range(300)]) is not None

    def test_reading_takes_linear_time(self) -> None:
        """Four times the ids cost about four times the CPU."""
        renderer, vocabulary = self.renderer(), self.vocabulary()
        for text in ("word ", "<tool_call>", '<tool_call>{"name": "a"}</tool_call>', "<think>", "< "):
            ids = vocabulary.encode(text * 8000)[:8000]
            small, large = (self._cpu(renderer, ids[:size]) for size in (2000, 8000))
            assert large < 10 * small + 0.01, text

    def test_what_has_no_form_is_refused(self) -> None:
        """Images and unknown roles are an error, never left out in silence."""
        renderer = self.renderer()
        image = {"type": "image_url", "image_url": {"url": "data:,"}}
        refused: list[dict[str, Any]] = [
            {"role": "user", "content": [{"type": "text", "text": "a"}, image]},
            {"role": "narrator", "content": "a"},
        ]
        for message in refused:
            try:
                renderer.prompt([_USER, message])
            except Unrenderable:
                continue
            raise AssertionError(f"{message} was rendered")

    @staticmethod
    def _cpu(renderer: Renderer, ids: Sequence[int]) -> float:
        taken = []
        for _ in range(3):
            started = time.process_time()
            renderer.parse(ids)
            taken.append(time.process_time() - started)
        return min(taken)
