"""docs/quickstart.md can be typed as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agentcore_rl.testing import Answer, ScriptedModel

PAGE = Path(__file__).parents[2] / "docs" / "quickstart.md"
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_installing_comes_first_and_alone():
    """What follows needs nothing else from the network, but the local model's file."""
    installing, *others = BLOCKS
    assert installing.startswith("pip install ")
    assert not any("pip" in block for block in others)


@pytest.mark.needs_adapter
def test_every_line_works_in_one_shell(tmp_path):
    """In order, behind the installation, with a played model, which BASE_URL puts before the file's."""
    # The project's own tests are run by tests/core/cli/commands/test_init.py, in every framework.
    lines = "".join(BLOCKS[1:]).replace("-m pytest\n", "-m pytest -q --collect-only\n").splitlines()
    with ScriptedModel(lambda call: Answer("#### 0")) as model:
        done = subprocess.run(
            ["bash", "-ec", "\n".join(f"echo; echo '== {line}'; {line}" for line in lines)],
            cwd=tmp_path,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "BASE_URL": model.base_url,
                "MODEL_ID": "played",
                "AGENTCORE_RL_SPOOL": str(tmp_path / "spool"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    said = dict(zip(lines, done.stdout.split("\n== ")[1:], strict=True))
    assert "Next     cd my-agent" in said["agentcore-rl init my-agent --framework strands"]
    assert "Next     agentcore-rl view rollouts/" in said["agentcore-rl run"]
    assert "3 tests collected" in said["python -m pytest -q --collect-only"]
    assert "All is well." in said["agentcore-rl doctor"]
