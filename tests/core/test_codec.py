import dataclasses
import json
import subprocess
import sys
from array import array
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.codec import (
    ENVELOPE_KEYS,
    ROLLOUT_DATA,
    SCHEMA,
    check_json,
    decode_record,
    encode_record,
    envelope_conflicts,
    json_schema,
    salvage,
)
from agentcore_rl.endpoint import Secret
from agentcore_rl.exceptions import ContractError, RecordUnreadable, UnknownSchema
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Failure, FailureKind, Rollout, Status, Tokens, ToolExecution, Trajectory
from made_rollouts import golden_rollout, json_values, make_rollout, make_turn, raw, rollouts

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "record.json"
PUBLISHED = HERE.parent.parent / "docs" / "schema" / "rollout-1.json"
SECRET = Secret('sk-planted/0"7\\é')


def encode(rollout: Rollout, *secrets: str) -> bytes:
    """The record's bytes, stored at a fixed place."""
    return encode_record(
        rollout, bucket="bucket", key="run/task.0/session.json", secrets=[*map(Secret, secrets)]
    )


def edited(change: Any) -> bytes:
    """The golden record after a change to its JSON."""
    record = json.loads(GOLDEN.read_bytes())
    change(record)
    return json.dumps(record).encode()


# ── what a record is


@given(rollouts())
def test_a_record_comes_back_as_it_was(rollout: Rollout) -> None:
    """Whatever a rollout holds, decoding what was encoded gives an equal one, and the same bytes again."""
    content = encode(rollout)
    again = decode_record(content)
    assert again == rollout
    assert encode(again) == content


def test_the_golden_record_is_what_we_write() -> None:
    """The committed record is byte for byte what this release makes of the same rollout."""
    assert encode(golden_rollout()) == GOLDEN.read_bytes()


def test_the_golden_record_is_what_we_read() -> None:
    """The committed record decodes to the rollout that it was made of."""
    assert decode_record(GOLDEN.read_bytes()) == golden_rollout()


def test_the_envelope_is_that_of_agentcore_rl_toolkit() -> None:
    """Top level: what the agent returned, how it ended, and where it lies."""
    record = json.loads(encode(make_rollout(output={"answer": 42})))
    record.pop("rollout")
    assert record == {
        "answer": 42,
        "rewards": 1.0,
        "status_code": 200,
        "stop_reason": "end_turn",
        "input_id": "task.0",
        "s3_bucket": "bucket",
        "result_key": "run/task.0/session.json",
        "payload": {"prompt": "question 0"},
    }


def test_a_failed_rollout_has_500_and_the_message_in_its_envelope() -> None:
    """Readers of the envelope see the failure without knowing our schema."""
    failure = Failure(FailureKind.AGENT, "It broke.")
    record = json.loads(encode(make_rollout(status=Status.FAILED, failure=failure, output=None, reward=None)))
    assert (record["status_code"], record["stop_reason"]) == (500, "It broke.")
    assert "rewards" not in record


def test_rewards_that_the_agent_returned_stand() -> None:
    """The reward's value is put at the top level only where the agent has no rewards of its own."""
    record = json.loads(encode(make_rollout(output={"rewards": [0.5, 0.25]}, reward=Reward(0.75))))
    assert record["rewards"] == [0.5, 0.25]
    assert decode_record(encode(make_rollout(output={}, reward=Reward(0.75)))).output == {}


def test_an_output_that_owns_an_envelope_key_is_kept_whole() -> None:
    """Such an output lies under our own record; the envelope stays the envelope."""
    output = {"payload": "mine", "status_code": 7, "answer": 1}
    content = encode(make_rollout(output=output))
    assert envelope_conflicts(output) == ["payload", "status_code"]
    assert json.loads(content)["status_code"] == 200
    assert "answer" not in json.loads(content)
    assert decode_record(content).output == output


@pytest.mark.parametrize("key", ENVELOPE_KEYS)
def test_every_envelope_key_conflicts(key: str) -> None:
    """Each key of the envelope, and no other, is the envelope's own."""
    assert envelope_conflicts({key: 1, "rewards": 1, "rollout_data": 2}) == [key]
    assert envelope_conflicts([key]) == []


def test_nothing_is_stored_twice() -> None:
    """A long output, payload or message occurs once in the bytes."""
    rollout = make_rollout(
        output={"text": "long output " * 9},
        payload={"prompt": "long payload"},
        messages=[raw("a message"), raw("b")],
    )
    content = encode(rollout)
    for text in (b"long output " * 9, b"long payload", b"a message"):
        assert content.count(text) == 1


def test_rollout_data_is_a_reference_that_reads_as_turns() -> None:
    """Turns that the agent handed back are stored as a marker and read as full histories."""
    rollout = make_rollout(2, output={"rollout_data": ROLLOUT_DATA, "inner": [{"turns": ROLLOUT_DATA}]})
    content = encode(rollout)
    assert content.count(b"question 1") == 1
    data = decode_record(content).output["rollout_data"]
    assert len(data) == 2
    assert [message["content"] for message in data[1]["formatted_request"]["messages"]] == [
        "question 0",
        "answer 0",
        "question 1",
        "answer 1",
    ]
    assert list(data) == [turn.to_dict() for turn in rollout.turns] == data[:]
    assert decode_record(content).output["inner"][0]["turns"] == data
    assert decode_record(encode(make_rollout(output=ROLLOUT_DATA))).output == ROLLOUT_DATA


def test_an_output_that_looks_like_our_marker_is_not_taken_for_one() -> None:
    """References are known by their place in the output, not by what stands there."""
    output = {"rollout_data": json.loads(encode(make_rollout(output={"x": ROLLOUT_DATA})))["x"]}
    assert decode_record(encode(make_rollout(output=output))).output == output


def test_token_ids_are_lists_in_json_and_arrays_in_memory() -> None:
    """Compact where it counts, plain JSON where others read."""
    tokens = Tokens(0, (1, 2), [3], [-0.5])
    rollout = make_rollout(trajectories=[Trajectory("main", None, [make_turn(tokens=tokens)])])
    content = encode(rollout)
    assert json.loads(content)["rollout"]["trajectories"][0]["turns"][0]["tokens"] == {
        "prompt_keep": 0,
        "prompt_new": [1, 2],
        "answer": [3],
        "logprobs": [-0.5],
    }
    assert decode_record(content).turns[0].stored.tokens == Tokens(
        0, array("I", [1, 2]), array("I", [3]), array("d", [-0.5])
    )


def test_a_record_does_not_keep_its_bytes_alive() -> None:
    """Messages of a decoded record are copies, not views of everything."""
    content = bytearray(encode(make_rollout()))
    rollout = decode_record(content)  # type: ignore[arg-type]
    content[:] = b""
    assert rollout.turns.message(0) == {"role": "user", "content": "question 0"}


# ── what cannot be read


def test_an_unknown_schema_is_refused_in_a_sentence() -> None:
    """A record of a newer release says which schema it has, and what to do."""
    content = edited(lambda record: record["rollout"].update(schema="agentcore-rl/rollout/2"))
    with pytest.raises(UnknownSchema, match=r"'agentcore-rl/rollout/2'.*only 'agentcore-rl/rollout/1'"):
        decode_record(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"rollout": 3}',
        b'{"rollout": {"schema": 1}}',
        b'{"rollout": {"schema": "else/1"}}',
        b'{"rewards": 1.0, "status_code": 200}',
        b"[" * 100_000,
        b'{"rollout":' + b"[" * 100_000,
    ],
    ids=range(11),
)
def test_what_is_no_record_of_ours_is_unreadable(content: bytes) -> None:
    """Foreign and broken objects are told apart from records by one exception."""
    with pytest.raises(RecordUnreadable) as refusal:
        decode_record(content)
    assert not isinstance(refusal.value, UnknownSchema)


@given(st.integers(0, 10**9))
def test_no_part_of_a_record_reads_as_a_record(seed: int) -> None:
    """A record that was cut anywhere is unreadable, never shorter."""
    content = GOLDEN.read_bytes()
    with pytest.raises(RecordUnreadable):
        decode_record(content[: seed % len(content)])


DAMAGES: dict[str, Any] = {
    "a field is missing": lambda r: r["rollout"].pop("run"),
    "a number is a string": lambda r: r["rollout"].update(sample="two"),
    "an unknown status": lambda r: r["rollout"].update(status="perhaps"),
    "an output key is missing": lambda r: r.pop("answer"),
    "an output path leads nowhere": lambda r: r["rollout"].update(output_turns=[["answer", "x", 3]]),
    "a message is missing": lambda r: r["rollout"]["messages"].pop(),
    "a negative message": lambda r: r["rollout"]["trajectories"][0]["turns"][0].update(answer=-1),
    "the tools are missing": lambda r: r["rollout"].update(tools=[]),
    "a turn extends itself": lambda r: r["rollout"]["trajectories"][0]["turns"][0].update(parent=0),
    "a turn extends nothing": lambda r: r["rollout"]["trajectories"][0]["turns"][1].update(parent=9),
    "a turn stands twice": lambda r: r["rollout"]["trajectories"][0]["turns"][1].update(id=0),
    "a token id is negative": lambda r: r["rollout"]["trajectories"][0]["turns"][1]["tokens"].update(
        answer=[-1]
    ),
    "a null among logprobs": lambda r: r["rollout"]["trajectories"][0]["turns"][0]["tokens"].update(
        logprobs=[None]
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_unreadable(damage: str) -> None:
    """Nothing is read of a record that refers to what it does not hold."""
    with pytest.raises(RecordUnreadable, match="damaged"):
        decode_record(edited(DAMAGES[damage]))


# ── strict JSON


class Strange:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Word(str):
    __slots__ = ()


def circle() -> list[Any]:
    """A list that contains itself."""
    items: list[Any] = [1]
    items.append({"again": items})
    return items


def deep(levels: int) -> Any:
    """A list in a list in a list ..."""
    value: Any = "bottom"
    for _ in range(levels):
        value = [value]
    return value


REFUSED: dict[str, tuple[Any, str]] = {
    "nan": ({"a": [1, 2, float("nan")]}, 'output["a"][2] is NaN'),
    "infinity": ([float("-inf")], "output[0] is infinite"),
    "bytes": ({"b": b"x"}, 'output["b"] is of type bytes'),
    "set": ({1, 2}, "output is of type set"),
    "object": ([Strange()], "output[0] is of type"),
    "key": ({"a": {1: 2}}, 'output["a"] has the key 1, which is not a string'),
    "circle": (circle(), 'output[1]["again"] refers back'),
    "deep": (deep(201), "is nested deeper than 200 levels"),
    "very deep": (deep(50_000), "is nested deeper than 200 levels"),
    "surrogate": (["\ud800"], "output[0] holds half of a surrogate pair"),
    "surrogate key": ({"\ud800": 1}, "output has a key with half of a surrogate pair"),
    "huge integer": (10**4000, "output is an integer of more than 3,900 digits"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_json_cannot_hold_is_refused_with_its_place(case: str) -> None:
    """The sentence names the path and the reason, and no record is made."""
    value, sentence = REFUSED[case]
    with pytest.raises(ContractError) as refusal:
        check_json(value)
    assert sentence in str(refusal.value)
    with pytest.raises(ContractError):
        encode(make_rollout(output=value))


@pytest.mark.parametrize("case", REFUSED)
def test_what_json_cannot_hold_is_salvaged_around(case: str) -> None:
    """Everything but the refused leaf is kept, and the rest can be stored."""
    kept = salvage(REFUSED[case][0])
    check_json(kept)
    assert decode_record(encode(make_rollout(output=kept))).output == kept


def test_salvage_replaces_leaves_alone() -> None:
    """What is fine stays where it is; what is not shows itself in at most 500 characters."""
    value = {"fine": [1, "é"], "bad": [b"x" * 10_000, float("nan"), Strange()], 7: "seven"}
    kept = salvage(value)
    assert kept["fine"] == [1, "é"]
    assert kept["7"] == "seven"
    assert len(kept["bad"][0]["$unserialisable"]) == 500
    assert kept["bad"][1:] == [{"$unserialisable": "nan"}, {"$unserialisable": "<Strange>"}]
    assert salvage({"a": ROLLOUT_DATA})["a"] is ROLLOUT_DATA


def test_subclasses_of_json_types_are_stored_as_these() -> None:
    """Tuples, enumerations of strings and other subclasses are plain JSON; secrets are not shown."""
    output = {"tuple": (1, Word("w")), Word("key"): Status.FAILED, "secret": Secret("short")}
    assert decode_record(encode(make_rollout(output=output))).output == {
        "tuple": [1, "w"],
        "key": "failed",
        "secret": "***",
    }


def test_the_same_list_twice_is_no_circle() -> None:
    """A value that stands in two places is stored in both."""
    items = [1]
    check_json({"a": items, "b": items})


@given(json_values)
def test_json_passes_the_check_and_salvage(value: Any) -> None:
    """What is JSON already is neither refused nor changed."""
    check_json(value)
    assert salvage(value) == value


def test_a_reward_that_is_not_finite_makes_no_record() -> None:
    """The JSON would say null, and the record could not be read again."""
    with pytest.raises(ContractError, match="not finite"):
        encode(make_rollout(reward=Reward(float("nan"))))


def test_parts_of_turns_that_are_no_json_never_cost_the_record() -> None:
    """They are salvaged, and the turn and the rollout are suspect."""
    turn = make_turn(
        labels={"x": float("nan")},
        executions=[ToolExecution("1", "tool", b"bytes", verdict={1, 2})],
        tokens=Tokens(0, [1], [1], [float("-inf")]),
    )
    other = make_turn(1)
    rollout = decode_record(encode(make_rollout(2, trajectories=[Trajectory("main", None, [turn, other])])))
    stored = rollout.turns[0].stored
    assert stored.labels == {"x": {"$unserialisable": "nan"}}
    assert stored.executions[0].arguments == {"$unserialisable": "b'bytes'"}
    assert stored.tokens is not None
    assert stored.tokens.logprobs is None
    assert stored.suspect == rollout.suspect == ["unserialisable"]
    assert rollout.turns[1].stored.suspect == []


@pytest.mark.parametrize("message", [b'{"role": "user", "x": NaN}', b'{"cut": ', b"[" * 300 + b"]" * 300])
def test_a_message_that_no_reader_could_decode_never_costs_the_record(message: bytes) -> None:
    """It is shown as text, and the turns that refer to it are suspect."""
    rollout = make_rollout(2)
    rollout = dataclasses.replace(
        rollout, messages=[*rollout.messages[:2], msgspec.Raw(message), rollout.messages[3]]
    )
    again = decode_record(encode(rollout))
    assert again.turns.message(2).keys() == {"$unserialisable"}
    assert [turn.stored.suspect for turn in again.turns] == [[], ["unserialisable"]]
    assert again.suspect == ["unserialisable"]


def test_a_payload_that_is_no_json_never_costs_the_record() -> None:
    """JSON parsers let NaN through; the record shows it."""
    assert decode_record(encode(make_rollout(payload={"x": float("nan")}))).payload == {
        "x": {"$unserialisable": "nan"}
    }


# ── secrets


def planted(secret: str) -> Rollout:
    """A rollout with a secret in every text that is not ours."""
    message = {
        "role": "assistant",
        "tool_calls": [{"function": {"arguments": json.dumps({"k": secret})}}],
        "content": secret,
    }
    return make_rollout(
        2,
        messages=[
            raw({"role": "user", "content": "q"}),
            raw("a"),
            raw(message),
            msgspec.Raw(json.dumps(secret).encode()),
        ],
        tools=[raw([{"type": "function", "function": {"description": secret}}])],
        trajectories=[
            Trajectory(
                secret,
                secret,
                [
                    make_turn(),
                    make_turn(
                        1,
                        agent=secret,
                        model=secret,
                        sampling={secret: secret},
                        asked={"a": [secret]},
                        finish_reason=secret,
                        response_id=secret,
                        executions=[
                            ToolExecution(secret, secret, {"a": secret}, "failed", secret, None, secret)
                        ],
                        labels={"a": f"x{secret}y"},
                        tools=0,
                    ),
                ],
            )
        ],
        failure=Failure(FailureKind.AGENT, secret, secret, f"Traceback {secret}"),
        output={"a": (secret, json.dumps([json.dumps(secret)])), secret: 1, "data": ROLLOUT_DATA},
        payload={"api_key": secret},
        reward=Reward(1.0, {secret: 1.0}, {}, {secret: 1.0}),
        model=secret,
    )


@pytest.mark.parametrize(
    "secret",
    [
        "sk-planted-secret",
        "slash/and+plus==",
        'quote"back\\slash',
        "line\nbreak\ttab",
        "ünïcödé😀",
        "<script>&",
    ],
)
def test_a_secret_occurs_nowhere_in_a_record(secret: str) -> None:
    """Not as it is, not in any JSON spelling; what it stood in is marked, the rest is as it was."""
    content = encode(planted(secret), secret)
    text = content.decode()
    for spelling in (
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret))[3:-3],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    ):
        assert spelling not in text
    rollout = decode_record(content)
    assert rollout.suspect == ["redacted"]
    assert [turn.stored.suspect for turn in rollout.turns] == [[], ["redacted"]]
    assert rollout.output["a"][0] == "***"
    assert rollout.output["***"] == 1
    assert len(rollout.output["data"]) == 2
    assert rollout.turns.message(0) == {"role": "user", "content": "q"}
    assert decode_record(encode(make_rollout(), secret)).suspect == []


@pytest.mark.parametrize(
    "secret",
    [
        "messages",
        "succeeded",
        "trajectories",
        "assistant",
        "agentcore-rl/rollout/1",
        "12345678",
        "question",
        "output_keys",
    ],
)
def test_a_secret_that_is_a_word_of_ours_breaks_nothing(secret: str) -> None:
    """Keys, enumerations and numbers of the record stay; texts are redacted all the same."""
    turn = make_turn(tokens=Tokens(0, [12345678], [1], None))
    rollout = make_rollout(
        trajectories=[Trajectory("main", None, [turn])],
        output={"text": f"my {secret}", "n": 12345678},
        messages=[raw({"role": "assistant", "messages": 1}), raw(2)],
    )
    again = decode_record(encode(rollout, secret))
    assert again.output["text"] == "my ***"
    assert again.status is Status.SUCCEEDED
    assert again.turns.message(0)["role"] == "assistant"
    assert again.suspect == ["redacted"]
    assert again.output["n"] == ("***" if secret == "12345678" else 12345678)


def test_short_values_are_no_secrets() -> None:
    """Below 8 characters a value would hide ordinary text."""
    assert decode_record(encode(make_rollout(output="the answer"), "answer")).output == "the answer"


# ── the published schema and the cost


def test_the_published_json_schema_is_current() -> None:
    """docs/schema holds what the classes say; renew it with the command in docs/records.md."""
    assert json.loads(PUBLISHED.read_text()) == json_schema()


def test_the_published_json_schema_names_what_a_record_has() -> None:
    """Every key of the golden record but what the agent returned is in the schema, and the reverse."""
    record = json.loads(GOLDEN.read_bytes())
    schema = json_schema()
    assert schema["properties"].keys() == set(ENVELOPE_KEYS)
    assert schema["$defs"]["StoredRollout"]["properties"].keys() == record["rollout"].keys()
    turn = record["rollout"]["trajectories"][0]["turns"][0]
    assert schema["$defs"]["Turn"]["properties"].keys() == turn.keys()
    assert SCHEMA == schema["$id"] == record["rollout"]["schema"]


def test_importing_the_codec_pulls_in_nothing_heavy() -> None:
    """No pydantic, no boto3, no HTTP client comes with it."""
    heavy = {"pydantic", "boto3", "httpx2", "starlette"}
    code = f"import sys, agentcore_rl.codec; print(*sorted({heavy!r} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
