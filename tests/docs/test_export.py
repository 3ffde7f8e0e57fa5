"""What docs/export.md shows does what it says, and its table names every format."""

import re
import subprocess
import sys
from pathlib import Path

from agentcore_rl.export import FORMATS
from agentcore_rl.export.where import _NUMBERS, _WORDS
from made_branches import forked, stored_run, talk

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


def test_the_program_runs_as_it_stands(tmp_path):
    """On a run with a conversation that trains and one that is suspect."""
    stored_run(tmp_path / "rollouts", [talk(2), forked().rollout()])
    [program] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "page.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[1:] for line in lines[:5]] == [
        ["11", "6", "1.0", "None"],
        ["8", "0", "1.0", "suspect"],
        ["6", "0", "1.0", "suspect"],
        ["10", "0", "1.0", "suspect"],
        ["4", "0", "1.0", "suspect"],
    ]
    assert lines[5].startswith("5 {} Account(sampled=14, trained=6, masked={'suspect': 8}")
    assert lines[6] == "True"


def test_the_page_is_complete():
    """Every format is in the table, every field of a condition in the text."""
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z][a-z-]+)` \|", text, re.MULTILINE) == list(FORMATS)
    assert {name for name in [*_NUMBERS, *_WORDS] if f"`{name}`" not in text} == set()
