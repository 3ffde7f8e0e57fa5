"""What the client sends is what the app takes."""

from agentcore_rl.batch.terms import Terms
from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.request import Probe, parse
from agentcore_rl.rollout import Destination, Limits
from agentcore_rl.settings import Settings
from agentcore_rl.tasks import task_from_payload


def test_the_app_takes_what_the_client_sends():
    """The request that the app parses is the one that was meant, probe included."""
    settings = Settings.from_environment({"AGENTCORE_RL_BUCKETS": "b", "AGENTCORE_RL_PREFIXES": "p/q"})
    terms = Terms(
        "r",
        Endpoint("http://127.0.0.1:9/v1", "m", Secret("sk-secret-1"), {"temperature": 0}, {"top_k": 3}),
        Destination("b", "p/q"),
        Limits(5, 6, 7),
        8,
        True,
    )
    mine = task_from_payload({"id": "a", "prompt": "?"})
    ids = terms.ids(mine, 3)
    request = parse(terms.payload(mine, ids), session=ids.session, settings=settings).request
    assert (request.run, request.task, request.sample, request.attempt) == ("r", "a", 3, 0)
    assert (request.session, request.key) == (ids.session, ids.key)
    assert request.limits == terms.limits
    assert (request.policy_version, request.stream) == (8, True)
    assert request.endpoint.api_key.reveal() == "sk-secret-1"
    assert request.endpoint.extra_body == {"top_k": 3}
    assert request.payload == mine.payload
    probe = parse(terms.probe("t0"), session=ids.session, settings=settings)
    assert isinstance(probe, Probe)
    assert probe.key == "p/q/r/probe-t0.json"
