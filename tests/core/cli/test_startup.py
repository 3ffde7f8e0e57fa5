"""What starting costs: not in milliseconds, which are the machine's (benchmarks/cli.py), but in modules."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentcore_rl.cli.command_line import COMMANDS

# Modules that no start of a help text, a list or a completion may load.
HEAVY = {
    *("asyncio", "ssl", "socket", "email", "importlib.metadata", "logging", "subprocess", "multiprocessing"),
    *("boto3", "botocore", "bedrock_agentcore", "httpx2", "starlette", "uvicorn", "pydantic", "msgspec"),
    *("rich", "jsonschema", "pyarrow", "pandas", "xllamacpp", "openai"),
    *("strands", "langgraph", "langchain", "langchain_core", "autogen_core", "autogen_agentchat", "crewai"),
}
SPY = """
import os, sys
before = set(sys.modules)
{program}
with open(os.environ["SPY_REPORT"], "w") as report:
    print(*sorted(set(sys.modules) - before), file=report)
"""
COMMAND = "from agentcore_rl.cli import main; assert main(sys.argv[1:]) == 0"


def loaded(folder: Path, *words: str, program: str = COMMAND) -> set[str]:
    """The modules that a program, by default the command, loads beyond those of a bare Python."""
    report = folder / "modules.txt"
    done = subprocess.run(
        [sys.executable, "-c", SPY.format(program=program), *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "SPY_REPORT": str(report)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(report.read_text().split())


def heavy(modules: set[str]) -> set[str]:
    """Those of the modules that no start may load."""
    return {module for module in modules if any(f"{module}.".startswith(f"{name}.") for name in HEAVY)}


@pytest.fixture(scope="module")
def parsing(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What argparse loads by itself."""
    return loaded(tmp_path_factory.mktemp("parsing"), program="import __future__, argparse, gettext, locale")


def test_the_table_of_commands_loads_nothing_but_itself(tmp_path):
    """`--help` is four small modules of ours: no argparse, no re."""
    ours = {"agentcore_rl", "agentcore_rl.late_imports", "agentcore_rl.cli", "agentcore_rl.cli.command_line"}
    assert loaded(tmp_path, "--help") - {"__future__"} == ours


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_itself_with_argparse_alone(tmp_path, parsing, name):
    """`COMMAND --help` loads argparse, the command's module, the types of its arguments, and little else."""
    modules = loaded(tmp_path, name, "--help")
    assert heavy(modules) == set()
    beyond = modules - parsing
    ours = {module for module in beyond if module.startswith("agentcore_rl")}
    assert len(ours) <= 7, ours
    # Subcommands cost shutil and what it compresses with.
    assert len(beyond - ours) <= 12, beyond - ours
    assert "dataclasses" not in beyond


@pytest.mark.parametrize("words", [("runs",), ("runs", "--json"), ("frameworks",), ("frameworks", "--json")])
@pytest.mark.needs_adapter
def test_lists_load_little(stored, parsing, words):
    """A list loads what its rows need: the standard library's small modules, a few of ours, no log."""
    small = loaded(stored.parents[1], program="import contextlib, json, shlex, sqlite3")
    modules = loaded(stored.parents[1], *words)
    assert heavy(modules) == set()
    ours = {module for module in modules if module.startswith("agentcore_rl")}
    assert modules - parsing - small - ours <= {"errno", "fcntl"}
    assert len(ours) <= 16, ours
