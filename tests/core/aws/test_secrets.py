"""Planted keys: whatever an agent, a model or a caller does with them, they stand nowhere afterwards."""

import json
import logging
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentcore_rl.batch import BatchRunner
from agentcore_rl.codec import decode_record
from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.launchers.url import URLLauncher
from agentcore_rl.rollout import FailureKind, Rollout
from agentcore_rl.stores.directory import DirectoryStore
from agentcore_rl.tasks import task_from_payload
from agentcore_rl.testing import Answer, Line, Raw, ScriptedModel, ServedCall, Status, ToolCall
from app_process import SESSION, AppProcess, app_process

LEAKING = Path(__file__).with_name("leaking_app.py")

# Found nowhere else, of the alphabets that such keys have; the password needs escapes in every notation.
ENVIRONMENT = {
    "API_KEY": "sk-environment-7Qm2xXk0PvYd",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCY/9dK2fQx01",
    "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2Vj" + "".join(f"EHca{n:03}ZXVz/+" for n in range(40)) + "==",
    "DATABASE_PASSWORD": 'pä"ss\\wo/rd€-0417',
}
PAYLOAD_KEY = "sk-payload-Zr51-WcLq9-44TbN"
GITHUB_TOKEN = "ghp_1a2B3c4D5e6F7g8H9i0JkLmNoPq"
KEYS = {**ENVIRONMENT, "_rollout.api_key": PAYLOAD_KEY, "github_token": GITHUB_TOKEN}


def spelled_in(text: str) -> set[str]:
    """Names of the keys that stand in a text, as they are or behind up to six layers of escapes."""
    found: set[str] = set()
    for _ in range(7):
        found |= {name for name, key in KEYS.items() if key in text}
        bare = re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", lambda m: chr(int(m[1], 16)) if m[1] else m[2], text)
        if bare == text:
            break
        text = bare
    return found


def test_the_search_finds_every_spelling() -> None:
    """What the other tests rely on, shown on texts that do hold the keys."""
    for name, key in KEYS.items():
        for text in (key, json.dumps(json.dumps([key])), "".join(f"\\u{ord(char):04x}" for char in key)):
            assert spelled_in(f"x{text}x") == {name}
    assert spelled_in("\\\\u0073k") == set()


def _sent(model: ScriptedModel) -> list[set[str]]:
    """The keys in each request that a host got, its head included."""
    return [spelled_in((call.request_head + call.body).decode()) for call in model.calls]


def of_theirs(call: ServedCall) -> Line:
    """The other host: it knows the payload's key alone, and gives it away in every way that it can."""
    assert call.json is not None
    said = str(call.json["messages"][-1]["content"])
    if said == "hello":
        spelled = "".join(f"\\u{ord(char):04x}" for char in PAYLOAD_KEY)
        message = f'{{"role": "assistant", "content": "your key is {spelled}"}}'
        choice = f'{{"index": 0, "finish_reason": "stop", "message": {message}}}'
        return Raw(body=f'{{"id": "{PAYLOAD_KEY}", "choices": [{choice}]}}'.encode())
    call_back = ToolCall("login", {"with": json.dumps({"key": PAYLOAD_KEY})})
    return Answer(f"your key is {PAYLOAD_KEY}", tool_calls=[call_back], reasoning=PAYLOAD_KEY, chunks=9)


@dataclass
class Places:
    """The app, the deployment's own model, and a host that a payload names."""

    app: AppProcess
    own: ScriptedModel
    other: ScriptedModel
    answers: list[str]

    def invoke(self, do: str, *, base_url: str | None = None, **fields: Any) -> tuple[int, str]:
        """Deliver a rollout that does this; status and text of the immediate answer."""
        rollout = {"exp_id": "run", "input_id": f"{do.replace(' ', '-')}.0"}
        if base_url:
            rollout |= {"base_url": base_url, "api_key": PAYLOAD_KEY}
        rollout |= fields
        payload = {"prompt": "log in with", "github_token": GITHUB_TOKEN, "do": do, "_rollout": rollout}
        return self.send(payload)

    def send(self, payload: Any, **headers: str) -> tuple[int, str]:
        status, content = self.app.request("POST", "/invocations", json.dumps(payload).encode(), **headers)
        self.answers.append(content.decode())
        return status, content.decode()

    def rollout(self, do: str, **fields: Any) -> Rollout:
        status, text = self.invoke(do, **fields)
        assert status == 200, text
        return self.app.record(json.loads(text)["result_key"])

    def assert_clean(self) -> None:
        """No file of the app's and no answer of its has a key; a request has those of its host alone."""
        files = [path for path in self.app.folder.rglob("*") if path.is_file()]
        assert {path.name for path in files} >= {"output", "lock"}
        found = {}
        for path in files:
            with suppress(FileNotFoundError):  # delivered meanwhile: what became of it is a file too
                found[str(path)] = spelled_in(path.read_bytes().decode(errors="replace"))
        assert {path: keys for path, keys in found.items() if keys} == {}
        assert [answer for answer in self.answers if spelled_in(answer)] == []
        assert not any("_rollout.api_key" in keys for keys in _sent(self.own))
        assert not any(keys & ENVIRONMENT.keys() for keys in _sent(self.other))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """One app for all tests of this file, with every key in its environment."""
    folder = tmp_path_factory.mktemp("app")
    with (
        ScriptedModel(lambda call: Answer("welcome")) as own,
        ScriptedModel(of_theirs) as other,
        app_process(
            LEAKING,
            folder,
            BASE_URL=own.base_url,
            MODEL_ID="deployed",
            AGENTCORE_RL_BUCKETS="blocked",
            OPENAI_API_KEY=ENVIRONMENT["API_KEY"],
            OPENAI_ORG_ID="org-of-the-deployment",
            PLANTED=" ".join(ENVIRONMENT),
            **ENVIRONMENT,
        ) as app,
    ):
        yield Places(app, own, other, [])


def test_messages_tools_and_output_hold_stars(places: Places) -> None:
    """The agent says them all to its own model, which gets them as they are; the record does not."""
    rollout = places.rollout("talk")
    said = spelled_in(places.own.calls[-1].body.decode())
    assert said == {*ENVIRONMENT, "github_token"}
    assert places.own.calls[-1].header("authorization") == f"Bearer {ENVIRONMENT['API_KEY']}"
    (turn,) = rollout.turns
    assert turn.prompt[-1]["content"] == "log in with ***"
    assert turn.prompt[2]["tool_calls"][0]["id"] == turn.prompt[3]["tool_call_id"] == "call-***"
    assert rollout.output["plain"] == ["***"] * len(ENVIRONMENT)
    assert rollout.output["prompt"] == "log in with"
    assert rollout.suspect == ["redacted"]
    assert rollout.reward is not None
    assert list(rollout.reward.scores) == ["score of ***"]
    assert rollout.payload["github_token"] == "***"
    places.assert_clean()


def test_a_model_that_says_its_key_is_recorded_with_stars(places: Places) -> None:
    r"""In \uXXXX, in tool arguments, split over the chunks of a stream; the key is sent to its host alone."""
    rollout = places.rollout("ask", base_url=places.other.base_url)
    calls = places.other.calls[-2:]
    assert [call.header("authorization") for call in calls] == [f"Bearer {PAYLOAD_KEY}"] * 2
    assert [call.header("openai-organization") for call in calls] == [None, None]
    answers = [turn.answer for turn in rollout.turns]
    assert [answer["content"] for answer in answers if answer] == ["your key is ***"] * 2
    assert rollout.output == ["your key is ***"] * 2
    assert rollout.suspect == ["redacted"]
    places.assert_clean()


@pytest.mark.parametrize(
    ("do", "kind"),
    [
        ("fail", FailureKind.AGENT),
        ("leave", FailureKind.AGENT),
        ("give", FailureKind.CONTRACT),
        ("be misjudged", FailureKind.REWARD),
    ],
)
def test_failures_hold_stars(places: Places, do: str, kind: FailureKind) -> None:
    """In the failure's sentence, its traceback with causes and notes, and what is left of the output."""
    rollout = places.rollout(do)
    assert rollout.failure is not None
    assert rollout.failure.kind is kind
    assert "***" in f"{rollout.failure} {rollout.output}"
    assert rollout.suspect == ["redacted"]
    places.assert_clean()


def test_what_is_cut_short_holds_no_half_of_a_key(places: Places) -> None:
    """The repr of what no record can hold ends somewhere, and a key may stand there."""
    rollout = places.rollout("give", input_id="cut.0")
    shown = json.dumps(rollout.output) + str(rollout.failure)
    assert "***" in shown
    assert "abcdefghij" in shown
    for key in ENVIRONMENT.values():
        assert key[:12] not in shown


@pytest.mark.parametrize(
    ("task", "line"),
    [
        ("refused", Status(401, f"Incorrect API key provided: {PAYLOAD_KEY}.")),
        ("lost", Status(503, body=json.dumps([PAYLOAD_KEY]).encode(), retry_after=0)),
        ("moved", None),
    ],
)
def test_a_model_that_refuses_the_key_is_recorded_with_stars(
    places: Places, task: str, line: Line | None
) -> None:
    """In each HTTP attempt's error too; a redirect to another host is not followed."""
    before = len(places.own.calls)
    line = line or Raw(307, {"location": f"{places.own.base_url}/chat/completions"}, PAYLOAD_KEY.encode())
    with ScriptedModel(lambda call: line) as model:
        rollout = places.rollout("ask", base_url=model.base_url, input_id=f"{task}.0")
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.MODEL
    (turn,) = rollout.turns
    assert all("***" in str(attempt.error) for attempt in turn.stored.http)
    assert len(places.own.calls) == before
    places.assert_clean()


def test_the_older_payload_keeps_its_keys_to_itself(places: Places) -> None:
    """`_training` may hold keys of its own, which the handler does not get."""
    training = {"exp_id": "run", "input_id": "older.0", "api_key": PAYLOAD_KEY, "kind": "x"}
    status, text = places.send(
        {"prompt": "", "do": "talk", "github_token": GITHUB_TOKEN, "_training": training},
        **{SESSION: "s" * 40},
    )
    assert status == 200
    rollout = places.app.record(json.loads(text)["result_key"])
    assert rollout.payload["_training"] == {"exp_id": "run", "input_id": "older.0", "kind": "x"}
    places.assert_clean()


@pytest.mark.parametrize(
    "fields",
    [
        {"exp_id": PAYLOAD_KEY},
        {"exp_id": f"x/{GITHUB_TOKEN}"},
        {"input_id": f"{GITHUB_TOKEN}.0"},
        {"attempt": GITHUB_TOKEN},
        {"base_url": f"http://user:{GITHUB_TOKEN}@127.0.0.1/v1"},
        {"base_url": f"http://127.0.0.1/v1?key={GITHUB_TOKEN}"},
        {"base_url": f"https://elsewhere.example/{GITHUB_TOKEN}"},
        {"s3_bucket": GITHUB_TOKEN},
        {"sampling_params": GITHUB_TOKEN},
        {"api_key": f"{GITHUB_TOKEN}\n"},
    ],
)
def test_refusals_do_not_say_keys(places: Places, fields: dict[str, Any]) -> None:
    """Wherever in the request one was put by mistake."""
    got, text = places.invoke("ask", **{"base_url": places.other.base_url, **fields})
    assert (got, spelled_in(text)) == (400, set())
    places.assert_clean()


def test_the_same_ids_with_other_keys_are_refused_without_them(places: Places) -> None:
    """The conflict is named by its ids."""
    places.rollout("ask", base_url=places.other.base_url, input_id="twice.0")
    status, _ = places.invoke("talk", base_url=places.other.base_url, input_id="twice.0")
    assert status == 409
    places.assert_clean()


def test_what_waits_in_the_spool_holds_stars(places: Places) -> None:
    """A store that does not work keeps a record on the session's disk, without keys."""
    places.app.settled()  # nothing else waits there
    blocked = places.app.folder / "store" / "blocked"
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("in the way")
    status, text = places.invoke("talk", s3_bucket="blocked", input_id="waits.0")
    assert status == 200
    spool, end = places.app.folder / "spool", time.monotonic() + 20
    while not (entries := list(spool.rglob("*.entry"))):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert b"log in with ***" in entries[0].read_bytes()
    places.assert_clean()
    blocked.unlink()
    assert places.app.record(f"blocked/{json.loads(text)['result_key']}", 60).suspect == ["redacted"]
    places.app.settled()
    places.assert_clean()


async def test_a_run_and_its_journal_hold_no_keys(
    places: Places, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does the client's log, nor what it hands to its caller."""
    caplog.set_level(logging.DEBUG)
    launcher = URLLauncher(places.app.base_url)
    store = DirectoryStore(places.app.folder / "store")
    tasks = [
        task_from_payload({"id": do.split()[-1], "do": do, "prompt": "x", "github_token": GITHUB_TOKEN})
        for do in ("ask", "be misjudged", "fail")
    ]
    runner = BatchRunner(
        launcher,
        store=store,
        run="batch",
        endpoint=Endpoint(places.other.base_url, api_key=Secret(PAYLOAD_KEY)),
        folder=tmp_path / "run",
    )
    async with runner:
        outcomes = [outcome async for outcome in runner.run(tasks, tasks_file="tasks.jsonl")]
    await launcher.aclose()
    assert len(outcomes) == len(tasks)
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {path.name for path in written} >= {"run.json", "journal.sqlite"}
    for path in written:
        assert spelled_in(path.read_bytes().decode(errors="replace")) == set(), path
    assert spelled_in(repr(outcomes) + caplog.text + repr(runner.__dict__)) == set()
    for outcome in outcomes:
        assert decode_record(store.get(outcome.request.key)).suspect == ["redacted"]
    places.assert_clean()
