"""OpenTelemetry: spans of the GenAI conventions that the protocol's own classes read."""

import base64
import dataclasses
import json

import pytest

from agentcore_rl.export import FORMATS
from agentcore_rl.rollout import Failure, FailureKind, Status
from made_branches import forked
from made_rollouts import golden_rollout, make_rollout, raw

ATTRIBUTES = (
    "gen_ai.operation.name gen_ai.provider.name gen_ai.agent.name gen_ai.conversation.id "
    "gen_ai.request.model gen_ai.request.temperature gen_ai.response.id "
    "gen_ai.response.finish_reasons gen_ai.usage.input_tokens "
    "gen_ai.usage.output_tokens gen_ai.system_instructions gen_ai.input.messages gen_ai.output.messages "
    "gen_ai.tool.definitions gen_ai.tool.name gen_ai.tool.type gen_ai.tool.call.id "
    "gen_ai.tool.call.arguments gen_ai.tool.call.result gen_ai.evaluation.name gen_ai.evaluation.score.value"
).split()


def _spans(rollout):
    (line,) = FORMATS["otel"].converter()(rollout)
    line = json.loads(json.dumps(line))
    return line["resourceSpans"][0]["scopeSpans"][0]["spans"]


def _attributes(span):
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def test_the_spans_of_a_rollout():
    """An agent, its turns and tools below it, a sub-agent below the agent; times lie inside each other."""
    spans = _spans(golden_rollout())
    assert [span["name"] for span in spans] == [
        "invoke_agent main",
        "chat smollm2",
        "execute_tool calculator",
        "chat smollm2",
        "invoke_agent helper",
        "chat smollm2",
    ]
    ids = {span["spanId"]: span["name"] for span in spans}
    assert len(ids) == 6
    assert [ids.get(span.get("parentSpanId")) for span in spans] == [
        None,
        *["invoke_agent main"] * 4,
        "invoke_agent helper",
    ]
    assert {span["traceId"] for span in spans} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    for span in spans:
        assert (
            int(spans[0]["startTimeUnixNano"])
            <= int(span["startTimeUnixNano"])
            <= int(span["endTimeUnixNano"])
        )
        assert int(span["endTimeUnixNano"]) <= int(spans[0]["endTimeUnixNano"])


def test_what_spans_say():
    """Messages in the conventions' form, the tool's arguments and result, usage, reward and scores."""
    root, first, tool, second, *_ = _spans(golden_rollout())
    said = _attributes(first)
    assert json.loads(said["gen_ai.system_instructions"]) == [
        {"type": "text", "content": "Use the calculator."}
    ]
    assert json.loads(said["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "What is 6 · 7? 😀"}]}
    ]
    call = {"type": "tool_call", "id": "call-1", "name": "calculator", "arguments": {"expression": "6*7"}}
    assert json.loads(said["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [call], "finish_reason": "tool_calls"}
    ]
    assert json.loads(said["gen_ai.tool.definitions"])[0]["name"] == "calculator"
    assert said["gen_ai.usage.input_tokens"] == "10"
    told = _attributes(tool)
    assert (told["gen_ai.tool.call.arguments"], told["gen_ai.tool.call.result"]) == (
        '{"expression": "6*7"}',
        "42",
    )
    answered = json.loads(_attributes(second)["gen_ai.input.messages"])[-1]
    assert answered["parts"] == [{"type": "tool_call_response", "id": "call-1", "response": "42"}]
    evaluations = [_attributes(event) for event in root["events"]]
    assert [one["gen_ai.evaluation.name"] for one in evaluations] == ["correct", "format", "reward"]
    assert root["status"] == {"code": 2, "message": "The reward is NaN."}
    assert _attributes(root)["error.type"] == "ContractError"


def test_ids_are_the_same_each_time():
    """The same record gives the same spans; another attempt gives others; a malformed trace id is none."""
    one, other = make_rollout(2), make_rollout(2, session="run-task-0-1-0123456789abcdef01234567")
    assert _spans(one) == _spans(one)
    ids = [{span["spanId"] for span in _spans(rollout)} for rollout in (one, other)]
    assert not ids[0] & ids[1]
    odd = _spans(dataclasses.replace(one, trace_id="0" * 32))
    assert odd[0]["traceId"] == _spans(one)[0]["traceId"] != "0" * 32


def test_names_are_those_of_the_conventions():
    """Every gen_ai attribute that is written is in the published list."""
    published = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    known = {value for name, value in vars(published).items() if name.startswith("GEN_AI_")}
    found = set()
    for span in [*_spans(golden_rollout()), *_spans(forked().rollout())]:
        found |= _attributes(span).keys()
        for event in span.get("events", ()):
            found |= _attributes(event).keys()
    written = {name for name in found if name.startswith("gen_ai.")}
    assert written == set(ATTRIBUTES)
    assert written <= known


@pytest.mark.parametrize(
    "rollout",
    [
        golden_rollout(),
        forked().rollout(),
        make_rollout(0),
        make_rollout(messages=[raw({"role": "user", "content": 5}), raw("no object")], output="\ud800"),
        make_rollout(0, status=Status.FAILED, failure=Failure(FailureKind.AGENT, "it broke"), reward=None),
    ],
    ids=["golden", "forked", "empty", "odd", "failed"],
)
def test_the_protocols_classes_read_it(rollout):
    """As OTLP/JSON has it: ids in hexadecimal, whole numbers as texts, enumerations as numbers."""
    trace_pb2 = pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2")
    json_format = pytest.importorskip("google.protobuf.json_format")
    (line,) = FORMATS["otel"].converter()(rollout)
    line = json.loads(json.dumps(line))
    spans = line["resourceSpans"][0]["scopeSpans"][0]["spans"]
    for span in spans:  # protobuf's own JSON has bytes in base 64, OTLP/JSON in hexadecimal
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in span:
                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    data = json_format.ParseDict(line, trace_pb2.TracesData())
    parsed = data.resource_spans[0].scope_spans[0].spans
    assert [len(span.trace_id) for span in parsed] == [16] * len(spans)
    assert [len(span.span_id) for span in parsed] == [8] * len(spans)
    assert parsed[0].kind == trace_pb2.Span.SPAN_KIND_INTERNAL
