"""`agentcore-rl frameworks`: the adapters that are there, and one script in each of them."""

import json
from importlib.metadata import version
from pathlib import Path

from agentcore_rl.adapter import ADAPTERS
from json_schemas import valid

ODD = '''
from agentcore_rl_strands import StrandsAdapter

class Odd(StrandsAdapter):
    """Strands, with another system prompt than it was given."""
    name = "odd"
    def build_agent(self, model, tools, instructions, **further):
        return super().build_agent(model, tools, "Be nice.", **further)

adapter = Odd()
'''


def install_odd(place: Path) -> None:
    """An adapter with a defect, as an installed package is found."""
    (place / "odd_adapter.py").write_text(ODD)
    described = place / "odd_adapter-1.2.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: odd-adapter\nVersion: 1.2\nRequires-Dist: agentcore-rl\n"
        "Requires-Dist: openai>=2\nRequires-Dist: nowhere-to-be-found\n"
    )
    (described / "entry_points.txt").write_text("[agentcore_rl.adapters]\nodd = odd_adapter:adapter\n")


def test_adapters_are_listed_with_their_releases(command):
    """By name: the package and the framework; how messages deviate is told of those that are asked for."""
    done = command("frameworks")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"strands-agents {version('strands-agents')}" in done.stdout
    assert "bad_json" not in done.stdout
    assert "bad_json: empty_object" in command("frameworks", "strands").stdout
    listed = json.loads(command("frameworks", "--json").stdout)["adapters"]
    assert [adapter["name"] for adapter in listed] == list(ADAPTERS)
    assert {adapter["deviations"] for adapter in listed} == {None}


def test_all_that_is_declared_is_told(command):
    """Every deviation, and none that is not one."""
    listed = json.loads(command("frameworks", "--deviations", "--json").stdout)["adapters"]
    strands = next(adapter for adapter in listed if adapter["name"] == "strands")
    assert strands["versions"]["agentcore-rl-strands"] == version("agentcore-rl-strands")
    assert strands["deviations"]["content_parts"] is True
    assert "adds_name" not in strands["deviations"]


def test_one_script_yields_equal_messages(command):
    """Each message equals the script's, or a declared deviation says why not."""
    done = command("frameworks", "strands", "--compare", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    [compared] = valid("frameworks", done.stdout)
    assert compared["well"] is True
    assert list(compared["adapters"]) == ["strands"]
    assert compared["messages"][:3] == ["system", "user", "assistant: reasoning, text, 1 tool call"]
    for cells in compared["adapters"].values():
        assert len(cells) == len(compared["messages"])
        assert "DIFFERS" not in cells


def test_an_undeclared_difference_is_shown_and_makes_the_code_1(command, tmp_path):
    """The message and the adapter are named; a requirement that is not installed is told."""
    install_odd(tmp_path)
    done = command("frameworks", "odd", "--compare", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    headings, system, user, *_ = done.stdout.splitlines()
    at = headings.split().index("odd")
    assert system.split()[at + 1] == "DIFFERS"
    assert user.split()[at + 1] == "="
    listed = command("frameworks", PYTHONPATH=str(tmp_path)).stdout
    assert "odd-adapter 1.2" in listed
    assert "nowhere-to-be-found is not installed" in listed


def test_an_adapter_that_is_not_there_is_one_sentence(command):
    """With the command that installs it."""
    done = command("frameworks", "nothing")
    assert done.returncode == 2
    assert 'pip install "agentcore-rl-nothing"' in done.stderr
