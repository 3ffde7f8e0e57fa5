"""What must be installed."""

import pytest

from agentcore_rl.exceptions import MissingDependencyError
from agentcore_rl_strands.framework import check_openai, framework


@pytest.mark.parametrize("version", ["2.47.0", "2.54.0", "3.0.0", "10.1", "2.100.0rc1"])
def test_a_new_enough_sdk_is_taken(version: str):
    """From 2.47 on the SDK takes our HTTP clients."""
    check_openai(version)


@pytest.mark.parametrize("version", ["2.46.9", "1.109.1"])
def test_an_old_sdk_is_refused_with_the_command(version: str):
    """One sentence instead of a TypeError from within the SDK."""
    with pytest.raises(MissingDependencyError, match=rf"is {version}, .* pip install"):
        check_openai(version)


def test_other_missing_modules_are_not_explained_away():
    """Only the framework's absence is ours to explain."""
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), framework():
        import no_such_module  # type: ignore[import-not-found]  # noqa: F401
