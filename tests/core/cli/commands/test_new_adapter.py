"""`agentcore-rl new-adapter`: a package that installs at once, and says what is owed."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from agentcore_rl.cli import main
from wheel_site import environment_with, wheel_site

ROOT = Path(__file__).parents[4]
ADAPTERS = sorted(ROOT.glob("packages/*/src/agentcore_rl_*/adapter.py"))

ASKED = """
from importlib import import_module
from agentcore_rl.adapter import ADAPTERS, AgentBuilder, FrameworkAdapter
adapter = ADAPTERS["my_framework"]
assert isinstance(adapter, FrameworkAdapter) and isinstance(adapter, AgentBuilder)
for module in ("app", "collector", "messages", "model"):
    import_module(f"agentcore_rl_my_framework.{module}")
package = import_module("agentcore_rl_my_framework")
print(adapter.name, *(getattr(package, name).__name__ for name in package.__all__ if name != "adapter"))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of the command's making."""
    folder = tmp_path_factory.mktemp("scaffold") / "my framework"
    assert main(["new-adapter", "my-framework", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def site(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed."""
    return wheel_site(package, tmp_path_factory.mktemp("wheel"))


def test_it_has_the_files_and_names_of_every_adapter(package: Path) -> None:
    """Those of our own adapters: the same files, and the same public names but for the framework's."""

    def exported(init: Path, prefix: str) -> set[str]:
        [names] = re.findall(r"__all__ = (\[.*?\])", init.read_text(), re.DOTALL)
        return {name.replace(prefix, "Any") for name in ast.literal_eval(names)}

    ours = package / "src" / "agentcore_rl_my_framework"
    files = {path.name for path in ours.iterdir()}
    names = exported(ours / "__init__.py", "MyFramework")
    assert len(ADAPTERS) >= 4
    for adapter in ADAPTERS:
        folder = adapter.parent
        assert {path.name for path in folder.iterdir() if path.name != "__pycache__"} == files, folder
        [prefix] = re.findall(r"class (\w+)Adapter", adapter.read_text())
        assert exported(folder / "__init__.py", prefix) == names, folder


def test_nothing_is_left_to_replace(package: Path) -> None:
    """Every word of the templates has its value, and the code reads as our own does."""
    for path in package.rglob("*"):
        text = path.read_text() if path.is_file() else ""
        assert re.findall(r"__[A-Z]+__", f"{path.name} {text}") == [], path
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    assert project["name"] == "agentcore-rl-my-framework"
    assert project["entry-points"]["agentcore_rl.adapters"] == {
        "my_framework": "agentcore_rl_my_framework:adapter"
    }


def test_it_installs_and_is_found(site: Path) -> None:
    """Its wheel has an entry point, under which the adapter is found; all its modules import."""
    done = subprocess.run(
        [sys.executable, "-c", ASKED], env=environment_with(site), capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [
        "my_framework",
        *("MyFrameworkAdapter", "MyFrameworkAgentCoreRLApp", "MyFrameworkRolloutCollector"),
        *("create_openai_compatible_model", "to_openai_messages"),
    ], done.stderr


def test_its_tests_fail_where_code_is_owed_alone(package: Path, site: Path, tmp_path: Path) -> None:
    """Each failure says what is owed; what needs no code of the framework is green already."""
    report = tmp_path / "report.xml"
    options = ["-q", "-p", "no:cacheprovider", "--tb=native", f"--junitxml={report}"]
    command = [sys.executable, "-m", "pytest", *options, "tests"]
    subprocess.run(command, cwd=package, env=environment_with(site), capture_output=True, check=False)
    green, silent = set(), []
    for case in ET.parse(report).iter("testcase"):
        assert case.find("error") is None, ET.tostring(case, "unicode")
        failure = case.find("failure")
        if failure is None:
            green.add(str(case.get("name")))
        elif "owed: " not in f"{failure.get('message')} {failure.text}":
            silent.append(case.get("name"))
    assert silent == []
    assert green == {"test_it_has_both_protocols", "test_loading_it_imports_no_framework"}


@pytest.mark.parametrize(
    "name", ["Agent", "2fast", "a b", "a__b", "a_", "_a", "class", "é", "x" * 41, "../up"]
)
def test_a_name_that_cannot_be_is_one_sentence(
    name: str, folder: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    """It becomes a package, a module and a class."""
    code, out, err = call("new-adapter", "--", name)
    assert (code, out, list(folder.iterdir())) == (2, "", [])
    assert err.startswith(f"error: {name!r} cannot be an adapter's name: ")
    assert err.count("\n") == 1


def test_a_prefix_that_cannot_be_is_one_sentence(
    folder: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    """Classes begin with it."""
    code, _, err = call("new-adapter", "mine", "--class-prefix", "my-own")
    assert (code, list(folder.iterdir())) == (2, [])
    assert err == ("error: 'my-own' cannot begin a class name: use letters and digits, a capital first.\n")


def test_what_is_there_stays(folder: Path, call: Callable[..., tuple[int, str, str]]) -> None:
    """A folder with something in it is not written to; an empty one is."""
    (folder / "mine").mkdir()
    assert call("new-adapter", "mine")[0] == 0
    kept = (folder / "mine" / "README.md").read_text()
    code, _, err = call("new-adapter", "mine", "--class-prefix", "Other")
    assert (code, err) == (2, "error: mine is there already; choose another folder with --out.\n")
    assert (folder / "mine" / "README.md").read_text() == kept


def test_what_to_type_next_can_be_typed(folder: Path, call: Callable[..., tuple[int, str, str]]) -> None:
    """Also where the folder's name has a space in it."""
    _, out, _ = call("new-adapter", "mine", "--out", "my own")
    assert out.splitlines()[-1] == "  cd 'my own' && pip install -e . pytest && python -m pytest tests"
