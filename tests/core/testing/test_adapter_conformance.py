"""Every assertion of the suite fails for some defect: a suite that nothing can fail proves nothing.

Defects are wrappers of an adapter that passes (Strands'), or, where a new process is looked at, little
adapters without a framework.
"""

import ast
import asyncio
import dataclasses
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

import defective_adapters
from agentcore_rl.adapter import Deviations
from agentcore_rl.recorder.scope import current_recorder, current_scope
from agentcore_rl.testing import (
    AdapterConformance,
    adapter_conformance,
    adapter_conformance_faults,
    adapter_conformance_recording,
    adapter_conformance_trial,
)
from agentcore_rl.tools import Tool
from agentcore_rl_strands import adapter as strands_adapter
from agentcore_rl_strands.collector import StrandsRolloutCollector

MODULES = (
    adapter_conformance,
    adapter_conformance_faults,
    adapter_conformance_recording,
    adapter_conformance_trial,
)


class Good:
    """Strands' adapter, which passes everything on; defects are subclasses."""

    name = "strands"
    import_env = strands_adapter.import_env
    deviations = strands_adapter.deviations

    def create_openai_compatible_model(self, **asked: Any) -> Any:
        return strands_adapter.create_openai_compatible_model(**asked)

    def collector(self) -> Any:
        return strands_adapter.collector()

    def to_openai_messages(self, native: Any) -> list[dict[str, Any]]:
        return strands_adapter.to_openai_messages(native)

    def build_agent(self, model: Any, tools: Sequence[Tool], instructions: str, **further: Any) -> Any:
        return strands_adapter.build_agent(model, tools, instructions, **further)

    async def run_agent(self, agent: Any, prompt: str) -> str:
        return await strands_adapter.run_agent(agent, prompt)

    def extract_tools(self, agent: Any) -> list[Tool]:
        return strands_adapter.extract_tools(agent)


# ── defects of what an adapter is


class Attributes:
    """Only plain fields."""

    name = "strands"
    import_env = strands_adapter.import_env
    deviations = strands_adapter.deviations

    def create_openai_compatible_model(self) -> None: ...
    def collector(self) -> None: ...
    def to_openai_messages(self) -> None: ...


class Nothing:
    pass


class AnotherName(Good):
    name = "strange"


class DeclaresWords(Good):
    deviations = "bad_json=empty_object"  # type: ignore[assignment]


# ── defects of models


class OwnClient(Good):
    """The model has an HTTP client of its own: nothing of it is on our wire."""

    headers: Mapping[str, str] = MappingProxyType({})
    retries = 2

    def create_openai_compatible_model(self, *, agent: str = "main", **asked: Any) -> Any:
        from strands.models.openai import OpenAIModel

        scope = current_scope()
        terms = strands_adapter.create_openai_compatible_model(agent=agent, **asked)
        url = scope.endpoint.base_url if scope is not None and scope.endpoint is not None else "http://x"
        arguments = {
            "base_url": url,
            "api_key": "k",
            "max_retries": self.retries,
            "timeout": asked.get("timeout", 30),
            "default_headers": dict(self.headers),
        }
        return OpenAIModel(client_args=arguments, model_id="policy-7", stream=terms.config["stream"])


class LeaksLabels(OwnClient):
    headers = MappingProxyType({"X-AgentCore-RL-Agent": "main"})


class OwnClientWithoutRetries(OwnClient):
    retries = 0


class SeenByNobody(OwnClient):
    """Neither on our wire nor by callbacks."""

    def build_agent(self, model: Any, tools: Sequence[Tool], instructions: str, **further: Any) -> Any:
        return super().build_agent(model, tools, instructions, name=further.get("name", "main"))


class NeverStreams(Good):
    def create_openai_compatible_model(self, **asked: Any) -> Any:
        model = super().create_openai_compatible_model(**asked)
        model.update_config(stream=False)
        return model


class AlwaysTheTemperature(Good):
    """What the endpoint says is what the agent says."""

    def create_openai_compatible_model(self, **asked: Any) -> Any:
        return super().create_openai_compatible_model(**{**asked, "temperature": 0.75})


class ForgetsSampling(Good):
    def create_openai_compatible_model(self, *, agent: str = "main", stream: Any = None, **_: Any) -> Any:
        return super().create_openai_compatible_model(agent=agent, stream=stream)


class ForgetsItsLabel(Good):
    def create_openai_compatible_model(self, *, agent: str = "main", **asked: Any) -> Any:
        return super().create_openai_compatible_model(**asked)


# ── defects of agents


class AnswersItself(Good):
    """Without asking anybody."""

    async def run_agent(self, agent: Any, prompt: str) -> str:
        return "3"


class ForgetsItsAnswer(Good):
    async def run_agent(self, agent: Any, prompt: str) -> str:
        await super().run_agent(agent, prompt)
        return "done."


class NeverFails(Good):
    """An error becomes an answer."""

    async def run_agent(self, agent: Any, prompt: str) -> str:
        try:
            return await super().run_agent(agent, prompt)
        except Exception:  # noqa: BLE001 - the defect
            return ""


class TriesAgain(Good):
    """A refused call is tried again, by running the agent once more."""

    async def run_agent(self, agent: Any, prompt: str) -> str:
        try:
            return await super().run_agent(agent, prompt)
        except Exception:  # noqa: BLE001 - the defect
            return await super().run_agent(agent, prompt)


class FailsOnNothing(Good):
    async def run_agent(self, agent: Any, prompt: str) -> str:
        answer = await super().run_agent(agent, prompt)
        if not answer:
            raise ValueError("None or empty")
        return answer


class SpellsNothing(Good):
    async def run_agent(self, agent: Any, prompt: str) -> str:
        return await super().run_agent(agent, prompt) or "None"


class CannotBeCancelled(Good):
    async def run_agent(self, agent: Any, prompt: str) -> str:
        try:
            return await super().run_agent(agent, prompt)
        except asyncio.CancelledError:
            return "never mind"


class FailsWhenCancelled(Good):
    async def run_agent(self, agent: Any, prompt: str) -> str:
        try:
            return await super().run_agent(agent, prompt)
        except asyncio.CancelledError:
            raise RuntimeError("cancelled") from None


class IsCancelledSlowly(Good):
    async def run_agent(self, agent: Any, prompt: str) -> str:
        try:
            return await super().run_agent(agent, prompt)
        finally:
            await asyncio.sleep(2.2)


class TakesAnyPrompt(Good):
    async def run_agent(self, agent: Any, prompt: str) -> str:
        return await super().run_agent(agent, prompt) if isinstance(prompt, str) else ""


class RefusesWithTheWrongError(Good):
    async def run_agent(self, agent: Any, prompt: str) -> str:
        if not isinstance(prompt, str):
            raise ValueError(prompt)
        return await super().run_agent(agent, prompt)


class KeepsItsAgent(Good):
    """One agent for all, with what it has said before."""

    def __init__(self) -> None:
        self.agents: dict[str, Any] = {}

    def build_agent(self, model: Any, tools: Sequence[Tool], instructions: str, **further: Any) -> Any:
        agent = super().build_agent(model, tools, instructions, **further)
        return self.agents.setdefault(f"{len(tools)} {current_scope() is None}", agent)


class RunsAnything(Good):
    def build_agent(self, model: Any, tools: Sequence[Tool], instructions: str, **further: Any) -> Any:
        return super().build_agent(model, [tool for tool in tools if tool.function], instructions, **further)


class Edits(Good):
    """Changes its messages before each call of the model."""

    def build_agent(self, model: Any, tools: Sequence[Tool], instructions: str, **further: Any) -> Any:
        from strands.hooks import BeforeModelCallEvent

        agent = super().build_agent(model, tools, instructions, **further)
        agent.hooks.add_callback(BeforeModelCallEvent, lambda event: self.edit(event.agent.messages))
        return agent

    def edit(self, messages: list[Any]) -> None: ...


class TrimsTexts(Edits):
    def edit(self, messages: list[Any]) -> None:
        for message in messages:
            for block in message["content"]:
                if "text" in block:
                    block["text"] = " ".join(block["text"].split())


class TurnsRoundToolResults(Edits):
    def edit(self, messages: list[Any]) -> None:
        if "toolResult" in messages[-1]["content"][0]:
            messages[-1]["content"].reverse()


class MixesUpToolResults(Edits):
    def edit(self, messages: list[Any]) -> None:
        blocks = messages[-1]["content"]
        if "toolResult" in blocks[0]:
            first, last = blocks[0]["toolResult"], blocks[-1]["toolResult"]
            first["content"], last["content"] = last["content"], first["content"]


# ── defects of collectors

KEPT: list[Any] = []


class WithCollector(Good):
    """A collector with a defect."""

    kind: type[StrandsRolloutCollector]

    def collector(self) -> Any:
        return self.kind()


def collected_by(kind: type[StrandsRolloutCollector]) -> type[WithCollector]:
    """An adapter with this collector, under the collector's own name."""
    return type(kind.__name__, (WithCollector,), {"kind": kind})


@collected_by
class Deaf(StrandsRolloutCollector):
    def register_hooks(self, registry: Any, **kwargs: Any) -> None:
        return None


@collected_by
class HearsNoAnswers(StrandsRolloutCollector):
    def _model_call_ends(self, event: Any) -> None:
        self._end(event, None)


@collected_by
class HearsOtherAnswers(StrandsRolloutCollector):
    def _end(self, event: Any, message: Any, *further: Any) -> None:
        other = {"role": "assistant", "content": [{"text": "something"}]}
        super()._end(event, other, *further)


@collected_by
class HearsNoTools(StrandsRolloutCollector):
    def _tool_call_ends(self, event: Any) -> None:
        return None


@collected_by
class EachToolSucceeds(StrandsRolloutCollector):
    def _tool_call_ends(self, event: Any) -> None:
        event.result["status"] = "success"
        super()._tool_call_ends(event)


@collected_by
class ForgetsErrors(StrandsRolloutCollector):
    def _tool_call_ends(self, event: Any) -> None:
        names = ("tool_use", "cancel_message", "selected_tool", "duration")
        told = {name: getattr(event, name) for name in names}
        result = {**event.result, "content": []}
        super()._tool_call_ends(SimpleNamespace(**told, result=result, exception=None))


class Names(WithCollector):
    """What an agent is called is decided here."""

    def collector(self) -> Any:
        defect = self

        class Naming(StrandsRolloutCollector):
            def _model_call_begins(self, event: Any) -> None:
                name = event.agent.name
                event.agent.name = defect.named(name)
                super()._model_call_begins(event)
                event.agent.name = name

        return Naming()

    def named(self, name: str) -> str:
        return name


class OneNameForAll(Names):
    def named(self, name: str) -> str:
        return "main"


class SwapsNames(Names):
    def named(self, name: str) -> str:
        return {"planner": "solver", "solver": "planner"}.get(name, name)


class ANameForEachCall(Names):
    def named(self, name: str) -> str:
        return f"{name} at {time.monotonic()}"


@collected_by
class ForgetsTheCaller(StrandsRolloutCollector):
    def _invocation_begins(self, event: Any) -> None:
        recorder = current_recorder()
        if recorder is not None:
            recorder.attach_collector()


@collected_by
class KeepsRollouts(StrandsRolloutCollector):
    def _invocation_begins(self, event: Any) -> None:
        KEPT.append(current_recorder())
        super()._invocation_begins(event)


@collected_by
class GivesNoTurns(StrandsRolloutCollector):
    def get_rollout_data(self) -> Any:
        return []


@collected_by
class CollectsAnything(StrandsRolloutCollector):
    def get_rollout_data(self) -> Any:
        return super().get_rollout_data() if current_recorder() is not None else [None]


# ── defects of the other verbs


class TakesAnyMessage(Good):
    def to_openai_messages(self, native: Any) -> list[dict[str, Any]]:
        return []


class ExtractsTools(Good):
    """Tools are read back with a change."""

    def extract_tools(self, agent: Any) -> list[Tool]:
        return [self.change(tool) for tool in super().extract_tools(agent)]

    def change(self, tool: Tool) -> Tool:
        return tool


class ForgetsDescriptions(ExtractsTools):
    def change(self, tool: Tool) -> Tool:
        return dataclasses.replace(tool, description="")


class ForgetsWhatIsRequired(ExtractsTools):
    def change(self, tool: Tool) -> Tool:
        parameters = {name: value for name, value in tool.parameters.items() if name != "required"}
        return dataclasses.replace(tool, parameters=parameters)


class AddsTitles(ExtractsTools):
    def change(self, tool: Tool) -> Tool:
        return dataclasses.replace(tool, parameters={**tool.parameters, "title": "Arguments"})


# ── which assertion each defect fails: the test, its parameters, and words of the assertion's message

DEFECTS: list[tuple[type, str, dict[str, Any], str]] = [
    (AnswersItself, "the_record_is_the_wire", {"way": "async", "stream": False}, "played as written"),
    (LeaksLabels, "the_record_is_the_wire", {"way": "async", "stream": False}, "no label of ours"),
    (Nothing, "it_has_both_protocols", {}, "is a FrameworkAdapter"),
    (Attributes, "it_has_both_protocols", {}, "is an AgentBuilder"),
    (AnotherName, "it_has_both_protocols", {}, "entry point's"),
    (DeclaresWords, "it_has_both_protocols", {}, "core's Deviations"),
    (ForgetsItsAnswer, "the_record_is_the_wire", {"way": "sync", "stream": False}, "the model's last"),
    (OwnClient, "the_record_is_the_wire", {"way": "app", "stream": False}, "byte for byte"),
    (NeverStreams, "the_record_is_the_wire", {"way": "async", "stream": True}, "streamed if asked"),
    (Deaf, "the_record_is_the_wire", {"way": "app", "stream": False}, "callbacks saw"),
    (HearsOtherAnswers, "the_record_is_the_wire", {"way": "async", "stream": True}, "callbacks saw"),
    (OneNameForAll, "agents_of_one_model_are_told_apart", {"way": "async"}, "its own turns"),
    (SwapsNames, "agents_of_one_model_are_told_apart", {"way": "sync"}, "another's label"),
    (HearsNoTools, "the_record_is_the_wire", {"way": "async", "stream": False}, "the tool's run"),
    (ForgetsItsAnswer, "an_app_stores_the_record", {"way": "async"}, "handler's answer"),
    (NeverStreams, "an_app_stores_the_record", {"way": "async"}, "request decides"),
    (OwnClient, "an_app_stores_the_record", {"way": "sync"}, "stored prompts"),
    (Deaf, "an_app_stores_the_record", {"way": "async"}, "callbacks saw both"),
    (OwnClient, "the_conversation_is_the_scripts", {"stream": False}, "as it was sampled"),
    (TrimsTexts, "the_conversation_is_the_scripts", {"stream": True}, "only as declared"),
    (ANameForEachCall, "the_conversation_is_the_scripts", {"stream": False}, "continues the one before"),
    (FailsOnNothing, "an_empty_answer_is_an_answer", {"content": "", "stream": False}, "as declared"),
    (SpellsNothing, "an_empty_answer_is_an_answer", {"content": None, "stream": True}, "empty text"),
    (TurnsRoundToolResults, "tool_calls_at_once", {"stream": False}, "in the order of the calls"),
    (MixesUpToolResults, "tool_calls_at_once", {"stream": False}, "behind its own call"),
    (EachToolSucceeds, "tool_calls_at_once", {"stream": True}, "outcome is recorded"),
    (ForgetsErrors, "tool_calls_at_once", {"stream": True}, "has its error"),
    (ForgetsItsAnswer, "tool_calls_at_once", {"stream": False}, "the agent goes on"),
    (OwnClient, "what_was_sampled_is_kept", {"stream": False}, "the script's"),
    (ForgetsSampling, "sampling_reaches_the_wire", {}, "sent as asked for"),
    (AlwaysTheTemperature, "sampling_reaches_the_wire", {}, "what lost"),
    (ForgetsItsAnswer, "the_transport_alone_retries", {"stream": False}, "hears nothing"),
    (OwnClient, "the_transport_alone_retries", {"stream": False}, "each attempt"),
    (
        NeverFails,
        "an_error_of_the_server_ends_the_agent",
        {"stream": False, "status": 500},
        "reaches whoever runs",
    ),
    (Deaf, "an_error_of_the_server_ends_the_agent", {"stream": True, "status": 400}, "with one attempt"),
    (ForgetsSampling, "a_silent_server_is_given_up", {"stream": False}, "timeout counts"),
    (NeverFails, "a_silent_server_is_given_up", {"stream": True}, "reaches whoever runs"),
    (OwnClientWithoutRetries, "a_silent_server_is_given_up", {"stream": False}, "the only one"),
    (NeverFails, "a_cut_answer_is_marked", {"stream": True}, "reaches whoever runs"),
    (OwnClientWithoutRetries, "a_cut_answer_is_marked", {"stream": True}, "with what came"),
    (Deaf, "a_cut_answer_is_marked", {"stream": False}, "break off"),
    (CannotBeCancelled, "a_cancelled_run_ends", {"stream": False}, "raises 1"),
    (FailsWhenCancelled, "a_cancelled_run_ends", {"stream": False}, "is cancelled"),
    (IsCancelledSlowly, "a_cancelled_run_ends", {"stream": False}, "at once"),
    (SeenByNobody, "a_cancelled_run_ends", {"stream": False}, "without an answer"),
    (TriesAgain, "a_refused_call_is_refused_once", {}, "one call is refused"),
    (ForgetsItsLabel, "a_models_label_wins", {}, "label wins"),
    (ForgetsItsAnswer, "an_agent_in_a_tool_has_a_caller", {"inside": "sync", "stream": False}, "comes back"),
    (
        ForgetsTheCaller,
        "an_agent_in_a_tool_has_a_caller",
        {"inside": "async", "stream": True},
        "has a caller",
    ),
    (OneNameForAll, "many_rollouts_at_once_stay_apart", {}, "own prompts, endpoint"),
    (KeepsRollouts, "many_rollouts_at_once_stay_apart", {}, "nothing keeps"),
    (KeepsItsAgent, "an_agent_starts_afresh", {}, "nothing else"),
    (GivesNoTurns, "the_collector_has_the_turns", {}, "full histories"),
    (CollectsAnything, "the_collector_has_the_turns", {}, "nothing is collected"),
    (ForgetsDescriptions, "tools_can_be_read_back", {}, "names and descriptions"),
    (ForgetsWhatIsRequired, "tools_can_be_read_back", {}, "nothing taken away"),
    (AddsTitles, "tools_can_be_read_back", {}, "offered"),
    (TakesAnyMessage, "an_unknown_message_is_refused", {"native": 17}, "raises 1"),
    (TakesAnyPrompt, "a_prompt_is_a_string", {"prompt": None}, "raises 1"),
    (RefusesWithTheWrongError, "a_prompt_is_a_string", {"prompt": None}, "raises TypeError"),
    (RunsAnything, "a_tool_without_a_function_is_refused", {}, "raises 1"),
]

# In a new process: adapters of `defective_adapters`.
PROCESS_DEFECTS: list[tuple[str, str, str]] = [
    ("imports_its_framework", "loading_it_imports_no_framework", "our own packages"),
    ("needs_nothing", "a_missing_framework_is_one_sentence", "need the framework"),
    ("says_not_how", "a_missing_framework_is_one_sentence", "says how to install"),
    ("breaks_in_a_new_process", "it_talks_to_nobody_else", "answers in a new process"),
    ("phones_home", "it_talks_to_nobody_else", "no socket"),
    ("looks_up_its_home", "it_talks_to_nobody_else", "no socket"),
    ("asks", "it_talks_to_nobody_else", "nobody is asked"),
    ("prints", "it_talks_to_nobody_else", "nothing is printed"),
    ("lingers", "it_talks_to_nobody_else", "ends soon"),
]

# Each deviation, declared otherwise than it is.
UNTRUE = {
    field.name: (
        not value if isinstance(value, bool) else {"tool_error_text": "^Oh: "}.get(field.name, "raises")
    )
    for field in dataclasses.fields(Deviations)
    for value in [getattr(strands_adapter.deviations, field.name)]
}


# ── running one test of the suite against one defect


def assertions() -> dict[tuple[str, int, int], tuple[str, str]]:
    """File, first and last line of each assertion of the suite -> its test, and what it says."""
    found: dict[tuple[str, int, int], tuple[str, str]] = {}
    for module in MODULES:
        path = inspect.getfile(module)
        functions = [
            node for node in ast.walk(ast.parse(Path(path).read_text())) if isinstance(node, ast.FunctionDef)
        ]
        for function in functions:
            raises = 0
            for node in ast.walk(function):
                if isinstance(node, ast.Assert) and node.msg is not None:
                    said = ast.unparse(node.msg)
                elif isinstance(node, ast.With) and "pytest.raises" in ast.unparse(node.items[0]):
                    raises += 1
                    said = f"raises {raises}"
                else:
                    continue
                found[path, node.lineno, node.end_lineno or node.lineno] = (function.name, said)
    return found


def failed_assertion(call: Callable[[], object]) -> tuple[str, str] | None:
    """Where, and what the assertion says that fails in this call; None when none fails."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - pytest's own failures are no Exceptions
        said = ("another line", repr(error))
        at = error.__traceback__
        while at is not None:
            path = at.tb_frame.f_code.co_filename
            for (file, first, last), words in assertions().items():
                if path == file and first <= at.tb_lineno <= last:
                    said = words
            at = at.tb_next
        return said
    return None


class Suite(AdapterConformance):
    """The suite over an adapter with a defect; what takes long is shortened."""

    rollouts = 10
    exit_s = 0.5

    def __init__(self, defect: Any, place: str = "") -> None:
        self.adapter = defect
        self.place = place

    @staticmethod
    async def hidden_call(agent: Any) -> None:
        """As a summariser would."""
        await agent.invoke_async("Begin.")
        async for _ in agent.model.stream([{"role": "user", "content": [{"text": "?"}]}]):
            pass


@pytest.mark.parametrize(
    ("defect", "test", "parameters", "words"),
    DEFECTS,
    ids=[f"{test}-{defect.__name__}" for defect, test, _, _ in DEFECTS],
)
@pytest.mark.filterwarnings("default")
def test_a_defective_adapter_fails_its_assertion(
    defect: type, test: str, parameters: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """The suite finds the defect at the very assertion that is meant to find it."""
    suite = Suite(defect())
    if test == "it_has_both_protocols" and defect is AnotherName:
        suite.name = "strands"
    if test == "an_app_stores_the_record":
        parameters = {**parameters, "tmp_path": tmp_path}
    said = failed_assertion(lambda: getattr(suite, f"test_{test}")(**parameters))
    KEPT.clear()
    assert said is not None, "the defect was not found"
    assert words in said[1]
    assert said[0] in (f"test_{test}", "_play", "run")


@pytest.mark.parametrize(("defect", "test", "words"), PROCESS_DEFECTS)
def test_a_defect_is_found_in_a_new_process(
    defect: str, test: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for what an adapter does to a process."""
    monkeypatch.setenv("PYTHONPATH", str(Path(defective_adapters.__file__).parent))
    suite = Suite(getattr(defective_adapters, defect), f"defective_adapters:{defect}")
    said = failed_assertion(lambda: getattr(suite, f"test_{test}")(tmp_path))
    assert said is not None, "the defect was not found"
    assert words in said[1]


@pytest.mark.parametrize(
    "test",
    ["loading_it_imports_no_framework", "a_missing_framework_is_one_sentence", "it_talks_to_nobody_else"],
)
def test_an_adapter_without_a_framework_passes_in_a_new_process(
    test: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What those defects are made of is itself sound."""
    monkeypatch.setenv("PYTHONPATH", str(Path(defective_adapters.__file__).parent))
    suite = Suite(defective_adapters.frameless, "defective_adapters:frameless")
    getattr(suite, f"test_{test}")(tmp_path)


class DeviationSuite(Suite):
    """Measures once for all the defects that only declare something else."""


@pytest.mark.parametrize("deviation", UNTRUE)
def test_an_untrue_declaration_is_found(deviation: str) -> None:
    """Declared and not observed, or observed and not declared: the field's own test fails, no other's."""
    defect = Good()
    defect.deviations = dataclasses.replace(strands_adapter.deviations, **{deviation: UNTRUE[deviation]})
    kind = DeviationSuite if deviation != "tool_error_text" else type("Own", (DeviationSuite,), {})
    said = failed_assertion(lambda: kind(defect).test_a_deviation_is_declared_iff_observed(deviation))
    assert said is not None, "the declaration was believed"
    assert "is declared as it is observed" in said[1]
    suite = DeviationSuite(Good())
    suite.test_a_deviation_is_declared_iff_observed(deviation)


def test_every_assertion_has_its_defect() -> None:
    """No assertion of the suite is without a defect that fails it."""
    words = [
        *((test, words) for _, test, _, words in DEFECTS),
        *((test, words) for _, test, words in PROCESS_DEFECTS),
        ("a_deviation_is_declared_iff_observed", "is declared as it is observed"),
    ]
    for function, said in assertions().values():
        found = any(text in said and function in (f"test_{test}", "_play", "run") for test, text in words)
        assert found, f"{function}: {said}"


@pytest.mark.parametrize("test", sorted({test for _, test, _, _ in DEFECTS}))
def test_an_adapter_without_defect_passes(test: str, tmp_path: Path) -> None:
    """The wrapper that the defects are made of is itself sound."""
    parameters = next(parameters for _, name, parameters, _ in DEFECTS if name == test)
    if test == "an_app_stores_the_record":
        parameters = {**parameters, "tmp_path": tmp_path}
    getattr(Suite(Good()), f"test_{test}")(**parameters)
