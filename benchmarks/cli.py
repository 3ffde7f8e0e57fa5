"""What the command line costs to start: CPU of `agentcore-rl --help`, of each `COMMAND --help`, and of lists.

    python benchmarks/cli.py [ROUNDS]

CPU is user and system time of the process, the least of ROUNDS (default 15); the programs take turns, so
that a busy moment of the machine hits all of them. `--help` is held against bare Python, `COMMAND --help`
against `python -c "import argparse"`, lists (of 20 runs, and of the adapters that are installed) against bare
Python. What completion costs is a shell's: a script that is printed once, no Python.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agentcore_rl.batch.folder import open_folder
from agentcore_rl.cli.command_line import COMMANDS

HELP_LIMIT_MS = 10.0
COMMAND_LIMIT_MS = 15.0
LIST_LIMIT_MS = 40.0
LISTS = ("runs", "frameworks")


def make_runs(folder: Path, number: int = 20) -> None:
    """Folders of runs in which nothing has happened yet."""
    for place in range(number):
        run = f"run-{place}"
        open_folder(folder / "rollouts" / run, run, lambda run=run: {"run": run}).close()


def cost(words: list[str]) -> tuple[float, float]:
    """CPU and wall milliseconds of a program."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return 1000 * cpu, 1000 * wall


def measure(rounds: int) -> dict[str, tuple[float, float]]:
    """Least CPU and wall milliseconds of every program."""
    script = os.path.join(os.path.dirname(sys.executable), "agentcore-rl")
    programs = {
        "python": [sys.executable, "-c", "pass"],
        "argparse": [sys.executable, "-c", "import argparse"],
    }
    programs["--help"] = [script, "--help"]
    programs |= {f"{name} --help": [script, name, "--help"] for name in COMMANDS}
    programs |= {name: [script, name] for name in LISTS}
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, words in programs.items():
            costs[name].append(cost(words))
    return {
        name: (min(cpu for cpu, _ in each), min(wall for _, wall in each)) for name, each in costs.items()
    }


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_runs(Path(folder))
        least = measure(rounds)
    python, argparse = least["python"][0], least["argparse"][0]
    print(f"{'':<24}{'CPU ms':>8}{'wall ms':>9}{'more than':>22}{'at most':>9}")
    print(f"{'python -c pass':<24}{python:>8.1f}{least['python'][1]:>9.1f}")
    print(f"{'python -c import argparse':<24}{argparse:>7.1f}{least['argparse'][1]:>9.1f}")
    for name, (cpu, wall) in least.items():
        floor, limit, than = python, HELP_LIMIT_MS, "python"
        if name in LISTS:
            limit = LIST_LIMIT_MS
        elif name.endswith(" --help"):
            floor, limit, than = argparse, COMMAND_LIMIT_MS, "argparse"
        elif name != "--help":
            continue
        print(f"{name:<24}{cpu:>8.1f}{wall:>9.1f}{f'{cpu - floor:+.1f} ({than})':>22}{limit:>9.0f}")


if __name__ == "__main__":
    main()
