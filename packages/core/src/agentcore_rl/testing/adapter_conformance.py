"""The contract of a framework's adapter as tests: subclass it, name your adapter, run pytest.

    class TestMyFramework(AdapterConformance):
        name = "myframework"

A server that plays scripts is the oracle: what it was asked and what it said is compared with what
the record has, with what the agent returned, and with what the adapter declares.
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from agentcore_rl.adapter import AgentBuilder, Deviations, FrameworkAdapter
from agentcore_rl.testing.adapter_conformance_deviations import measure_deviations
from agentcore_rl.testing.adapter_conformance_faults import FaultConformance
from agentcore_rl.testing.adapter_conformance_player import TOOLS
from agentcore_rl.testing.adapter_conformance_process import Seen, look
from agentcore_rl.testing.adapter_conformance_recording import RecordingConformance
from agentcore_rl.testing.adapter_conformance_trial import BASIC
from agentcore_rl.testing.script import Answer
from agentcore_rl.testing.scripted_model import ScriptedModel
from agentcore_rl.tools import Tool

__all__ = ["AdapterConformance"]


class AdapterConformance(RecordingConformance, FaultConformance):
    """What every adapter does, with the framework that is installed."""

    # ---- what it is

    def test_it_has_both_protocols(self) -> None:
        """It is an adapter and a builder of agents, found under its own name, with plain fields."""
        adapter = self._adapter()
        assert isinstance(adapter, FrameworkAdapter), "it is a FrameworkAdapter"
        assert isinstance(adapter, AgentBuilder), "it is an AgentBuilder"
        assert adapter.name == (self.name or adapter.name), "its name is its entry point's"
        assert isinstance(adapter.deviations, Deviations), "its deviations are core's Deviations"

    def test_loading_it_imports_no_framework(self, tmp_path: Path) -> None:
        """What must be set before the framework is imported can be read without importing it."""
        seen = self._look("loading", tmp_path)
        assert seen.report.get("brought") == [], f"nothing but our own packages is imported: {seen}"

    def test_a_missing_framework_is_one_sentence(self, tmp_path: Path) -> None:
        """Whatever needs the framework says that it is missing, and the command that installs it."""
        seen = self._look("missing", tmp_path)
        told = seen.report.get("sentences", {})
        silent = [verb for verb in ("create_openai_compatible_model", "build_agent") if not told.get(verb)]
        assert silent == [], f"a model and an agent need the framework: {seen}"
        for verb, sentence in told.items():
            one = sentence is None or ("\n" not in sentence and 'Install it with: pip install "' in sentence)
            assert one, f"{verb} says how to install the framework: {sentence!r}"

    def test_it_talks_to_nobody_else(self, tmp_path: Path) -> None:
        """A new process with a terminal: no other socket, no question, no print, a quick exit."""
        model = ScriptedModel(BASIC).start()
        try:
            seen = self._look("talking", tmp_path, model.base_url)
        finally:
            model.stop()
        assert seen.report.get("answer") == "3", f"the agent answers in a new process: {seen}"
        assert seen.report["strangers"] == [], "no socket but the endpoint's is opened"
        assert seen.report["asked"] == [], "nobody is asked at the terminal"
        assert seen.printed == "", "nothing is printed"
        assert seen.exit_s < self.exit_s, "the process ends soon"

    def _look(self, what: str, place: Path, *further: str) -> Seen:
        return look(what, self.place or self.name, place, *further)

    # ---- its deviations

    @pytest.mark.parametrize("deviation", [field.name for field in dataclasses.fields(Deviations)])
    def test_a_deviation_is_declared_iff_observed(self, deviation: str) -> None:
        """Each field has the value that this very release of the framework shows."""
        observed = getattr(self._measured(), deviation)
        declared = getattr(self._adapter().deviations, deviation)
        assert declared == observed, f"{deviation} is declared as it is observed"

    def _measured(self) -> Deviations:
        """Measured once for a class of tests."""
        kept: Deviations | None = type(self).__dict__.get("_kept")
        if kept is None:
            hidden_call = type(self).hidden_call
            kept = asyncio.run(measure_deviations(self._adapter(), hidden_call=hidden_call))
            type(self)._kept = kept  # type: ignore[attr-defined]
        return kept

    # ---- the other verbs

    def test_tools_can_be_read_back(self) -> None:
        """An agent's tools are those that it was given, and those that the model is offered."""
        nested = {
            "type": "object",
            "properties": {
                "city": {"type": "string", "enum": ["Zürich", "Bern"], "description": "Which city."},
                "days": {"type": "array", "items": {"type": "integer"}, "description": "Which days."},
            },
            "required": ["city", "days"],
        }
        given = [*TOOLS[:1], Tool("weather_now", "The weather – 天気.", nested, lambda city, days: "12")]
        player = self._player()
        read: list[Tool] = []

        async def run() -> None:
            agent = player.build(tools=given)
            read.extend(player.adapter.extract_tools(agent))
            await player.ask(agent)

        played = self._play([Answer("ok")], run)
        assert [(tool.name, tool.description) for tool in read] == [
            (tool.name, tool.description) for tool in given
        ], "names and descriptions come back"
        assert all(_has(back.parameters, tool.parameters) for back, tool in zip(read, given, strict=True)), (
            "schemas come back, with nothing taken away"
        )
        offered = [Tool.from_openai(declared) for declared in played.turns[0].tools]
        assert offered == read, "they are what the model is offered"

    @pytest.mark.parametrize("native", [object(), [object()], 17], ids=["object", "list", "number"])
    def test_an_unknown_message_is_refused(self, native: Any) -> None:
        """What is no message of the framework raises TypeError; nothing is passed over in silence."""
        with pytest.raises(TypeError):
            self._adapter().to_openai_messages(native)

    @pytest.mark.parametrize("prompt", [[{"text": "hi"}], None, b"hi"], ids=["blocks", "none", "bytes"])
    def test_a_prompt_is_a_string(self, prompt: Any) -> None:
        """Anything else is refused before the model is asked: content blocks could run a tool without it."""
        player = self._player()

        async def run() -> None:
            with pytest.raises(TypeError):
                await player.adapter.run_agent(player.build(), prompt)

        assert self._play([], run).error is None, "it raises TypeError"

    def test_a_tool_without_a_function_is_refused(self) -> None:
        """A declaration alone is for reading."""
        with pytest.raises(TypeError):
            self._player().build(tools=[Tool("add")])


def _has(schema: Any, declared: Any) -> bool:
    """Whether a schema says all that was declared; what a framework adds to it is not looked at."""
    if isinstance(declared, dict):
        return isinstance(schema, dict) and all(
            name in schema and _has(schema[name], value) for name, value in declared.items()
        )
    return bool(schema == declared)
