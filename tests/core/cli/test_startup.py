"""What asking for help costs."""

import resource
import subprocess
import sys
from pathlib import Path

from agentcore_rl.cli.command_line import COMMANDS

SCRIPT = str(Path(sys.executable).with_name("agentcore-rl"))
ROUNDS = 7
# Over bare Python, and over `python -c "import argparse"`, in milliseconds of CPU.
HELP_MS, COMMAND_MS = 10, 15


def _cpu_ms(words: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def test_help_is_cheap():
    """The table costs at most 10 ms over bare Python, a command's help at most 15 ms over argparse."""
    programs = {
        "python": [sys.executable, "-c", "pass"],
        "argparse": [sys.executable, "-c", "import argparse"],
    }
    programs |= {"help": [SCRIPT, "--help"]} | {name: [SCRIPT, name, "--help"] for name in COMMANDS}
    costs: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, words in programs.items():
            costs[name].append(_cpu_ms(words))
    least = {name: min(each) for name, each in costs.items()}
    assert least["help"] - least["python"] <= HELP_MS, least
    assert max(least[name] for name in COMMANDS) - least["argparse"] <= COMMAND_MS, least


def test_nothing_heavy_is_imported_for_help():
    """The table imports no argparse; a command's help no third-party package and no asyncio."""
    code = (
        "import sys; from agentcore_rl.cli import main; main(sys.argv[1:]); "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )

    def loaded(*words: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
        )
        return set(done.stdout.splitlines()[-1].split())

    assert not loaded("--help") & {"argparse", "asyncio", "dataclasses", "json", "re"}
    heavy = {
        "asyncio",
        "boto3",
        "bedrock_agentcore",
        "httpx2",
        "msgspec",
        "pydantic",
        "rich",
        "starlette",
        "strands",
    }
    for name in COMMANDS:
        assert not loaded(name, "--help") & heavy
