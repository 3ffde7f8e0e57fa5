"""`agentcore-rl init`: a project that works as it is."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agentcore_rl.adapter import ADAPTERS
from agentcore_rl.cli import main
from agentcore_rl.demo.math import SYSTEM_PROMPT
from agentcore_rl.read import read_run
from agentcore_rl.tasks import read_tasks
from agentcore_rl.testing import Answer, ScriptedModel
from wheel_site import environment_with

ROOT = Path(__file__).parents[4]
EXAMPLES = sorted((ROOT / "examples" / "math_agent").glob("*/rl_app.py"))
OURS = [path.parent.name for path in EXAMPLES]
SHARED_IMPORT = "from agentcore_rl.demo.math import SYSTEM_PROMPT, GSM8KReward, calculator\n"
OWN_IMPORTS = re.compile(
    r"from calculator import calculator\nfrom reward import GSM8KReward\n\nSYSTEM_PROMPT = \(.*?\n\)\n",
    re.DOTALL,
)

pytestmark = pytest.mark.needs_adapter


@pytest.mark.parametrize("framework", OURS)
def test_the_agent_is_that_of_the_examples(call, folder, framework):
    """Line by line, but that reward, tool and instructions are the project's own; those are the demo's."""
    assert call("init", "mine", "--framework", framework)[0] == 0
    app = (folder / "mine" / "rl_app.py").read_text()
    [own] = OWN_IMPORTS.findall(app)
    example = (ROOT / "examples" / "math_agent" / framework / "rl_app.py").read_text()
    ours = [line for line in app.replace(own, "").splitlines() if line]
    theirs = [line for line in example.replace(SHARED_IMPORT, "").splitlines() if line]
    assert ours[1:] == theirs[1:]
    values: dict[str, str] = {}
    exec(own.partition("\n\n")[2], values)
    assert values["SYSTEM_PROMPT"] == SYSTEM_PROMPT
    for name in ("calculator", "reward"):
        source = ROOT / "packages/core/src/agentcore_rl/demo/math" / f"{name}.py"
        assert (folder / "mine" / f"{name}.py").read_text() == source.read_text()


@pytest.mark.parametrize("framework", [*OURS, "third_party"])
def test_its_own_tests_pass(call, folder, monkeypatch, framework):
    """In every framework, and with an adapter of somebody else: a rollout in a session of its own."""
    site = folder / "site"
    if framework == "third_party":
        make_third_party(site)
        monkeypatch.syspath_prepend(str(site))
    assert call("init", "mine", "--framework", framework)[0] == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd="mine",
        env={**environment_with(site), "AGENTCORE_RL_SPOOL": str(folder / "spool")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def make_third_party(site: Path) -> None:
    """An adapter that is not ours, as an installed package is found."""
    described = site / "somebodys_adapter-3.1.4.dist-info"
    described.mkdir(parents=True)
    (site / "third_party_adapter.py").write_text(
        "from agentcore_rl_strands import StrandsAdapter\n\n"
        'class Theirs(StrandsAdapter):\n    name = "third_party"\n\nadapter = Theirs()\n'
    )
    (described / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: somebodys-adapter\nVersion: 3.1.4\nRequires-Dist: agentcore-rl\n"
    )
    (described / "entry_points.txt").write_text(
        "[agentcore_rl.adapters]\nthird_party = third_party_adapter:adapter\n"
    )


def test_it_runs_with_the_words_that_are_printed(call, folder):
    """`cd` and `agentcore-rl run`, with another model than the local one; the next step is said."""
    _, out, _ = call("init", "my agent", "--framework", "strands", "--json")
    told = json.loads(out)
    assert [shlex.split(step)[0] for step in told["next"]] == ["cd", "agentcore-rl", "agentcore-rl", "python"]
    assert set(told["files"]) == {
        str(path.relative_to(told["folder"])) for path in Path(told["folder"]).rglob("*") if path.is_file()
    }
    os.chdir(shlex.split(told["next"][0])[1])
    with ScriptedModel(lambda call: Answer("#### 0")) as model:
        code, out, err = call(*shlex.split(told["next"][1])[1:], "--model", model.base_url)
    assert code == 0, err
    assert "Next     agentcore-rl view rollouts/" in out
    [run] = [run for run in Path("rollouts").iterdir() if not run.name.startswith(".")]
    assert len(list(read_run(run).rollouts)) == len(read_tasks("tasks.jsonl"))


def test_every_installed_framework_has_a_project(call, folder):
    """Named for its folder, with its adapter as requirement; nothing is left to replace."""
    for framework in ADAPTERS:
        assert call("init", f"Ünser {framework}!", "--framework", framework)[0] == 0
        made = folder / f"Ünser {framework}!"
        for path in made.rglob("*"):
            assert re.findall(r"__[A-Z]+__", path.read_text() if path.is_file() else "") == []
        project = tomllib.loads((made / "pyproject.toml").read_text())["project"]
        assert project["name"] == f"unser-{framework.replace('_', '-')}"
        [needed] = project["dependencies"]
        assert re.fullmatch(rf"agentcore-rl-{framework}>=[0-9.]+,<[0-9]+", needed)


def test_the_image_is_what_agentcore_runs(call, folder):
    """arm64, port 8080, another user than root, the app, and no file but those that are needed."""
    call("init", "mine", "--framework", "strands")
    lines = (folder / "mine" / "Dockerfile").read_text().splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    assert steps[0] == ["FROM", "--platform=linux/arm64 python:3.12-slim"]
    assert ["EXPOSE", "8080"] in steps
    assert ["USER", "agent"] in steps
    assert steps[-1] == ["CMD", '["python", "rl_app.py"]']
    assert (folder / "mine" / ".dockerignore").read_text().splitlines() == ["*", "!pyproject.toml", "!*.py"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "The following arguments are required: DIR"),
        (["mine"], "Say which framework the agent is of: --framework with one of autogen, "),
        (["mine", "--framework", "strnds"], "There is no adapter for 'strnds'; did you mean 'strands'?"),
        (["mine", "--framework", "zzz"], "agentcore-rl new-adapter makes one for another framework"),
        (["taken", "--framework", "strands"], "taken is there already; give DIR another name, or empty it."),
        (["file", "--framework", "strands"], "file is there already"),
        (["dangling", "--framework", "strands"], "dangling is there already"),
        (["file/below", "--framework", "strands"], "cannot be written: Not a directory"),
        (["/proc/mine", "--framework", "strands"], "/proc/mine cannot be written: "),
        (["x" * 300, "--framework", "strands"], "cannot be looked at: File name too long"),
    ],
)
def test_bad_input_is_one_sentence(call, folder, words, said):
    """Nothing is written."""
    (folder / "taken").mkdir()
    (folder / "taken" / "notes").write_text("mine")
    (folder / "file").write_text("mine")
    (folder / "dangling").symlink_to("nowhere")
    before = sorted(folder.rglob("*"))
    code, out, err = call("init", *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
    assert sorted(folder.rglob("*")) == before


def test_here_is_a_folder_too(call, folder):
    """`init .` in an empty folder; its name is the project's, and no `cd` is needed."""
    (folder / "--odd--").mkdir()
    os.chdir(folder / "--odd--")
    code, out, _ = call("init", ".", "--framework", "strands")
    assert code == 0
    assert "Next     agentcore-rl run" in out
    assert 'name = "odd"' in Path("pyproject.toml").read_text()
    assert main(["init", ".", "--framework", "strands"]) == 2
