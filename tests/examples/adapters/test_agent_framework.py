"""The adapter that was written by following docs/add-a-framework.md."""

import subprocess
import sys
from pathlib import Path

import pytest

from wheel_site import environment_with, wheel_site

pytest.importorskip("agent_framework_openai", reason="the Agent Framework is not installed")

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "examples" / "adapters" / "agent_framework"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed."""
    return wheel_site(PACKAGE, tmp_path_factory.mktemp("wheel"))


def test_its_own_tests_pass(site: Path) -> None:
    """The contract of adapters and what it has besides, with the package found by its entry point."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(PACKAGE / "tests")]
    done = subprocess.run(
        command, cwd=PACKAGE, env=environment_with(site), capture_output=True, text=True, check=False
    )
    last = [line for line in done.stdout.splitlines() if " passed" in line or " failed" in line][-1:]
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}"
    assert [word for word in ("failed", "skipped", "error") if word in last[0]] == []


def test_it_has_the_files_of_every_adapter() -> None:
    """The scaffold's, which are those of our own adapters."""
    [ours] = (PACKAGE / "src").iterdir()
    others = ROOT / "packages" / "strands" / "src" / "agentcore_rl_strands"
    files = [{path.name for path in folder.iterdir()} - {"__pycache__"} for folder in (ours, others)]
    assert files[0] == files[1]
