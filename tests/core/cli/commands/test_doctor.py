"""`agentcore-rl doctor`: what is installed, what is missing, what to type."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import agentcore_rl
from agentcore_rl.testing import ScriptedModel


def findings(out: str) -> dict[str, dict[str, str]]:
    """What was found, by name."""
    return {found["what"]: found for found in json.loads(out)["findings"]}


@pytest.mark.needs_adapter
def test_all_is_well_here(command):
    """Packages, adapters with their frameworks, the local model: each with its version or place."""
    done = command("doctor", "--json")
    assert done.returncode == 0
    found = findings(done.stdout)
    for name in (
        "python",
        "agentcore-rl",
        "httpx2",
        "strands",
        "strands-agents",
        "engine",
        "model file",
        "spool",
    ):
        assert found[name]["verdict"] == "ok", name
    assert found["model"]["verdict"] == "optional"
    assert command("doctor").stdout.endswith("All is well.\n")


@pytest.mark.needs_adapter
def test_secrets_are_hidden(command):
    """A key's value is nowhere; other values are shown; the model in BASE_URL is looked at."""
    with ScriptedModel([]) as model:
        done = command("doctor", API_KEY="a-key-of-mine-1234", BASE_URL=model.base_url)
    assert done.returncode == 0
    assert "a-key-of-mine-1234" not in done.stdout + done.stderr
    assert "API_KEY                       set (hidden)" in done.stdout
    assert f"{model.base_url} answers" in done.stdout


def test_what_is_broken_makes_the_code_1(command, tmp_path):
    """An unreachable model, a variable that cannot be used, records that wait: each is told."""
    unreachable = command("doctor", "--json", BASE_URL="http://127.0.0.1:9/v1")
    assert unreachable.returncode == 1
    assert findings(unreachable.stdout)["model"]["verdict"] == "broken"
    wrong = command("doctor", AGENTCORE_RL_MODEL_RETRIES="many")
    assert wrong.returncode == 1
    assert "AGENTCORE_RL_MODEL_RETRIES must be a number" in wrong.stdout
    (tmp_path / "spool" / "1").mkdir(parents=True)
    (tmp_path / "spool" / "1" / "1.entry").write_bytes(b"x")
    waiting = command("doctor", AGENTCORE_RL_SPOOL=str(tmp_path / "spool"))
    assert waiting.returncode == 1
    assert "1 records wait to be stored" in waiting.stdout


def test_it_works_without_anything_installed(tmp_path):
    """In an environment with nothing but our sources it says what to install."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    source = str(Path(str(agentcore_rl.__file__)).parents[1])
    done = subprocess.run(
        [python, "-m", "agentcore_rl.cli", "doctor"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": source},
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "type: pip install agentcore-rl-strands" in done.stdout
    assert done.stdout.endswith("Something is missing: see the lines marked broken.\n")
    assert sys.version_info[:2] >= (3, 11)
