"""The `agentcore-rl` command as such, through its real entry point."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from agentcore_rl.cli import main
from agentcore_rl.cli.command_line import COMMANDS

SCRIPT = os.path.join(os.path.dirname(sys.executable), "agentcore-rl")


def test_help_lists_the_commands(command):
    """Help comes on stdout with 0; no command at all is a usage error that shows the same."""
    asked = command("--help")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert all(
        f"  {name} " in asked.stdout and about in asked.stdout for name, (_, about) in COMMANDS.items()
    )
    bare = command()
    assert (bare.returncode, bare.stdout, bare.stderr) == (2, "", asked.stdout)


def test_it_runs_as_a_module_too():
    """`python -m agentcore_rl.cli` is the same program, and says its release."""
    done = subprocess.run(
        [sys.executable, "-m", "agentcore_rl.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("agentcore-rl 0.")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(call, name):
    """`COMMAND --help` and `help COMMAND` say the same: usage, what it does, every option."""
    code, out, err = call(name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: agentcore-rl {name} ")
    assert "--debug" in out
    assert call("help", name)[1] == out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shwo"], "There is no command 'shwo'; did you mean 'show'?"),
        (["xyz"], f"There is no command 'xyz'; there are {', '.join(COMMANDS)}."),
        (["--json", "demo"], "The command comes first, then its options such as '--json'"),
        (["demo", "--tasks", "0"], "'0' is no whole number of at least 1"),
        pytest.param(["demo", "--tasks", "100000"], "The demo has ", marks=pytest.mark.needs_adapter),
        (["demo", "--framework", "nope"], 'pip install "agentcore-rl-nope"'),
        (
            ["demo", "--scripted", "--frobnicate"],
            "Unrecognized arguments: --frobnicate. See agentcore-rl demo --help",
        ),
        (["run", "x.py"], "The following arguments are required: --tasks"),
        (["run", "x.py", "--tasks", "t", "--sampling", "[1]"], "it is no JSON object"),
        (["run", "x.py", "--tasks", "t", "--deadline", "nan"], "'nan' is no number of seconds above 0"),
        (["serve"], "The following arguments are required: APP"),
        (["serve", "x.py", "--port", "65536"], "'65536' is no port"),
        (["serve", "x.py"], "There is no app file x.py"),
        (["show"], "The following arguments are required: RUN"),
        (["show", "nope"], "There is no run 'nope'"),
        (["local-model"], "The following arguments are required: fetch|serve"),
        (["local-model", "fetch", "--file", "none.gguf"], "There is no file none.gguf"),
        (["local-model", "serve", "--port", "x"], "'x' is no port"),
        (["doctor", "now"], "Unrecognized arguments: now"),
    ],
)
def test_wrong_arguments_are_one_sentence(call, folder, words, said):
    """Exit code 2, nothing on stdout, one line on stderr that says what is wrong."""
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err


def test_a_wrong_argument_ends_the_real_command(command):
    """What holds in process holds for the program."""
    done = command("show", "nope", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: There is no run 'nope'")


def test_debug_shows_the_traceback(call, folder):
    """With --debug an expected error keeps its exit code and shows where it came from."""
    code, _, err = call("show", "nope", "--debug")
    assert code == 2
    assert "Traceback" in err
    assert err.endswith("or its store with --out.\n")


@pytest.mark.parametrize(
    "words", [["show", "run"], ["--help"], ["show", "--help"], ["view", "run", "--no-open"]]
)
def test_a_reader_that_goes_away_is_no_error(stored, words):
    """`agentcore-rl show ... | head -1` ends quietly."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run([SCRIPT, *words], stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    # argparse itself says nothing of a help text that nobody reads.
    assert done.returncode == (0 if words == ["show", "--help"] else 141)
    assert "rror" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the disk that is always full is Linux's")
@pytest.mark.parametrize("words", [["show", "run", "--json"], ["--help"], ["runs"]])
def test_a_full_disk_is_one_sentence(stored, words):
    """Where the output goes to a file that takes no more: code 3, and Python adds nothing at its end."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([SCRIPT, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr == "error: The output cannot be written: No space left on device. Make room there.\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_streams_that_are_closed_are_done_without(stored, closed):
    """As a service manager or a cron job may start it."""
    line = f"exec {shlex.quote(SCRIPT)} show run --json {closed}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) is (not closed.startswith(">"))


def test_no_command_prints_more_than_json_with_json(call, stored):
    """With --json, stdout is JSON and nothing else."""
    code, out, _ = call("show", "run", "--json")
    assert code == 0
    assert json.loads(out)["run"] == "run"


def test_what_cannot_be_written_is_escaped(stored, command):
    """A terminal without Unicode gets escapes, not a traceback."""
    done = command("show", "run", "task.2", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "\\U0001f600" in done.stdout
    assert main(["show", "run"]) == 0
