"""BFCL's questions, gold answers and checker, and the same calls as records of ours.

`bfcl-eval` is installed without its requirements. Of its checker's imports one is missing: the table of the
models that BFCL has run, which imports every vendor's SDK. The checker looks one thing up in it, whether a
model needs the dots of function names replaced; a table that says no for every model stands in.
"""

import copy
import json
import sys
import types
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from agentcore_rl.read import ToolCall, tool_calls
from agentcore_rl.rollout import Crosscheck, PromptRef, Trajectory
from made_rollouts import make_rollout, make_turn, raw

CATEGORIES = (
    *("simple_python", "multiple", "parallel", "parallel_multiple"),
    *("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple"),
)
_MODEL_TABLE = "bfcl_eval.constants.model_config"


@dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        id: BFCL's.
        category: BFCL's.
        functions: as BFCL describes them.
        answers: for each wanted call: name -> parameter -> the values that are right.
    """

    id: str
    category: str
    functions: list[dict[str, Any]]
    answers: list[dict[str, dict[str, list[Any]]]]


@dataclass(frozen=True)
class Case:
    """The calls of one answer, right or with one planted mistake.

    Attributes:
        item: the question.
        planted: the kind of mistake; "none" for the gold answer.
        at: which call has it.
        calls: name and arguments.
    """

    item: Item
    planted: str
    at: int
    calls: list[tuple[str, dict[str, Any]]]


def items(category: str, *, every: int = 1) -> Iterator[Item]:
    """The questions of a category, every so many of them."""
    folder = files("bfcl_eval") / "data"
    name = f"BFCL_v4_{category}.json"
    lines = (folder / "possible_answer" / name).read_text().splitlines()
    answers = {each["id"]: each["ground_truth"] for each in map(json.loads, lines)}
    for number, line in enumerate((folder / name).read_text().splitlines()):
        if number % every == 0:
            question = json.loads(line)
            yield Item(question["id"], category, question["function"], answers[question["id"]])


def bfcls_verdict(case: Case) -> str | None:
    """None when BFCL's checker accepts the calls, else its error type for the call with the mistake."""
    if _MODEL_TABLE not in sys.modules:
        table = types.ModuleType(_MODEL_TABLE)
        config = types.SimpleNamespace(underscore_to_dot=False)
        table.MODEL_CONFIG_MAPPING = defaultdict(lambda: config)  # type: ignore[attr-defined]
        sys.modules[_MODEL_TABLE] = table
    from bfcl_eval.constants.enums import Language
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    calls = [{name: arguments} for name, arguments in copy.deepcopy(case.calls)]
    told = ast_checker(
        case.item.functions, calls, case.item.answers, Language.PYTHON, case.item.category, "any"
    )
    if told["valid"]:
        return None
    for error in told["error"]:  # of parallel calls: one for each call that might have been meant
        found = error.get(f"Model Result Index {case.at}") if isinstance(error, dict) else None
        if found is not None:
            return str(found["sub_error_type"])
    return str(told.get("error_type", "type_error:nested"))  # where a nested type fails, it names none


def our_verdict(case: Case) -> list[ToolCall]:
    """The same calls as we judge them, out of a record."""
    written = [
        {
            "id": f"call-{n}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for n, (name, arguments) in enumerate(case.calls)
    ]
    messages = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": None, "tool_calls": written},
    ]
    turn = make_turn(0, prompt=PromptRef(0, [0]), answer=1, tools=0)
    rollout = make_rollout(
        messages=list(map(raw, messages)),
        tools=[raw([_tool(function) for function in case.item.functions])],
        trajectories=[Trajectory("main", None, [turn])],
        crosscheck=Crosscheck(),
    )
    return list(tool_calls(rollout))


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    """A function as BFCL offers it to models with tool calls, by its own table of types.

    Its checker refuses every parameter that the description does not name: so does the schema.
    """
    parameters = {**_schema(function["parameters"]), "additionalProperties": False}
    return {"type": "function", "function": {"name": function["name"], "parameters": parameters}}


def _schema(described: Any) -> Any:
    from bfcl_eval.constants.type_mappings import GORILLA_TO_OPENAPI

    schema = {key: value for key, value in described.items() if key in ("enum", "required", "maximum")}
    if isinstance(described.get("type"), str):
        schema["type"] = GORILLA_TO_OPENAPI[described["type"]]
    if isinstance(described.get("properties"), dict):
        schema["properties"] = {name: _schema(each) for name, each in described["properties"].items()}
    if isinstance(described.get("items"), dict):
        schema["items"] = _schema(described["items"])
    return schema


def gold(item: Item) -> list[tuple[str, dict[str, Any]]]:
    """The calls that are right: of each parameter the first value that is."""
    calls = []
    for answer in item.answers:
        [(name, parameters)] = answer.items()
        calls.append((name, _first_of_each(parameters)))
    return calls


def _first_of_each(options: Mapping[str, list[Any]], *, inner: bool = False) -> dict[str, Any]:
    chosen = {}
    for name, values in options.items():
        given = [value for value in values if value != ""]  # "" says that it may be left out
        if given:
            chosen[name] = given[0] if inner else _value(given[0])
    return chosen


def _value(value: Any) -> Any:
    """A value; of an object, and of objects in a list, BFCL gives the values of each key, and no deeper."""
    if isinstance(value, dict):
        return _first_of_each(value, inner=True)
    if isinstance(value, list):
        return [_first_of_each(each, inner=True) if isinstance(each, dict) else each for each in value]
    return value


OTHER_TYPE: dict[str, Any] = {
    **dict.fromkeys(("string", "any"), 7),
    "integer": "seven",
    "float": "a half",
    "boolean": "true",
    "dict": "none",
    **dict.fromkeys(("array", "tuple"), "one, two"),
}


def cases(item: Item) -> Iterator[Case]:
    """The gold answer, and it with one mistake of each kind that the functions allow, in its last call."""
    calls = gold(item)
    yield Case(item, "none", 0, calls)
    at = len(calls) - 1
    name, arguments = calls[at]
    function = next(each for each in item.functions if each["name"] == name)
    for planted, (other, changed) in _mistakes(name, arguments, function, item):
        yield Case(item, planted, at, [*calls[:at], (other, changed)])


def _mistakes(
    name: str, arguments: dict[str, Any], function: dict[str, Any], item: Item
) -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
    described = function["parameters"]["properties"]
    required = [each for each in function["parameters"].get("required", ()) if each in arguments]
    yield "wrong name", (f"{name}_now", arguments)
    others = [each["name"] for each in item.functions if each["name"] != name]
    if others:
        yield "another offered tool", (others[0], arguments)
    if required:
        yield "missing required", (name, {key: arguments[key] for key in arguments if key != required[-1]})
    yield "unexpected", (name, {**arguments, "surplus_parameter": 1})
    seen: set[str] = set()
    for key, value in arguments.items():
        kind = described[key]["type"] if key in described else None
        for planted, other in _wrong_values(kind, value, described.get(key, {})):
            if planted not in seen:  # one of each kind is enough
                seen.add(planted)
                yield planted, (name, {**arguments, key: other})


def _wrong_values(kind: str | None, value: Any, described: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if kind in OTHER_TYPE:
        yield f"wrong type for {kind}", OTHER_TYPE[kind]
    if kind == "integer" and isinstance(value, int):
        yield "integer as 5.0", float(value)
    if kind == "float" and isinstance(value, float) and value.is_integer():
        yield "float as 5", int(value)
    inner = described.get("items", {}).get("type") if kind == "array" else None
    if inner in OTHER_TYPE and isinstance(value, list) and value:
        yield f"wrong type in array of {inner}", [*value[:-1], OTHER_TYPE[inner]]
    if described.get("enum") and kind == "string":
        yield "not in enum", "none of these"
    elif kind == "string" and isinstance(value, str):
        yield "another value of the type", f"{value} but different"


# BFCL's error types, as our classes. Its others compare values with the gold answer, which no record has.
CLASSES = {
    "simple_function_checker:wrong_func_name": "unknown_tool",
    "simple_function_checker:missing_required": "missing_argument",
    "simple_function_checker:unexpected_param": "unexpected_argument",
    "type_error:simple": "wrong_type",
    "type_error:nested": "wrong_type",
}
NEEDS_GOLD = ("another offered tool", "another value of the type")
"""Mistakes that only the gold answer shows: the call is right by everything that was offered."""
NOT_IN_ENUM = "not in enum"


@dataclass(frozen=True)
class Outcome:
    """One case, as both judge it.

    Attributes:
        case: the case.
        theirs: BFCL's error type; None: accepted.
        ours: our class of the call with the mistake (of a gold answer: the first there is); None: no error.
        reason: why they differ, where they do; "" where they do not, None where nobody knows.
    """

    case: Case
    theirs: str | None
    ours: str | None
    reason: str | None

    @property
    def verdicts_agree(self) -> bool:
        """Both accept, or both refuse."""
        return (self.theirs is None) == (self.ours is None)

    @property
    def classes_agree(self) -> bool:
        """Both accept, or refuse for the same reason."""
        if self.case.planted == NOT_IN_ENUM and self.ours == "wrong_value":
            return (self.theirs or "").startswith("value_error")
        return self.verdicts_agree and self.ours == (self.theirs and CLASSES.get(self.theirs))


def judged(item: Item) -> list[Outcome]:
    """Every case of a question. Where either of us refuses its gold answer, that alone."""
    outcomes = []
    for case in cases(item):
        calls = our_verdict(case)
        errors = [call.error for call in (calls if case.planted == "none" else [calls[case.at]])]
        ours = next((error.value for error in errors if error is not None), None)
        outcome = Outcome(case, bfcls_verdict(case), ours, "")
        if not outcome.classes_agree:
            outcome = Outcome(case, outcome.theirs, ours, _reason(outcome, calls))
        outcomes.append(outcome)
        if case.planted == "none" and (outcome.theirs or outcome.ours):
            break
    return outcomes


def _reason(outcome: Outcome, calls: list[ToolCall]) -> str | None:
    planted, theirs, ours = outcome.case.planted, outcome.theirs, outcome.ours
    if planted == "none" and theirs is None:
        wrong = [one.sentence for call in calls for one in call.errors if one.error is not None]
        if all(" is null, which" in one or one.endswith("not null.") for one in wrong):
            return (
                "the gold answer has null where its description allows none (a default of null, left unsaid)"
            )
        if ours == "wrong_value":
            return "the gold answer has a value that is not in its description's own enum"
        if ours == "wrong_type":
            return "the gold answer has a value of another type than its description says"
    if planted == "none" and ours == "unexpected_argument":
        return "both refuse the gold answer, which has a parameter that its description lacks"
    if planted == "integer as 5.0" and theirs == "type_error:simple" and ours is None:
        return "5.0 is an integer to JSON Schema, and no int to Python"
    if planted in NEEDS_GOLD:
        return "only the gold answer tells that it is wrong, and a record has none"
    if ours == "wrong_type" and theirs is not None and theirs.startswith(("value_error", "dict_checker")):
        return "both refuse: BFCL takes a value of another type for a variable, and misses it in the gold"
    if planted == NOT_IN_ENUM and ours == "wrong_type":
        return "both refuse: the description's enum has values of another type than it says"
    return None
