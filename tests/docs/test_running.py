"""What docs/running.md shows does what it says."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "running.md"

APP = """
from agentcore_rl import AgentCoreRLApp

app = AgentCoreRLApp()


@app.rollout_entrypoint(reward=lambda payload, output, rollout: float(output == payload["answer"]))
def solve(payload):
    return "5"
"""


def test_the_page_runs_as_it_stands(tmp_path):
    """Its task file and its two programs, one after the other, with an app that always answers 5."""
    blocks = dict.fromkeys(("json", "python"), "")
    for language, text in re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        blocks[language] += text
    (tmp_path / "rl_app.py").write_text(APP)
    (tmp_path / "tasks.jsonl").write_text(blocks["json"])
    (tmp_path / "page.py").write_text(blocks["python"])
    done = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum(" succeeded 1.0 " in line for line in lines[:4]) == 2
    assert sum(" succeeded 0.0 " in line for line in lines[:4]) == 2
    assert lines[4].split()[:3] == ["apples", "0", "succeeded"]
    assert "'rollouts': 4" in lines[8]
    assert lines[9] == "5 {} {}"
