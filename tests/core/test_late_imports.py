"""Public names come when they are asked for, once, and no others do."""

import subprocess
import sys

import pytest

import agentcore_rl
from agentcore_rl.late_imports import late_imports


def test_a_name_is_imported_at_its_first_use():
    """Not before, and it is the package's own from then on."""
    program = (
        "import sys, agentcore_rl\n"
        "assert 'agentcore_rl.reward' not in sys.modules\n"
        "found = agentcore_rl.Reward\n"
        "assert sys.modules['agentcore_rl.reward'].Reward is found is vars(agentcore_rl)['Reward']\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_there_is_is_listed():
    """Names that nobody has asked for yet, too; each as a person would look for it."""
    assert set(agentcore_rl.__all__) <= set(dir(agentcore_rl))


def test_other_names_are_none():
    """The error is the one of any module."""
    find, _ = late_imports("json", {"decoder": ("JSONDecodeError",)})
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'Nothing'"):
        find("Nothing")
