"""Adapters are found by entry point and loaded when they are asked for."""

import subprocess
import sys
from typing import ClassVar

import pytest

from agentcore_rl.adapter import ADAPTERS, AgentBuilder, Deviations, FrameworkAdapter
from agentcore_rl.exceptions import MissingDependencyError


def test_an_adapter_that_is_not_installed_is_one_sentence_with_the_command():
    """The alias leads to the package's own name."""
    with pytest.raises(MissingDependencyError, match='pip install "agentcore-rl-nothing"'):
        ADAPTERS.require("nothing")
    with pytest.raises(KeyError):
        ADAPTERS["nothing"]
    if "langgraph" not in ADAPTERS:
        with pytest.raises(MissingDependencyError, match='pip install "agentcore-rl-langgraph"'):
            ADAPTERS.require("langchain")


def test_listing_the_adapters_loads_no_framework():
    """Names are known without an import, asking whether one is there included."""
    code = (
        "import sys; from agentcore_rl.adapter import ADAPTERS;"
        "list(ADAPTERS), len(ADAPTERS), 'strands' in ADAPTERS;"
        "print('strands' in sys.modules, 'agentcore_rl_strands' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_mapping_is_one():
    """Its length is that of its names, in order."""
    assert list(ADAPTERS) == sorted(ADAPTERS)
    assert len(ADAPTERS) == len(list(ADAPTERS))
    assert all(name in ADAPTERS for name in ADAPTERS)


def test_a_plain_class_is_an_adapter():
    """A seam is a protocol: nothing is inherited."""

    class Plain:
        name = "plain"
        import_env: ClassVar[dict[str, str]] = {}
        deviations = Deviations()

        def create_openai_compatible_model(self, **_: object) -> object:
            return object()

        def collector(self) -> object:
            return object()

        def to_openai_messages(self, native: object) -> list[dict[str, object]]:
            return []

    assert isinstance(Plain(), FrameworkAdapter)
    assert not isinstance(Plain(), AgentBuilder)
