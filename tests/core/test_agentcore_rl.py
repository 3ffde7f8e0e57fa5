"""The package's own namespace: public names, found when they are asked for."""

import subprocess
import sys

import pytest

import agentcore_rl


def test_every_public_name_is_there():
    """Each resolves, and is the object that its module has."""
    for name in agentcore_rl.__all__:
        value = getattr(agentcore_rl, name)
        assert getattr(sys.modules.get(getattr(value, "__module__", ""), None), name, value) is value
    assert set(agentcore_rl.__all__) <= set(dir(agentcore_rl))
    assert sorted(agentcore_rl.__all__) == agentcore_rl.__all__


def test_what_is_not_there_is_an_attribute_error():
    """As for any module."""
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        agentcore_rl.nothing  # noqa: B018
    assert not hasattr(agentcore_rl, "__nothing__")


def test_the_library_is_silent():
    """Its logger has a handler that does nothing, and the root logger is left alone."""
    code = (
        "import logging, agentcore_rl.recorder.recorder; print(len(logging.getLogger().handlers),"
        "[type(h).__name__ for h in logging.getLogger('agentcore_rl').handlers])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "['NullHandler']"]
