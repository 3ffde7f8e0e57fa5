"""Finding the run that somebody means."""

import os
from pathlib import Path

import pytest

from agentcore_rl.cli.run_folder import find_folder, find_run
from agentcore_rl.exceptions import ConfigurationError


@pytest.fixture
def root(folder) -> Path:
    """A store with three runs; the one that began last has the first name."""
    for age, name in enumerate(["alpha", "beta-1", "beta-2"]):
        (folder / "rollouts" / name).mkdir(parents=True)
        (folder / "rollouts" / name / "run.json").write_text("{}")
        os.utime(folder / "rollouts" / name / "run.json", (1000 - age, 1000 - age))
    return Path("rollouts")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("rollouts/beta-1", "beta-1"), ("beta-2", "beta-2"), ("al", "alpha"), ("last", "alpha")],
)
def test_a_run_is_found(root, wanted, found):
    """By its folder, its id, the beginning of its id, or as the last one."""
    assert find_folder(wanted, root).name == found
    assert find_run(wanted, root) == f"rollouts/{found}"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("beta", "'beta' fits 2 runs in rollouts"),
        ("gamma", "There is no run 'gamma' in rollouts; the latest: alpha, beta-1, beta-2"),
        ("", "There is no run ''"),
    ],
)
def test_no_run_is_guessed(root, wanted, said):
    """What fits none or several is an error that names what is there."""
    with pytest.raises(ConfigurationError, match=said):
        find_folder(wanted, root)


def test_an_empty_store_says_so(folder):
    """Where there is no run, the error says where to look instead."""
    with pytest.raises(ConfigurationError, match="holds none"):
        find_folder("last", folder / "rollouts")


def test_records_in_s3_are_a_run_to_whoever_reads_records(root):
    """A URL is passed on as it is; a command that needs a journal says what to give instead."""
    assert find_run("s3://bucket/prefix/run", root) == "s3://bucket/prefix/run"
    with pytest.raises(ConfigurationError, match="needs the run's journal, which lies in its folder"):
        find_folder("s3://bucket/prefix/run", root)
