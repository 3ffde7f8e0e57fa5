"""From a payload to a checked request: every bad one is one sentence, none of them with a key in it."""

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.exceptions import InvalidRequest, NotAllowed, RequestRefused
from agentcore_rl.request import Parsed, Probe, is_rollout, parse, payload_secrets, without_secrets
from agentcore_rl.rollout import Destination, Limits, RolloutRequest, derive_session
from agentcore_rl.settings import Settings

KEY = "sk-planted-1234567890"
OWN_KEY = "sk-of-the-deployment"
OPEN = Settings.from_environment(
    {
        "BASE_URL": "http://own.example/v1",
        "MODEL_ID": "own-model",
        "API_KEY": OWN_KEY,
        "AGENTCORE_RL_BUCKETS": "bucket-*",
        "AGENTCORE_RL_PREFIXES": "team/*",
        "AGENTCORE_RL_QUEUES": "https://sqs.*.amazonaws.com/123/*",
    }
)
IDS = {"exp_id": "run-1", "input_id": "task-7.2"}
VALID_IDS = st.from_regex(re.compile(r"[A-Za-z0-9_=-](\.?[A-Za-z0-9_=-]){0,40}"), fullmatch=True)


def rollout(**fields: Any) -> dict[str, Any]:
    """A payload with `_rollout`."""
    return {"prompt": "2 + 2?", "_rollout": {**IDS, **fields}}


def training(**fields: Any) -> dict[str, Any]:
    """A payload with `_training`."""
    return {"prompt": "2 + 2?", "_training": {**IDS, **fields}}


def parsed(payload: Any, *, session: str | None = None, settings: Settings = OPEN) -> Parsed:
    """What the payload asks for."""
    found = parse(payload, session=session, settings=settings)
    assert isinstance(found, Parsed)
    return found


def test_plain_payloads_are_no_rollouts():
    """Only `_rollout` and `_training` ask for one."""
    assert not is_rollout({"prompt": "x"})
    assert is_rollout(rollout())
    assert is_rollout(training())


@pytest.mark.parametrize(
    ("payload", "kind"),
    [([], "a list"), ("x", "a string"), (None, "null"), (True, "a boolean"), (1.5, "a number")],
)
def test_a_payload_is_an_object(payload: Any, kind: str):
    """Anything else is refused with what it is."""
    with pytest.raises(InvalidRequest, match=f"^The payload must be a JSON object, not {kind}.$"):
        is_rollout(payload)


def test_rollout_fields_are_read():
    """Every field of the design's table."""
    request = parsed(
        rollout(
            attempt=3,
            base_url="http://127.0.0.1:8000/v1",
            api_key=KEY,
            model_id="m",
            sampling_params={"temperature": 0.5},
            return_token_ids=True,
            s3_bucket="bucket-1",
            prefix="team/a",
            queue="https://sqs.us-west-2.amazonaws.com/123/q",
            deadline_s=60,
            max_turns=5,
            max_tokens=100,
            policy_version=7,
            stream=False,
        ),
        session="session-1",
    ).request
    assert request == RolloutRequest(
        run="run-1",
        task="task-7",
        sample=2,
        session="session-1",
        input_id="task-7.2",
        attempt=3,
        endpoint=Endpoint(
            "http://127.0.0.1:8000/v1",
            "m",
            Secret(KEY),
            {"temperature": 0.5},
            {"return_token_ids": True},
            timeout_s=600.0,
        ),
        destination=Destination("bucket-1", "team/a/", "https://sqs.us-west-2.amazonaws.com/123/q"),
        limits=Limits(60.0, 5, 100),
        policy_version=7,
        stream=False,
        payload={"prompt": "2 + 2?"},
    )
    assert request.key == "team/a/run-1/task-7.2/session-1.json"


def test_without_fields_the_deployment_decides():
    """Its endpoint with its key, its destination, no limits, a derived session."""
    request = parsed(rollout()).request
    assert request.endpoint == OPEN.endpoint
    assert request.destination == Destination()
    assert request.limits == Limits()
    assert request.session == derive_session("run-1", "task-7", 2, 0)
    assert parsed(rollout(), settings=Settings.from_environment({})).request.endpoint is None


def test_a_key_never_goes_to_another_url():
    """Url and key come from the same source: the deployment's key stays with the deployment's url."""
    named = parsed(rollout(base_url="http://127.0.0.1:1/v1")).request.endpoint
    assert named is not None
    assert named.api_key == ""
    assert named.model == "own-model"
    with pytest.raises(InvalidRequest, match="belongs to a base_url"):
        parsed(rollout(api_key=KEY))
    model_only = parsed(rollout(model_id="m2", sampling_params={"top_p": 1})).request.endpoint
    assert model_only is not None
    assert (model_only.base_url, model_only.api_key.reveal()) == ("http://own.example/v1", OWN_KEY)


def test_the_seeds_fields_are_read_and_stay_for_the_handler():
    """`_training` stays in the payload without what is secret in it."""
    fields = {"session_id": "s-1", "s3_bucket": "bucket-1", "note": "mine"}
    payload = training(**fields, api_key=KEY, nested={"token": KEY})
    found = parsed(payload, session="header")
    assert found.request.session == "s-1"
    assert found.request.endpoint == OPEN.endpoint
    assert found.request.destination.bucket == "bucket-1"
    visible = found.request.payload["_training"]
    assert visible == {**IDS, **fields, "nested": {}}
    assert payload["_training"]["api_key"] == KEY
    assert KEY in [secret.reveal() for secret in found.secrets]


@pytest.mark.parametrize(
    ("input_id", "task", "sample"),
    [
        ("a.0", "a", 0),
        ("a.12", "a", 12),
        ("a.b.3", "a.b", 3),
        ("a", "a", 0),
        ("a.01", "a.01", 0),
        ("a.x", "a.x", 0),
        ("7", "7", 0),
        ("a.9999999999", "a.9999999999", 0),
    ],
)
def test_an_input_id_is_a_task_and_a_sample(input_id: str, task: str, sample: int):
    """`{task}.{sample}`; any other id is a task with sample 0, and the key keeps it as it came."""
    request = parsed(rollout(input_id=input_id)).request
    assert (request.task, request.sample) == (task, sample)
    assert f"/{input_id}/" in request.key


BAD: list[tuple[dict[str, Any], str]] = [
    ({"_rollout": IDS, "_training": IDS}, "both _rollout and _training"),
    ({"_rollout": None}, "_rollout must be an object, not null"),
    ({"_rollout": [1]}, "_rollout must be an object, not a list"),
    ({"_training": "x"}, "_training must be an object, not a string"),
    ({"_rollout": {}}, "_rollout.exp_id: field required; _rollout.input_id: field required"),
    ({"_training": {"exp_id": "r"}}, "_training.input_id: field required"),
    (rollout(agentcore_rl_future=1), "does not know: agentcore_rl_future"),
    (training(agentcore_rl_future=1), "does not know: agentcore_rl_future"),
    (rollout(exp_id=""), "_rollout.exp_id: must be 1-128 characters"),
    (rollout(exp_id="a/b"), "_rollout.exp_id: must be"),
    (rollout(exp_id=".."), "_rollout.exp_id: must be"),
    (rollout(exp_id="a..b"), "_rollout.exp_id: must be"),
    (rollout(exp_id="."), "_rollout.exp_id: must be"),
    (rollout(exp_id="a\n"), "_rollout.exp_id: must be"),
    (rollout(exp_id="é"), "_rollout.exp_id: must be"),
    (rollout(exp_id="x" * 129), "_rollout.exp_id: must be"),
    (rollout(exp_id=5), "_rollout.exp_id: must be"),
    (rollout(input_id=None), "_rollout.input_id: must be"),
    (training(session_id="../x"), "_training.session_id: must be"),
    (rollout(attempt="1"), "_rollout.attempt: must be a whole number"),
    (rollout(attempt=True), "_rollout.attempt: must be a whole number"),
    (rollout(attempt=1.0), "_rollout.attempt: must be a whole number"),
    (rollout(attempt=-1), "_rollout.attempt: input should be greater than or equal to 0"),
    (rollout(max_turns=0), "_rollout.max_turns: input should be greater than or equal to 1"),
    (rollout(max_tokens="9"), "_rollout.max_tokens: must be a whole number"),
    (rollout(deadline_s=0), "_rollout.deadline_s: input should be greater than 0"),
    (rollout(deadline_s="60"), "_rollout.deadline_s: must be a number"),
    (rollout(deadline_s=True), "_rollout.deadline_s: must be a number"),
    (rollout(stream="yes"), "_rollout.stream: input should be a valid boolean"),
    (rollout(base_url=5), "_rollout.base_url: input should be a valid string"),
    (
        rollout(base_url="http://127.0.0.1/v1", api_key=[KEY]),
        "_rollout.api_key: input should be a valid string",
    ),
    (rollout(base_url="http://127.0.0.1/v1", api_key=f"{KEY}\r\nx: y"), "_rollout.api_key must be printable"),
    (rollout(api_key=KEY), "_rollout.api_key belongs to a base_url"),
    (rollout(sampling_params=[KEY]), "_rollout.sampling_params: input should be a valid dictionary"),
    (rollout(sampling_params={"messages": []}), "cannot set messages"),
    (rollout(messages=[], tools=[]), "cannot set messages, tools"),
    (rollout(sampling_params={"stream": True}), "cannot set stream"),
    (
        rollout(sampling_params={"temperature": math.nan}),
        r'payload\["_rollout"\]\["sampling_params"\].* is NaN',
    ),
    ({**rollout(), "x": {"y": math.inf}}, r'payload\["x"\]\["y"\] is infinite'),
    ({**rollout(), "x": "\ud800"}, r'payload\["x"\] holds half of a surrogate pair'),
    (rollout(base_url="ftp://127.0.0.1"), "must be an http"),
    (rollout(base_url=f"http://user:{KEY}@127.0.0.1/v1"), "must not hold a user or a password"),
    (rollout(base_url=f"http://127.0.0.1/v1?api_key={KEY}"), "must not hold a query"),
    (rollout(base_url="http://elsewhere.example/v1"), "AGENTCORE_RL_ENDPOINTS"),
    (rollout(base_url="http://2852039166/v1"), "never allowed"),
    (rollout(s3_bucket=5), "_rollout.s3_bucket: input should be a valid string"),
    (rollout(s3_bucket="other"), "AGENTCORE_RL_BUCKETS"),
    (rollout(s3_bucket="bucket-1/../../etc"), "s3_bucket must be"),
    (rollout(s3_bucket=""), "s3_bucket must be"),
    (training(s3_bucket=".."), "s3_bucket must be"),
    (rollout(prefix="/etc"), "prefix must be"),
    (rollout(prefix="team/../x"), "prefix must be"),
    (rollout(prefix="team//x"), "prefix must be"),
    (rollout(prefix="other/x"), "AGENTCORE_RL_PREFIXES"),
    (rollout(queue="https://sqs.us-west-2.amazonaws.com/999/q"), "AGENTCORE_RL_QUEUES"),
    (rollout(queue="https://evil.test/.amazonaws.com/123/q"), "AGENTCORE_RL_QUEUES"),
    (training(sqs_url=7), "_training.sqs_url: input should be a valid string"),
    ({"_rollout": {"exp_id": "r", "probe": "../x"}}, "_rollout.probe: must be"),
    ({"_rollout": {"probe": "x"}}, "_rollout.exp_id: field required"),
    ({"_rollout": {"exp_id": "r", "probe": "x", "s3_bucket": "other"}}, "AGENTCORE_RL_BUCKETS"),
]


@pytest.mark.parametrize(("payload", "sentence"), BAD)
def test_bad_payloads_are_one_sentence(payload: dict[str, Any], sentence: str):
    """A 400 that says what is wrong, and nothing of what might be a key."""
    with pytest.raises(RequestRefused, match=sentence) as refused:
        parse(payload, session=None, settings=OPEN)
    assert refused.value.status == 400
    said = str(refused.value)
    assert KEY not in said
    assert OWN_KEY not in said
    assert said.endswith(".")
    assert "\n" not in said


def test_a_bad_session_header_is_refused():
    """The header is an id like the others."""
    with pytest.raises(InvalidRequest, match="session id of the request must be 1-128"):
        parsed(rollout(), session="a/b")


def test_a_payload_nested_too_deeply_is_refused():
    """Not an error of Python's."""
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    with pytest.raises(InvalidRequest, match="nested deeper than"):
        parsed({**rollout(), "x": deep})


@given(VALID_IDS, VALID_IDS, VALID_IDS)
def test_valid_ids_make_a_key_of_three_parts(run: str, input_id: str, session: str):
    """Any ids that pass give a key that stays in its folder, and a session that launchers take."""
    request = parsed(rollout(exp_id=run, input_id=input_id), session=session).request
    assert request.key.split("/") == [run, input_id, f"{session}.json"]
    assert re.fullmatch(
        r"[A-Za-z0-9_-]{33,100}", parsed(rollout(exp_id=run, input_id=input_id)).request.session
    )


@given(st.text(max_size=140))
def test_any_text_is_a_good_id_or_a_sentence(text: str):
    """What passes is exactly what the rule says."""
    good = re.fullmatch(r"[A-Za-z0-9._=-]{1,128}", text) is not None and ".." not in text and text != "."
    try:
        parsed(rollout(exp_id=text))
    except InvalidRequest:
        assert not good
    else:
        assert good


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
        max_leaves=10,
    ),
    st.sampled_from(
        [
            "exp_id",
            "attempt",
            "base_url",
            "api_key",
            "sampling_params",
            "s3_bucket",
            "prefix",
            "queue",
            "probe",
            "stream",
        ]
    ),
)
def test_any_value_of_any_field_is_read_or_refused(value: Any, field: str):
    """Never another exception, whatever a field holds."""
    for payload in (rollout(**{field: value}), training(**{field: value}), {**rollout(), "x": value}):
        try:
            parse(payload, session=None, settings=OPEN)
        except RequestRefused as refused:
            assert refused.status == 400  # noqa: PT017 - either way is right


def test_secrets_are_found_and_hidden():
    """By the names that keys go by, anywhere in the payload; and the deployment's own."""
    payload = {
        **rollout(base_url="http://127.0.0.1/v1", api_key=KEY),
        "config": [{"Access-Token": "tok-123456789", "password": "short", "tokens": "not-a-secret-1"}],
        "aws_secret_access_key": "of-the-cloud-1",
        "client_secret": "client-secret-1",
        "openai-api-key": "of-openai-1",
        "eos_token": "<|endoftext|>",
    }
    found = parsed(payload)
    values = [secret.reveal() for secret in found.secrets]
    assert set(values) == {
        *(KEY, OWN_KEY, "tok-123456789", "client-secret-1", "of-the-cloud-1", "of-openai-1")
    }
    assert values == sorted(values, key=len, reverse=True)
    hidden = json.dumps(without_secrets(payload))
    assert not [secret for secret in payload_secrets(payload) if secret.reveal() in hidden]
    assert '"password": "***"' in hidden
    for text in (repr(found), str(found), repr(found.request), f"{found.request}"):
        assert not [value for value in values if value in text]


def test_the_digest_forgets_keys_and_nothing_else():
    """A payload delivered again with a fresh key is the same; with another prompt it is not."""
    one = parsed(rollout(base_url="http://127.0.0.1/v1", api_key=KEY))
    assert one.digest == parsed(rollout(api_key="sk-fresh-99999", base_url="http://127.0.0.1/v1")).digest
    assert one.digest != parsed(rollout(base_url="http://127.0.0.1/v1", model_id="m")).digest
    assert (
        one.digest != parsed({**rollout(base_url="http://127.0.0.1/v1", api_key=KEY), "prompt": "?"}).digest
    )


def test_a_probe_asks_where_records_go():
    """It has a run, a token and the same fences."""
    probe = parse(
        {"_rollout": {"exp_id": "r", "probe": "t1", "s3_bucket": "bucket-1", "prefix": "team/x/"}},
        session=None,
        settings=OPEN,
    )
    assert probe == Probe("r", "t1", Destination("bucket-1", "team/x/"))
    assert isinstance(probe, Probe)
    assert probe.key == "team/x/r/probe-t1.json"


def test_refusals_are_told_apart():
    """A fence is NotAllowed, a malformed field InvalidRequest."""
    with pytest.raises(NotAllowed):
        parsed(rollout(s3_bucket="other"))
    with pytest.raises(InvalidRequest):
        parsed(rollout(attempt="1"))


@given(st.text(min_size=1, max_size=60), st.text(max_size=60), st.integers(0, 10**9), st.integers(0, 99))
def test_sessions_are_derived_from_the_exact_ids(run: str, task: str, sample: int, attempt: int):
    """33 to 100 characters that AgentCore takes, equal for equal ids, other for others."""
    session = derive_session(run, task, sample, attempt)
    assert re.fullmatch(r"[A-Za-z0-9_-]{33,100}", session)
    assert session == derive_session(run, task, sample, attempt)
    assert session != derive_session(run, task, sample, attempt + 1)
