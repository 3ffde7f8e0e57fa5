"""`agentcore-rl completion`: static scripts, tried in the shells that are here."""

import re
import shutil
import subprocess

import pytest

from agentcore_rl.cli.command_line import COMMANDS
from agentcore_rl.cli.words import all_commands

SHELLS = ("bash", "zsh", "fish")
ASK_BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_agentcore_rl
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """Each shell's script, in a file."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in SHELLS:
        from agentcore_rl.cli.shells import bash, fish, zsh

        made = {"bash": bash, "zsh": zsh, "fish": fish}[shell].script(all_commands(), "1.2.3")
        (folder / shell).write_text(made)
    return folder


@pytest.fixture
def ask(scripts, folder):
    """What a shell offers for words of which the last is being typed."""
    (folder / "tasks.jsonl").write_text("")
    (folder / "my app.py").write_text("")
    for run in ("first", "second"):
        (folder / "rollouts" / run).mkdir(parents=True)
    (folder / "elsewhere" / "third").mkdir(parents=True)

    def offered(shell: str, *words: str) -> set[str]:
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not here")
        script = str(scripts / shell)
        # No program can be found, so that none can be started.
        if shell == "bash":
            command = ["bash", "--norc", "-c", f"PATH=/nowhere\n{ASK_BASH}", "bash", script]
            command += ["agentcore-rl", *words]
        else:
            line = " ".join(("agentcore-rl", *words))
            command = ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return {line.partition("\t")[0] for line in done.stdout.splitlines() if line}

    return offered


@pytest.mark.parametrize("shell", SHELLS)
def test_each_script_has_every_command_and_option(call, scripts, shell):
    """As the real command prints it; whole words, so that no longer one stands for it."""
    code, out, err = call("completion", shell)
    assert (code, err) == (0, "")
    said = set(re.sub(r"['\[=:)*]", " ", out).split())
    for command in all_commands():
        assert set(command.name.split()) <= said
        for flag in (name for option in command.flags for name in option.names):
            assert (flag.lstrip("-") if shell == "fish" else flag) in said, (command.name, flag)


@pytest.mark.parametrize("shell", SHELLS)
def test_each_script_is_the_shells_language(scripts, shell):
    """The shell itself parses it."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    done = subprocess.run([shell, "-n", scripts / shell], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ru"], {"run", "runs"}),
        (["run", "--ta"], {"--tasks"}),
        (["run", "rl_app.py", "--max-t"], {"--max-turns", "--max-tokens"}),
        (["run", "--model", "smol"], {"smollm2", "smollm2-tools"}),
        (["run", "--tasks", "ta"], {"tasks.jsonl"}),
        (["serve", "x.py", "--mode", ""], {"auto", "fork", "spawn"}),
        (["show", "s"], {"second"}),
        (["status", "--out", "elsewhere", "t"], {"third"}),
        (["resume", ""], {"first", "second", "last"}),
        (["local-model", "s"], {"serve"}),
        (["local-model", "serve", "--p"], {"--port"}),
        (["spool", "d"], {"drain"}),
        (["completion", "z"], {"zsh"}),
        (["run", "--samples", ""], set()),
    ],
)
def test_what_is_offered(ask, shell, words, expected):
    """Commands, their options, known values, files and runs; nothing where any text may stand."""
    assert ask(shell, *words) == expected


def test_every_command_is_offered_first(ask):
    """And help."""
    assert ask("bash", "") == {*COMMANDS, "help", "--help", "--version"}


def test_a_value_behind_an_equals_sign(ask):
    """Bash gives `--tasks=ta` as three words."""
    assert ask("bash", "run", "--tasks", "=", "ta") == {"tasks.jsonl"}
    assert ask("bash", "serve", "x.py", "--mode", "=") == {"auto", "fork", "spawn"}


def test_names_with_blanks_are_one_word(ask):
    """A file's name is not split."""
    assert "my app.py" in ask("bash", "run", "my")


def test_another_shell_is_one_sentence(call):
    """With those that there are."""
    code, out, err = call("completion", "tcsh")
    assert (code, out) == (2, "")
    assert "invalid choice: 'tcsh'" in err
    assert all(shell in err for shell in SHELLS)
