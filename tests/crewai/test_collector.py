"""What the collector says of crews, agents and flows, compared with the scripted server."""

import asyncio
import threading
from typing import Any

import pytest
from crewai import Agent, Crew, Process, Task
from crewai.flow import Flow, listen, start
from crewai.tools import tool
from pydantic import BaseModel

from agentcore_rl.endpoint import Endpoint
from agentcore_rl.recorder.recorder import Recorder
from agentcore_rl.recorder.scope import Scope, rollout_scope
from agentcore_rl.rollout import Turns
from agentcore_rl.testing import Answer, ScriptedModel, Stall, Status, ToolCall
from agentcore_rl_crewai import CrewAIRolloutCollector, adapter, create_openai_compatible_model
from played import Moment

CALL = ToolCall("add", {"a": 1, "b": 2})


@tool("add")
def add(a: int, b: int) -> str:
    """Add two numbers."""
    if a == 13:
        raise RuntimeError("thirteen brings bad luck")
    return str(a + b)


def agent(role: str = "Solver", **more: Any) -> Agent:
    """An agent as a user declares it."""
    return Agent(
        **{
            "role": role,
            "goal": "Solve it.",
            "backstory": "You add.",
            "llm": create_openai_compatible_model(),
            "max_retry_limit": 0,
            **more,
        }
    )


def task(by: Agent | None = None, words: str = "Begin.", **more: Any) -> Task:
    """A task for it."""
    return Task(description=words, expected_output="A number.", agent=by, **more)


def kickoff(crew: Crew) -> str:
    """Run the crew while a collector listens."""
    with CrewAIRolloutCollector().listening():
        return str(crew.kickoff())


def paths(played: Any) -> list[tuple[str, str | None, int]]:
    """Each trajectory's agent, parent and number of turns."""
    return [(path.agent, path.parent, len(path.turns)) for path in played.recording.transcript.trajectories]


WAYS = {
    "kickoff": lambda crew: crew.kickoff(),
    "kickoff_async": lambda crew: asyncio.run(crew.kickoff_async()),
    "akickoff": lambda crew: asyncio.run(crew.akickoff()),
}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("stream", [False, True])
def test_a_crew_is_recorded(play, way: str, stream: bool):
    """Both turns, their tool execution, the role that called: however the crew is started."""

    def handler() -> str:
        solver = agent(tools=[add])
        with CrewAIRolloutCollector().listening():
            return str(WAYS[way](Crew(agents=[solver], tasks=[task(solver)])))

    played = play([Answer("Let me.", tool_calls=[CALL]), Answer("3 ✓")], handler, stream=stream)
    assert played.output == "3 ✓"
    played.assert_as_served()
    assert paths(played) == [("Solver", None, 2)]
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.suspect == []
    [execution] = played.executions
    assert (execution.name, execution.arguments, execution.outcome) == ("add", {"a": 1, "b": 2}, "succeeded")
    assert execution.seconds is not None
    assert played.turns[0].stored.labels == {"role": "Solver"}


@pytest.mark.parametrize("stream", [False, True])
def test_every_tool_call_is_told_with_what_became_of_it(play, stream: bool):
    """Parallel calls: good, raising, unknown, broken JSON, and one as another; each by its own id."""
    calls = [
        ToolCall("add", {"a": 1, "b": 2}, id="good"),
        ToolCall("add", {"a": 13, "b": 2}, id="raising"),
        ToolCall("divide", {"a": 1}, id="unknown"),
        ToolCall("add", '{"a": 1,', id="broken"),
        ToolCall("add", {"b": 2, "a": 1}, id="again"),
    ]
    played = play([Answer(tool_calls=calls), Answer("ok")], stream=stream)
    played.assert_as_served()
    told = {run.call_id: (run.outcome, run.error) for run in played.executions}
    parsing = "Error: Failed to parse tool arguments as JSON"
    assert told.pop("broken")[1].startswith(parsing)
    assert told == {
        "good": ("succeeded", None),
        "again": ("succeeded", None),
        "raising": ("failed", "thirteen brings bad luck"),
        "unknown": ("unknown_tool", "Tool not found"),
    }
    results = [message for message in played.turns[1].prompt if message["role"] == "tool"]
    assert [message["tool_call_id"] for message in results] == [call.id for call in calls]
    assert played.agreement == (2, 0, 0, 0)
    assert played.recording.counts == {}


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_and_text_beside_calls_stay_in_the_record(play, stream: bool):
    """CrewAI sends neither back; the record has what was sampled, and the next turn still follows it."""
    played = play(
        [Answer('Zwölf "q" 😀', tool_calls=[CALL], reasoning="hm"), Answer("ok", reasoning="so")],
        stream=stream,
    )
    first, second = played.turns
    assert first.answer["content"] == 'Zwölf "q" 😀'
    assert first.answer["reasoning_content"] == "hm"
    assert second.prompt[2]["content"] is None
    assert second.stored.parent == first.stored.id
    assert played.recording.suspect == []
    assert played.agreement == (2, 0, 0, 0)


@pytest.mark.parametrize("content", ["", None])
def test_an_empty_answer_ends_the_agent(play, content: str | None):
    """CrewAI takes it for an error; the turn is in the record."""
    played = play([Answer(content)])
    assert "None or empty" in str(played.error)
    [turn] = played.turns
    assert turn.answer is not None
    assert not turn.answer["content"]
    assert played.agreement == (1, 0, 0, 0)


def test_a_coworkers_turns_have_the_delegating_agent_as_parent(play):
    """Delegation is a tool: the coworker is a trajectory of its own."""
    asks = ToolCall(
        "delegate_work_to_coworker", {"task": "Add.", "context": "1 and 2", "coworker": "Adder"}, id="ask"
    )

    def handler() -> str:
        boss, adder = agent("Boss", allow_delegation=True), agent("Adder", tools=[add])
        return kickoff(Crew(agents=[boss, adder], tasks=[task(boss)]))

    played = play(
        [Answer(tool_calls=[asks]), Answer(tool_calls=[CALL]), Answer("3"), Answer("It is 3.")], handler
    )
    assert played.output == "It is 3."
    assert paths(played) == [("Boss", None, 2), ("Adder", "Boss", 2)]
    assert played.agreement == (4, 0, 0, 0)
    assert played.recording.suspect == []
    assert {run.name: run.outcome for run in played.executions} == {
        "add": "succeeded",
        "delegate_work_to_coworker": "succeeded",
    }


def test_a_hierarchys_manager_is_the_parent(play):
    """CrewAI makes the manager; its role is the trajectory's name."""
    asks = ToolCall(
        "delegate_work_to_coworker", {"task": "Add.", "context": "1 and 2", "coworker": "Adder"}, id="ask"
    )

    def handler() -> str:
        model = create_openai_compatible_model()
        crew = Crew(agents=[agent("Adder")], tasks=[task()], process=Process.hierarchical, manager_llm=model)
        return kickoff(crew)

    played = play([Answer(tool_calls=[asks]), Answer("3"), Answer("It is 3.")], handler)
    assert paths(played) == [("Crew Manager", None, 2), ("Adder", "Crew Manager", 1)]
    assert played.agreement == (3, 0, 0, 0)


def test_a_failing_coworker_leaves_the_boss_as_it_was(play):
    """CrewAI tells twice that a call failed; those after it are still the boss's, with no parent."""
    asks = ToolCall(
        "delegate_work_to_coworker", {"task": "Add.", "context": "1 and 2", "coworker": "Adder"}, id="ask"
    )

    def handler() -> str:
        boss = agent("Boss", allow_delegation=True)
        return kickoff(Crew(agents=[boss, agent("Adder")], tasks=[task(boss)]))

    played = play(
        [Answer(tool_calls=[asks]), Status(400), Answer(tool_calls=[asks]), Answer("3"), Answer("ok")],
        handler,
    )
    assert paths(played) == [("Boss", None, 3), ("Adder", "Boss", 2)]
    assert played.agreement == (5, 0, 0, 0)


def test_tasks_in_threads_are_told_apart(play):
    """Asynchronous tasks: each call has the role of its own agent, none has a parent."""

    def handler() -> str:
        one, two, last = agent("One"), agent("Two"), agent("Last")
        tasks = [
            task(one, "First.", async_execution=True),
            task(two, "Second.", async_execution=True),
            task(last, "Third."),
        ]
        return kickoff(Crew(agents=[one, two, last], tasks=tasks))

    played = play([Answer("a"), Answer("b"), Answer("c")], handler)
    assert sorted(paths(played)) == [("Last", None, 1), ("One", None, 1), ("Two", None, 1)]
    for path in played.recording.transcript.trajectories:
        [turn] = [turn for turn in played.turns if turn.stored.agent == path.agent]
        assert f"You are {path.agent}." in turn.prompt[0]["content"]
    assert played.agreement == (3, 0, 0, 0)


def test_a_guardrail_is_an_agent_of_its_own(play):
    """A guardrail in words asks the model; its label on the model is kept beside its role."""

    def handler() -> str:
        solver = agent()
        return kickoff(Crew(agents=[solver], tasks=[task(solver, guardrail="It is a number.")]))

    played = play([Answer("3"), Answer('{"valid": true, "feedback": null}')], handler)
    assert [path[0] for path in paths(played)] == ["Solver", "Guardrail Agent"]
    assert played.agreement[1:3] == (0, 0)
    assert played.output == "3"


def test_a_flow_names_its_methods(play):
    """Calls of a flow's methods, through an agent and of the model itself."""
    model = create_openai_compatible_model

    class Sums(Flow):
        @start()
        def ask(self) -> str:
            return str(model().call("One and two?"))

        @listen(ask)
        async def check(self, said: str) -> str:
            output = await agent("Checker").kickoff_async(f"Is it {said}?")
            return str(output.raw)

    def handler() -> str:
        with CrewAIRolloutCollector().listening():
            return str(Sums(suppress_flow_events=False).kickoff())

    played = play([Answer("3"), Answer("yes")], handler)
    assert played.output == "yes"
    assert [turn.stored.labels.get("node") for turn in played.turns] == ["ask", "check"]
    assert paths(played) == [("main", None, 1), ("Checker", None, 1)]
    assert played.agreement == (2, 0, 0, 0)


def test_a_crew_in_an_agents_tool_has_that_agent_as_parent(play):
    """Whatever CrewAI runs inside a tool is nested in it."""

    @tool("ask_others")
    def ask_others(question: str) -> str:
        """Ask others."""
        expert = agent("Expert")
        return str(Crew(agents=[expert], tasks=[task(expert, question)]).kickoff())

    def handler() -> str:
        boss = agent("Boss", tools=[ask_others])
        return kickoff(Crew(agents=[boss], tasks=[task(boss)]))

    asks = ToolCall("ask_others", {"question": "1 + 2?"})
    played = play([Answer(tool_calls=[asks]), Answer("3"), Answer("It is 3.")], handler)
    assert paths(played) == [("Boss", None, 2), ("Expert", "Boss", 1)]
    assert played.agreement == (3, 0, 0, 0)


class Sum(BaseModel):
    total: int
    unit: str = "one"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_with_a_form_is_recorded_as_sampled(play, stream: bool):
    """CrewAI writes the form anew; both witnesses agree on what it says."""

    def handler() -> Any:
        with CrewAIRolloutCollector().listening():
            return agent().kickoff("Begin.", response_format=Sum).pydantic

    played = play([Answer('{ "unit": "apples","total":3 }')], handler, stream=stream)
    assert played.output == Sum(total=3, unit="apples")
    [turn] = played.turns
    assert turn.answer["content"] == '{ "unit": "apples","total":3 }'
    assert played.agreement == (1, 0, 0, 0)


def test_an_answer_that_lacks_its_form_is_kept(play):
    """The sample is in the record, though it does not parse."""

    def handler() -> Any:
        with CrewAIRolloutCollector().listening():
            return agent().kickoff("Begin.", response_format=Sum).raw

    played = play(lambda _: Answer("no form"), handler)
    assert len(played.turns) >= 1
    assert all(turn.answer["content"] == "no form" for turn in played.turns)


def test_a_label_on_the_model_wins_over_the_role(play):
    """The trajectory has the label's name; the role stays among the labels."""

    def handler() -> str:
        critic = agent("Solver", llm=create_openai_compatible_model(agent="critic"))
        return kickoff(Crew(agents=[critic], tasks=[task(critic)]))

    played = play([Answer("ok")], handler)
    assert paths(played)[0][0] == "critic"
    assert played.turns[0].stored.labels == {"agent": "critic", "role": "Solver"}


def test_without_a_collector_the_record_is_the_same(play):
    """The wire alone; then there is nothing to compare."""

    def handler() -> str:
        solver = agent(tools=[add])
        return str(Crew(agents=[solver], tasks=[task(solver)]).kickoff())

    played = play([Answer(tool_calls=[CALL]), Answer("3")], handler)
    played.assert_as_served()
    assert paths(played) == [("main", None, 2)]
    assert played.recording.suspect == []
    assert not played.recording.crosscheck.collected


def test_listening_twice_hears_once(play):
    """Collectors inside one another, and one for several rollouts."""
    collector = CrewAIRolloutCollector()

    def handler() -> list[dict[str, Any]]:
        with collector.listening(), CrewAIRolloutCollector().listening():
            agent().kickoff("Begin.")
        return list(collector.get_rollout_data())

    for _ in range(2):
        played = play([Answer("ok")], handler)
        assert [message["role"] for message in played.output[0]["formatted_request"]["messages"]] == [
            "system",
            "user",
            "assistant",
        ]
        assert played.agreement == (1, 0, 0, 0)
    assert list(collector.get_rollout_data()) == []


def test_outside_of_a_rollout_it_does_nothing(monkeypatch):
    """The same agent in production."""
    with ScriptedModel([Answer("ok")]) as server:
        monkeypatch.setenv("BASE_URL", server.base_url)
        with CrewAIRolloutCollector().listening():
            assert agent().kickoff("Begin.").raw == "ok"


def test_a_cancelled_agent_ends_its_call_first(play):
    """CrewAI asks the model in a thread, which nothing can cancel; the turn is in the record."""
    asked = Moment()

    async def handler() -> None:
        solver = adapter.build_agent(create_openai_compatible_model(), [], "", collector=adapter.collector())
        with pytest.raises(TimeoutError):
            async with asked.ends():
                await adapter.run_agent(solver, "Begin.")

    played = play([Stall(0.5, Answer("late", expect=asked))], handler)
    assert [turn.answer["content"] for turn in played.turns] == ["late"]
    assert played.agreement == (1, 0, 0, 0)


def test_a_raw_thread_is_heard_by_the_wire_alone():
    """CrewAI's variables are not there, so nobody listens; the only rollout gets the call, marked."""
    recorder = Recorder()
    with (
        ScriptedModel([Answer("ok")]) as server,
        rollout_scope(Scope(Endpoint(server.base_url), recorder)),
        CrewAIRolloutCollector().listening(),
    ):
        thread = threading.Thread(target=lambda: agent().kickoff("Begin."))
        thread.start()
        thread.join()
    [turn] = Turns(recorder.transcript())
    assert turn.stored.scope == "inferred"
    assert recorder.finish().crosscheck.wire_only == 1


TOO_LONG = Status(400, code="context_length_exceeded", message="maximum context length is 9")


def test_an_agent_that_may_not_summarise_does_not_exit(play):
    """CrewAI would end the process, and every other rollout in it."""

    def handler() -> str:
        with CrewAIRolloutCollector().listening():
            return str(agent(respect_context_window=False).kickoff("Begin.").raw)

    played = play([TOO_LONG], handler)
    assert isinstance(played.error, RuntimeError)
    assert "may not summarise" in str(played.error)
    assert played.agreement == (1, 0, 0, 0)


def test_a_summary_is_the_agents_own_call(play):
    """CrewAI names no agent for it; the one that runs makes it, and its history begins anew."""

    def handler() -> str:
        with CrewAIRolloutCollector().listening():
            return str(agent(tools=[add]).kickoff("Begin.").raw)

    played = play(
        [Answer(tool_calls=[CALL]), TOO_LONG, Answer("<summary>so far</summary>"), Answer("ok")], handler
    )
    assert played.output == "ok"
    assert paths(played) == [("Solver", None, 4)]
    assert played.agreement == (4, 0, 0, 0)
    assert "forked" in played.recording.suspect


def test_an_agents_tasks_are_conversations_of_their_own(play):
    """The second task's prompt does not go on from the first's, which is no fork."""

    def handler() -> str:
        solver = agent()
        return kickoff(Crew(agents=[solver], tasks=[task(solver, "First."), task(solver, "Second.")]))

    played = play([Answer("a"), Answer("b")], handler)
    assert paths(played) == [("Solver", None, 2)]
    assert [turn.stored.labels.get("node") for turn in played.turns] == [None, "#2"]
    assert played.recording.suspect == []
