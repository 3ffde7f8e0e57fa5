"""Tool calls are judged from the record alone: by their form, and by what became of them."""

import json
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcore_rl.read import ToolCallError, tool_calls
from agentcore_rl.rollout import Crosscheck, PromptRef, ToolExecution, Trajectory
from made_rollouts import json_values, make_rollout, make_turn, raw, rollouts

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
STRICT = {**WEATHER, "additionalProperties": False}


def tool(name, parameters=None, **more):
    """A tool as requests offer it; without parameters where there are none."""
    function = {"name": name, **({} if parameters is None else {"parameters": parameters}), **more}
    return {"type": "function", "function": function}


TOOLS = [
    tool("calculator", {"type": "object"}),
    tool("weather", WEATHER),
    tool("strict", STRICT),
    tool("now"),
]


def call(name, arguments, call_id=None):
    """A tool call of an answer."""
    call_id = f"call-{name}" if call_id is None else call_id
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}


def calling(*calls):
    """An answer with these calls."""
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def rollout_of(*steps, tools=TOOLS, collected=False, trajectories=None, **fields):
    """A conversation: each step is an answer, or an answer with its executions and what was sent back.

    Args:
        steps: an answer; or (answer, executions, {call id: result}).
        tools: what every request offers; None for none.
        collected: whether a collector watched.
        trajectories: number of the trajectory of each step; None puts all into one.
        fields: further fields of every turn.
    """
    messages, turns = [raw({"role": "user", "content": "?"})], []
    new, keep, parent = [0], 0, None
    for number, step in enumerate(steps):
        answer, executions, back = step if isinstance(step, tuple) else (step, [], {})
        messages.append(raw(answer))
        at = len(messages) - 1
        plain = {"parent": parent, "prompt": PromptRef(keep, new), "answer": at, "executions": executions}
        turns.append(make_turn(number, **plain, tools=None if tools is None else 0, **fields))
        keep, parent = keep + len(new), number
        new = [at]
        for call_id, content in back.items():
            messages.append(raw({"role": "tool", "tool_call_id": call_id, "content": content}))
            new.append(len(messages) - 1)
    paths = trajectories or [0] * len(turns)
    return make_rollout(
        messages=messages,
        tools=[] if tools is None else [raw(tools)],
        trajectories=[
            Trajectory(
                f"agent{path}", None, [turn for turn, own in zip(turns, paths, strict=True) if own == path]
            )
            for path in sorted(set(paths))
        ],
        crosscheck=Crosscheck(collected=collected),
    )


def one(name, arguments, **more):
    """The only call of a rollout that makes it."""
    [found] = tool_calls(rollout_of(calling(call(name, arguments)), **more))
    return found


def ran(call_id, name="weather", outcome="succeeded", error=None, seconds=0.25):
    """An execution."""
    return ToolExecution(call_id, name, None, outcome, error, seconds)


# ---- form


def test_a_call_is_well_formed_when_parsed_and_known():
    """Arguments that are a JSON object, for a tool that was offered; the text stays as the model wrote it."""
    answer = calling(
        call("calculator", '{"expression": "2+2"}'),
        call("calculator", '{"expression": '),
        call("calculator", "[1]"),
        call("search", "{}"),
        call("calculator", ""),
    )
    found = list(tool_calls(rollout_of({"role": "assistant", "content": "no call"}, answer)))
    assert [each.well_formed for each in found] == [True, False, False, False, False]
    assert [each.known for each in found] == [True, True, True, False, True]
    assert found[0].parsed == {"expression": "2+2"}
    assert found[1].arguments == '{"expression": '
    assert {each.turn for each in found} == {1}
    assert [each.format_ok for each in found] == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("name", "arguments", "error", "valid"),
    [
        ("weather", {"city": "Oslo"}, None, True),
        ("weather", {"city": "Oslo", "days": 1.0}, None, True),
        ("weather", '{"city": "\\u00d8slo 😀"}', None, True),
        ("weather", '{"city": 1, "city": "Oslo"}', None, True),  # the last of two equal keys counts
        ("weather", "{'city': 'Oslo'}", "invalid_json", None),
        ("weather", '{"city": "Oslo"', "invalid_json", None),
        ("weather", '{"city": "Oslo", "days": NaN}', "invalid_json", None),
        ("weather", '{"city": "Oslo", "days": 1e999}', "invalid_json", None),
        ("weather", '{"city": "\\ud800"}', "invalid_json", None),
        ("weather", "[" * 100_000, "invalid_json", None),
        ("weather", '{"city": ' + "[" * 300 + "]" * 300 + "}", "invalid_json", None),
        ("weather", "null", "not_an_object", None),
        ("weather", '"Oslo"', "not_an_object", None),
        ("wether", {"city": "Oslo"}, "unknown_tool", None),
        ("", {}, "unknown_tool", None),
        ("weather", {}, "missing_argument", False),
        ("strict", {"city": "Oslo", "unit": "C"}, "unexpected_argument", False),
        ("strict", {"unit": "C", "days": "2"}, "missing_argument", False),
        ("weather", {"city": None}, "wrong_type", False),
        ("weather", {"city": "Oslo", "days": 10**30}, None, True),
        ("now", {}, None, True),
        ("now", {"zone": "UTC"}, "unexpected_argument", False),
        ("calculator", {"any": ["thing"]}, None, True),
    ],
)
def test_each_class_of_error(name, arguments, error, valid):
    """The gravest error names the class; validity is only told of what could be judged."""
    found = one(name, arguments)
    assert found.error == error
    assert found.schema_valid is valid
    assert found.format_ok is (valid if error is None or valid is False else False)


def test_every_finding_is_told_with_its_path():
    """Not only the gravest."""
    found = one("strict", {"unit": "C", "days": "2"})
    assert [(each.path, each.error.value) for each in found.errors] == [
        ("$.days", "wrong_type"),
        ("$.city", "missing_argument"),
        ("$.unit", "unexpected_argument"),
    ]
    assert "$.city is missing" in found.errors[1].sentence


def test_arguments_that_a_schema_lets_pass_unnamed_are_told():
    """JSON Schema allows what it does not name; that the model made a name up is still worth knowing."""
    found = one("weather", {"city": "Oslo", "unit": "C"})
    assert (found.schema_valid, found.undeclared) == (True, ("unit",))
    assert one("calculator", {"any": 1}).undeclared == ()


def test_each_call_is_judged_by_its_own_request():
    """A tool that is offered later was not known before; without tools no call is known."""
    answer = calling(call("calculator", "{}"))
    assert [each.well_formed for each in tool_calls(rollout_of(answer, tools=None))] == [False]
    assert one("strict", {"city": "x"}, tools=[tool("strict", STRICT, strict=True)]).schema_valid
    assert one("a", {"x": 1}, tools=[tool("a", {"required": ["y"]}), tool("a", {})]).schema_valid is False


@pytest.mark.parametrize(
    "parameters",
    [{"type": "dict"}, {"$ref": "http://127.0.0.1:9/x"}, {"properties": {"city": 5}}, "text", []],
)
def test_a_tool_whose_schema_is_unusable_is_not_held_against_the_model(parameters):
    """The call is well-formed, its validity unknown, and the reason is told."""
    found = one("weather", {"city": "Oslo"}, tools=[tool("weather", parameters)])
    assert (found.well_formed, found.schema_valid, found.format_ok, found.error) == (True, None, None, None)
    assert [each.error for each in found.errors] == [None]


def test_custom_tools_take_text():
    """A tool without a schema has nothing to be judged by."""
    custom = {"id": "c", "type": "custom", "custom": {"name": "shell", "input": "ls {"}}
    [found] = tool_calls(rollout_of(calling(custom), tools=[{"type": "custom", "custom": {"name": "shell"}}]))
    assert (found.name, found.arguments, found.known, found.error) == ("shell", "ls {", True, None)
    assert found.format_ok is None


def test_odd_answers_are_counted_and_harm_nothing():
    """Calls of a shape that no server should send, and turns without an answer."""
    answer = {"role": "assistant", "tool_calls": [{}, None, {"function": {"name": 5, "arguments": None}}]}
    found = list(tool_calls(rollout_of(answer, {"role": "assistant", "tool_calls": "none"}, "text")))
    assert [(each.name, each.arguments) for each in found] == [("", "null"), ("", "null"), ("5", "null")]
    assert not any(each.well_formed for each in found)
    turn = make_turn(0, answer=None)
    assert list(tool_calls(make_rollout(trajectories=[Trajectory("main", None, [turn])]))) == []


def test_arguments_that_came_as_an_object_are_judged_alike():
    """Some servers send the object itself."""
    entry = {"id": "c", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
    [found] = tool_calls(rollout_of(calling(entry)))
    assert (found.schema_valid, found.arguments) == (True, '{"city":"Oslo"}')


@pytest.mark.parametrize(
    ("fields", "constrained"),
    [
        ({}, False),
        ({"suspect": ["constrained"]}, True),
        ({"sampling": {"guided_json": None}}, False),
        ({"sampling": {"structured_outputs": {"json": {}}}}, True),
        ({"sampling": {"response_format": {"type": "json_schema"}}}, True),
        ({"sampling": {"response_format": {"type": "text"}}}, False),
    ],
)
def test_what_was_sampled_under_a_grammar_is_marked(fields, constrained):
    """Its form tells nothing of the policy."""
    assert one("weather", {"city": "Oslo"}, **fields).constrained is constrained


# ---- execution


def test_without_a_collector_nobody_knows_what_ran():
    """None, which is not False."""
    found = one("weather", {"city": "Oslo"})
    assert (found.executed, found.execution_ok, found.error, found.duration_s) == (None, None, None, None)


@pytest.mark.parametrize(
    ("execution", "executed", "good", "error"),
    [
        (ran("c"), True, True, None),
        (ran("c", outcome="failed", error="boom"), True, False, "tool_error"),
        (ran("c", outcome="failed"), True, False, "tool_error"),
        (ran("c", outcome="unknown_tool", error="no such tool"), False, False, "not_executed"),
        (None, False, False, "not_executed"),
    ],
)
def test_what_became_of_a_call(execution, executed, good, error):
    """Run, run with an error, refused, or never run."""
    steps = (calling(call("weather", {"city": "Oslo"}, "c")), [execution] if execution else [], {})
    [found] = tool_calls(rollout_of(steps, collected=True))
    assert (found.executed, found.execution_ok, found.error) == (executed, good, error)
    assert found.duration_s == (None if execution is None else 0.25)
    assert (found.execution_error is None) == (execution is None or good)


def test_a_wrong_form_is_graver_than_what_came_of_it():
    """The class is that of the cause; both findings are told."""
    steps = (calling(call("weather", {}, "c")), [ran("c", outcome="failed", error="city is required")], {})
    [found] = tool_calls(rollout_of(steps, collected=True))
    assert found.error is ToolCallError.MISSING_ARGUMENT
    assert [each.error for each in found.errors] == ["missing_argument", "tool_error"]
    assert found.execution_error == "city is required"


def test_executions_find_their_calls():
    """By id; equal ids in order; nameless ones by tool; the last of several executions of one call."""
    answer = calling(
        call("weather", {"city": "A"}, "same"),
        call("weather", {"city": "B"}, "same"),
        call("weather", {"city": "C"}, ""),
        call("now", {}, ""),
        call("weather", {"city": "D"}, "twice"),
    )
    executions = [
        ran("", "now", seconds=4),
        ran("same", seconds=1),
        ran("twice", outcome="failed", error="busy", seconds=5),
        ran("same", seconds=2),
        ran("", seconds=3),
        ran("twice", seconds=6),
        ran("of no call", seconds=9),
    ]
    found = list(tool_calls(rollout_of((answer, executions, {}), collected=True)))
    assert [each.duration_s for each in found] == [1, 2, 3, 4, 6]
    assert all(each.execution_ok for each in found)


def test_calls_that_callbacks_did_not_see_are_not_held_to_have_not_run():
    """A hidden call's tools ran where nobody watched."""
    rollout = rollout_of(calling(call("weather", {"city": "Oslo"})), collected=True)
    hidden = make_rollout(
        messages=rollout.messages,
        tools=rollout.tools,
        trajectories=rollout.trajectories,
        crosscheck=Crosscheck(wire_only=1, collected=True),
    )
    assert [each.executed for each in tool_calls(hidden)] == [None]


# ---- recovery and waste


def test_recovery_is_a_success_of_the_same_tool_within_three_calls():
    """Of later answers: a call beside it did not know of the error."""
    good, bad, other = call("weather", {"city": "x"}), call("weather", {}), call("now", {})

    def recovered(*answers):
        return next(iter(tool_calls(rollout_of(*answers)))).recovered

    assert recovered(calling(good)) is None
    assert recovered(calling(bad)) is False
    assert recovered(calling(bad), calling(good)) is True
    assert recovered(calling(bad, good)) is False
    assert recovered(calling(bad), calling(other, other), calling(good)) is True
    assert recovered(calling(bad), calling(other, other, other), calling(good)) is False
    assert recovered(calling(bad), calling(bad), calling(other)) is False
    assert recovered(calling(call("wether", {})), calling(good)) is True


def test_recovery_stays_in_its_trajectory():
    """What another agent did is not this one's merit."""
    steps = [calling(call("weather", {})), calling(call("weather", {"city": "x"}))]
    apart = list(tool_calls(rollout_of(*steps, trajectories=[0, 1])))
    assert [each.recovered for each in apart] == [False, None]
    assert [each.agent for each in apart] == ["agent0", "agent1"]


def test_the_same_call_with_the_same_result_is_waste():
    """Key order and 1.0 make no other arguments; another result makes it worth while."""
    first, again = (
        call("weather", '{"city": "x", "days": 1}', "a"),
        call("weather", '{"days": 1.0, "city": "x"}', "b"),
    )

    def repeated(back, back_again, **more):
        steps = [
            (calling(first), [], back),
            (calling(again), [], back_again),
            {"role": "assistant", "content": "."},
        ]
        return [each.repeated for each in tool_calls(rollout_of(*steps, **more))]

    assert repeated({"a": "rain"}, {"b": "rain"}) == [False, True]
    assert repeated({"a": "rain"}, {"b": "sun"}) == [False, False]  # it looked again, and saw something new
    assert repeated({}, {}) == [False, True]
    assert repeated({"a": "rain"}, {"b": "rain"}, tools=None) == [False, True]


def test_waste_between_agents_needs_the_same_result():
    """Two agents may ask the same; that it was for nothing is only certain when the same came back."""

    def asked(call_id):
        return calling(call("weather", {"city": "x"}, call_id))

    def repeated(*back):
        steps = [(asked("a"), [], {}), (asked("b"), [], {})]
        made = rollout_of(*steps, trajectories=[0, 1])
        if not back:
            return [each.repeated for each in tool_calls(made)]
        messages = [
            *made.messages,
            *(
                raw({"role": "tool", "tool_call_id": i, "content": c})
                for i, c in zip("ab", back, strict=True)
            ),
        ]
        end = make_turn(
            2, parent=None, answer=None, prompt=PromptRef(0, [len(messages) - 2, len(messages) - 1])
        )
        paths = [*made.trajectories, Trajectory("agent2", None, [end])]
        return [
            each.repeated
            for each in tool_calls(make_rollout(messages=messages, tools=made.tools, trajectories=paths))
        ]

    assert repeated() == [False, False]
    assert repeated("rain", "rain") == [False, True]
    assert repeated("rain", "sun") == [False, False]


# ---- anything


schemas = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([{}, {"type": "object"}, {"type": 5}, {"$ref": "#"}, WEATHER]),
    lambda inner: st.dictionaries(
        st.sampled_from(["properties", "anyOf", "items", "not"]), inner, max_size=2
    ),
    max_leaves=4,
)
arguments = st.one_of(
    st.text(max_size=30), json_values.map(lambda value: msgspec.json.encode(value).decode()), json_values
)
odd_tools = json_values | st.lists(st.builds(tool, st.sampled_from(["a", "b"]), schemas), max_size=3)
odd_calls = json_values | st.lists(
    json_values | st.builds(lambda name, text: {"id": "x", "function": {"name": name, "arguments": text}},
                            st.sampled_from(["a", "b", ""]), arguments),
    max_size=4,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(odd_tools, st.lists(odd_calls, min_size=1, max_size=3))
def test_whatever_was_offered_and_answered_is_classified(offered, answers):
    """No answer and no tool raises, and what is told does not contradict itself."""
    made = rollout_of(
        *({"role": "assistant", "tool_calls": each} for each in answers), tools=offered, collected=True
    )
    for found in tool_calls(made):
        assert found.schema_valid is None or found.well_formed
        assert found.format_ok is not True or not (found.error and found.error.of_format)
        assert (found.recovered is None) == (found.error is None)
        assert found.error in {None, *(each.error for each in found.errors)}


@settings(max_examples=15, deadline=None)
@given(rollouts())
def test_any_record_is_classified(rollout):
    """Any record that can be stored can be read."""
    list(tool_calls(rollout))


@pytest.mark.parametrize("of", ["calls", "arguments", "results"])
def test_time_is_linear(of):
    """Eight times as much takes about eight times as long; a square would take 64."""

    def took(size):
        if of == "arguments":
            made = rollout_of(
                calling(call("weather", {"city": "x" * size * 50, "more": list(range(size * 20))}))
            )
        else:
            same = of == "results"
            steps = [
                (calling(call("weather", {"city": "x" if same else f"{n}"}, f"c{n}")), [], {f"c{n}": f"{n}"})
                for n in range(size)
            ]
            made = rollout_of(*steps)
        rounds = []
        for _ in range(3):
            began = time.process_time()
            assert len(list(tool_calls(made))) == (1 if of == "arguments" else size)
            rounds.append(time.process_time() - began)
        return min(rounds)

    took(100)
    assert took(1600) < 24 * took(200) + 0.02
