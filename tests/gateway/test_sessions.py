import time

import pytest

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.testing import Answer, ScriptedModel
from agentcore_rl.witness import combined_digest, turn_digest
from agentcore_rl_gateway.engines.capture import Capture
from agentcore_rl_gateway.log import SessionClosed, SessionOpened, read_log
from agentcore_rl_gateway.serving import GatewayServer, Options
from gateway_desk import Desk

USER = [{"role": "user", "content": "Hello?"}]


def test_a_key_is_told_once_and_kept_as_a_hash(hello):
    """Neither the log nor the control route tells a key that was issued."""
    desk, _ = hello
    key = desk.open()
    assert key not in str(desk.control("GET", "/sessions"))
    assert key.encode() not in b"".join(path.read_bytes() for path in desk.folder.iterdir())


def test_the_control_route_wants_the_admin_key(hello):
    """A rollout's key, or none, opens no session and ends none."""
    desk, _ = hello
    key = desk.open()
    for wrong in (None, key, "x"):
        assert desk.send("POST", "/control/sessions", {"session": "b"}, wrong)[0] == 401
        assert desk.send("DELETE", "/control/sessions/r1", None, wrong)[0] == 401
    assert len(desk.control("GET", "/sessions")["sessions"]) == 1


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 400),
        ({"session": ""}, 400),
        ({"session": "a b"}, 400),
        ({"session": "a", "ttl_s": 0}, 400),
        ({"session": "a", "ttl_s": True}, 400),
        ({"session": "a", "model": 3}, 400),
        ({"session": "a", "sampling": []}, 201),
        ({"session": "a", "sampling": [1]}, 400),
        ({"session": "a", "sampling": {"seed": 2**64}}, 400),
        ({"session": "a", "sampling": {"best_of": 4}}, 400),
        ({"session": "a", "sampling": {"n": 2}}, 400),
        ({"session": "a", "ttl_s": 10**400}, 400),
        ({"session": "a", "else": 1}, 400),
        ([], 400),
        ({"session": "r1"}, 409),
    ],
)
def test_what_a_session_may_be(hello, asked, status):
    """A session has an id of its own, a positive lifetime, a model's name and sampling; nothing else."""
    desk, _ = hello
    desk.open()
    got, said, _ = desk.send("POST", "/control/sessions", asked, desk.server.admin_key)
    assert got == status
    assert status == 201 or said["error"]["message"]


def test_the_trainers_sampling_wins(hello):
    """What the trainer set replaces what the agent asks for, other names of the same parameter included."""
    desk, model = hello
    key = desk.open(sampling={"temperature": 1.0, "max_completion_tokens": 9, "seed": None})
    desk.chat(key, USER, temperature=0.1, max_tokens=500, seed=3)
    sent = model.calls[-1].json
    assert (sent["temperature"], sent["max_completion_tokens"]) == (1.0, 9)
    assert "max_tokens" not in sent
    assert "seed" not in sent


def test_a_session_may_use_its_model_alone(hello):
    """Another model is a 404; `policy`, or none, stands for the session's."""
    desk, model = hello
    key = desk.open(model="mine")
    status, said, _ = desk.chat(key, USER)
    assert (status, said["error"]["code"]) == (404, "model_not_found")
    desk.send("POST", "/v1/chat/completions", {"messages": USER, "model": "policy"}, key)
    assert model.calls[-1].json["model"] == "mine"


def test_an_expired_key_is_refused_and_its_memory_freed(serve):
    """After its time a key is a 401, and the session is swept away and in the log as expired."""
    with ScriptedModel(lambda _: Answer("yes")) as model:
        desk = serve(model.base_url, sweep_s=0.05)
        key = desk.open(ttl_s=0.3)
        assert desk.chat(key, USER)[0] == 200
        time.sleep(0.35)
        assert desk.chat(key, USER)[0] == 401
        deadline = time.monotonic() + 10
        while len(desk.server.calls.sessions):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert SessionClosed("r1", "expired") in list(read_log(desk.folder))


def test_a_revoked_key_is_refused_and_its_calls_broken_off(serve):
    """Ending a session refuses its key, ends its call under way, and tells what its calls came to."""
    import threading

    def script(call):
        return Answer("late", delay_s=5.0 if call.json["messages"] == USER else 0.0)

    with ScriptedModel(script) as model:
        desk = serve(model.base_url)
        key = desk.open()
        desk.chat(key, [{"role": "user", "content": "quick"}])
        said = []
        thread = threading.Thread(target=lambda: said.append(desk.chat(key, USER)))
        thread.start()
        while desk.control("GET", "/sessions/r1")["calls"]["under_way"] == 0:
            time.sleep(0.01)
        told = desk.control("DELETE", "/sessions/r1")
        thread.join()
        assert said[0][0] == 401
        assert told["calls"]["answered"] == 1
        assert told["closed"] == "revoked"
        assert desk.chat(key, USER)[0] == 401
        assert desk.send("GET", "/control/sessions/r1", None, desk.server.admin_key)[0] == 404
        assert model.calls[-1].ended is None or model.calls[-1].client_left


def test_the_digest_is_that_of_the_answers(hello):
    """The digest is over response ids and sampled ids, and does not depend on the order of calls."""
    desk, _ = hello
    key = desk.open()
    said = [desk.chat(key, USER, h_agentcore_rl_tokens="new")[1] for _ in range(3)]
    pairs = [(answer["id"], turn_digest(answer["id"], answer["agentcore_rl"]["answer"])) for answer in said]
    told = desk.control("GET", "/sessions/r1")["digest"]
    assert told == combined_digest(pairs) == combined_digest(reversed(pairs))


def test_a_restart_restores_sessions(serve, tmp_path):
    """A gateway that starts on an old log knows open keys, revoked ones, digests and repeated calls."""
    with ScriptedModel(lambda _: Answer("yes", token_ids=[5, 6], logprobs=[-0.5, -0.25])) as model:
        with GatewayServer(Capture(model.base_url), Options(tmp_path / "log")) as first:
            desk = Desk(first, tmp_path / "log")
            kept, ended = desk.open("kept", sampling={"temperature": 0.5}), desk.open("ended")
            answer = desk.chat(kept, USER, h_idempotency_key="k", h_agentcore_rl_tokens="new")[1]
            before = desk.control("GET", "/sessions/kept")
            desk.control("DELETE", "/sessions/ended")
            desk.control("POST", "/policy", {"version": 4})
        desk = serve(model.base_url, folder=tmp_path / "log")
        assert desk.control("GET", "/sessions/kept") == before
        assert desk.chat(ended, USER)[0] == 401
        calls = len(model.calls)
        assert desk.chat(kept, USER, h_idempotency_key="k", h_agentcore_rl_tokens="new")[1] == answer
        assert len(model.calls) == calls
        more = [*USER, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "And?"}]
        said = desk.chat(kept, more, h_agentcore_rl_tokens="new")[1]
        assert said["agentcore_rl"]["placed_on"] == answer["id"]
        assert said["policy_version"] == 4
        assert model.calls[-1].json["temperature"] == 0.5


def test_others_cannot_be_served_without_an_admin_key(tmp_path):
    """A gateway on an address that others can reach refuses to start without an admin key."""
    with pytest.raises(ConfigurationError, match="needs an admin key"):
        GatewayServer(Capture("http://127.0.0.1:1/v1"), Options(tmp_path, host="0.0.0.0"))


def test_a_session_opened_is_in_the_log(hello):
    """What a restart needs of a session stands in the log before its key is told."""
    desk, _ = hello
    desk.open("x", model="m", ttl_s=60)
    (opened,) = [entry for entry in read_log(desk.folder) if isinstance(entry, SessionOpened)]
    assert (opened.session, opened.model) == ("x", "m")
    assert 0 < opened.expires - time.time() <= 60
