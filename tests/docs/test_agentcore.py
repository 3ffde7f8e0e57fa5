"""What docs/agentcore.md shows is what the code asks for and takes."""

import argparse
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from agentcore_rl import settings
from agentcore_rl.aws import launcher
from agentcore_rl.aws.clients import client
from agentcore_rl.cli.commands import run
from agentcore_rl.cli.place import chosen_place

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "agentcore.md").read_text(encoding="utf-8")
TRUST, LOG, CLIENT = (json.loads(policy) for policy in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))

sys.path.insert(0, str(ROOT / "scripts"))
from aws_smoke_plan import CONTROL, Call, Plan, check  # noqa: E402

sys.path.remove(str(ROOT / "scripts"))
PLAN = Plan("agentcore-rl-smoke-0123abcd", "us-west-2", "123456789012")


def actions(policy: Any) -> set[str]:
    """The actions that a policy allows."""
    asked = [statement["Action"] for statement in policy["Statement"]]
    return {one for item in asked for one in ([item] if isinstance(item, str) else item)}


def test_the_client_may_do_what_the_launcher_calls_and_nothing_else() -> None:
    """Every call of the data plane is in its policy."""
    called = re.findall(r"data_plane\.([a-z_]+)\(", Path(launcher.__file__).read_text(encoding="utf-8"))
    names = {"".join(word.title() for word in name.split("_")) for name in called}
    assert len(names) == 2
    assert actions(CLIENT) == {f"bedrock-agentcore:{name}" for name in names}


def test_the_roles_are_those_that_the_smoke_run_makes() -> None:
    """The same trust, and the same rights to write a log."""
    spelled = json.dumps(TRUST).replace("ACCOUNT", PLAN.account).replace("REGION", PLAN.region)
    assert json.loads(spelled) == PLAN.trust()
    assert actions(LOG) == {action for action in actions(PLAN.policy()) if action.startswith("logs:")}


def test_the_deployment_is_a_valid_request() -> None:
    """Botocore takes what the page sends."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    sent: dict[str, Any] = {}
    arguments = re.search(r"create_agent_runtime\((.*)\)\nprint", code, re.DOTALL)
    assert arguments is not None
    exec(f"sent.update({arguments[1]})", {"sent": sent})
    check(Call("runtime", CONTROL, "create_agent_runtime", sent), "us-west-2")
    model = client(CONTROL, region="us-west-2").meta.service_model.shape_for("AgentRuntimeName")
    assert re.fullmatch(model.metadata["pattern"], sent["agentRuntimeName"])


def test_the_command_is_one() -> None:
    """Its options are those of `run`, and the ARN is a place."""
    (line,) = re.findall(r"^agentcore-rl run (.*?)\n```", PAGE, re.DOTALL | re.MULTILINE)
    parser = argparse.ArgumentParser(exit_on_error=False)
    run.add_arguments(parser)
    args = parser.parse_args(shlex.split(line.replace("\\\n", " ")))
    assert chosen_place(args.app, args.on).on == "agentcore"
    assert args.store == "s3://BUCKET/records"


def test_the_variables_are_settings() -> None:
    """Each that is named is one that is read."""
    known = (settings.__doc__ or "") + "AGENTCORE_RL_RUNTIME_ARN AWS_REGION"
    for name in re.findall(r"AGENTCORE_RL_[A-Z_]+", PAGE):
        assert name in known


def test_it_says_that_it_was_not_run() -> None:
    """Whoever reads it knows what was not proven."""
    assert "Nothing on this page has been run against AWS yet" in PAGE
