"""Where rollouts run is told from the app, or from --on."""

import argparse

import pytest

from agentcore_rl.cli.asked import Asked
from agentcore_rl.cli.commands.run import add_arguments
from agentcore_rl.cli.place import Place, chosen_place
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.limits import AGENTCORE_QUOTAS, Quotas

ARN = "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/math-0123456789"
URL = "http://127.0.0.1:8080"


def test_the_app_says_where(app):
    """A file, a URL, an ARN."""
    assert chosen_place(app, None) == Place("local", app)
    assert chosen_place(URL, None) == Place(URL, URL)
    assert chosen_place(ARN, None) == Place("agentcore", ARN)


def test_on_says_where(app, monkeypatch):
    """With an app or without; the ARN may stand in the environment."""
    assert chosen_place(app, "local") == Place("local", app)
    assert chosen_place(None, URL) == chosen_place(app, URL) == Place(URL, URL)
    assert chosen_place(ARN, "agentcore") == Place("agentcore", ARN)
    monkeypatch.setenv("AGENTCORE_RL_RUNTIME_ARN", ARN)
    assert chosen_place(None, "agentcore") == Place("agentcore", ARN)


@pytest.mark.parametrize(
    ("app", "on", "reason"),
    [
        (None, None, "Name your app"),
        (None, "local", "Name your app"),
        (None, "agentcore", "needs the runtime's ARN"),
        ("rl_app.py", "moon", "--on moon is no place"),
        (ARN, "local", "needs an app file, not an ARN"),
        (URL, "local", "needs an app file, not a URL"),
        ("missing.py", None, "There is no app file"),
    ],
)
def test_what_does_not_fit_is_said(folder, app, on, reason):
    """The sentence says how it would."""
    with pytest.raises(ConfigurationError, match=reason):
        chosen_place(app, on)


def asked(*words):
    """What these words ask for."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args([*words, "--tasks", "tasks.jsonl"])
    return Asked.of(args, chosen_place(args.app, args.on))


def test_agentcore_has_its_quotas_and_needs_s3(app, monkeypatch):
    """Its limits are the defaults and can be changed; without a store nothing could be read."""
    with pytest.raises(ConfigurationError, match="--store s3://"):
        asked(ARN)
    words = asked(ARN, "--store", "s3://bucket/rollouts")
    assert words.limiter().quotas == AGENTCORE_QUOTAS
    assert words.at_once == 1000
    words = asked(ARN, "--store", "s3://b", "--active-sessions", "50", "--new-sessions-per-s", "2.5")
    assert words.limiter().quotas == Quotas(2.5, 200, 50)
    assert words.at_once == 50
    assert asked(app).limiter().quotas == Quotas()
    monkeypatch.setenv("AGENTCORE_RL_STORE", "s3://other")
    assert asked(ARN).store == "s3://other"


def test_what_was_asked_comes_back_from_run_json(app):
    """Exactly, and without a key; what another release wrote is refused."""
    words = asked(app, "--samples", "3", "--sampling", '{"temperature": 0.5}', "--deadline", "9")
    assert Asked.recall(words.to_about()) == words
    assert words.changed(concurrency=7, model=None).concurrency == 7
    with pytest.raises(ConfigurationError, match="another release"):
        Asked.recall({"command": {"moon": 1}})
