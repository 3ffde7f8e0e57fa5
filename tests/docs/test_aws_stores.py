"""What docs/aws-stores.md shows and tells of permissions is so."""

import json
import re
from pathlib import Path
from typing import Any

from agentcore_rl.aws.faults import action_of
from agentcore_rl.endpoint import matches
from agentcore_rl.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "aws-stores.md").read_text(encoding="utf-8")
CALLED = re.compile(r"(?:_s3|s3|_sqs)\.([a-z_0-9]+)\(")


def actions(policy: str) -> set[str]:
    """The actions that a policy allows."""
    statements: list[dict[str, Any]] = json.loads(policy)["Statement"]
    asked = [statement["Action"] for statement in statements]
    return {one for item in asked for one in ([item] if isinstance(item, str) else item)}


def test_the_policies_allow_what_is_called_and_nothing_else() -> None:
    """Every call of ours to S3 and SQS needs an action of one of the two roles."""
    app, client = map(actions, re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    source = "".join(
        (Path(__file__).parents[2] / f"packages/core/src/agentcore_rl/aws/{name}.py").read_text()
        for name in ("s3", "sqs")
    )
    called = {"".join(word.title() for word in name.split("_")) for name in CALLED.findall(source)}
    assert len(called) >= 10
    assert {action_of(name) for name in called} == app | client
    assert app & client == set()


def test_the_python_runs() -> None:
    """Opening sends nothing."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["store"].location == names["records"]
    assert names["notices"].queue_url == names["queue"]


def test_the_pattern_of_queues_takes_such_queues() -> None:
    """Those of the account and the beginning of the name, and no other host's."""
    (pattern,) = re.findall(r"`(https://\S+rl-\*)`", PAGE)
    assert matches("https://sqs.us-west-2.amazonaws.com/123456789012/rl-team", pattern)
    for other in (
        "https://sqs.us-west-2.amazonaws.com/999999999999/rl-a",
        "https://evil.example/123456789012/rl-a",
    ):
        assert not matches(other, pattern)


def test_the_variables_are_settings() -> None:
    """Each that is named is one that is read."""
    assert {"AGENTCORE_RL_STORE", "AGENTCORE_RL_QUEUE", "AGENTCORE_RL_S3_SSE"} <= set(
        re.findall(r"AGENTCORE_RL_\w+", PAGE)
    )
    settings = Settings.from_environment({"AGENTCORE_RL_STORE": "s3://bucket/prefix"})
    assert settings.store == "s3://bucket/prefix"
