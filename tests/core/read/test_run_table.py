"""A run is a table of typed columns, one row per rollout."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from agentcore_rl import read_run
from agentcore_rl.codec import encode_record
from agentcore_rl.read.run_table import arrow_table, rollout_row
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Usage
from agentcore_rl.stores.directory import DirectoryStore
from made_rollouts import golden_rollout, make_rollout


@pytest.fixture
def run(tmp_path):
    """A run of two rollouts."""
    store = DirectoryStore(tmp_path / "records")
    for rollout in (
        golden_rollout(),
        make_rollout(task="bare", input_id="bare.0", reward=None, usage=Usage()),
    ):
        key = f"{rollout.run}/{rollout.input_id}/{rollout.session}.json"
        store.put_if_absent(key, encode_record(rollout, bucket="", key=key))
    return read_run(tmp_path / "records" / "run")


def test_arrow_has_a_typed_row_per_rollout(run):
    """Ids, how it ended, reward and parts, figures of tool calls, timings; null is not zero."""
    table = run.to_arrow()
    bare, golden = table.to_pylist()
    assert (golden["task"], golden["sample"], golden["attempt"], golden["status"]) == ("task", 2, 1, "failed")
    assert (golden["failure_kind"], golden["failure"]) == ("reward", "The reward is NaN.")
    assert (golden["reward"], golden["score.correct"], golden["metric.length"]) == (0.75, 1.0, 12.0)
    assert (golden["tool_calls"], golden["format_ok_calls"], golden["execution_ok_calls"]) == (1, 1, 1)
    assert golden["accepted_at"] == datetime(2026, 1, 1, 0, 0, 0, 500000, UTC)
    assert golden["suspect"] == ["inferred_scope"]
    assert (golden["prompt"], golden["first_policy_version"]) == ("What is 6 · 7?", 3)
    assert [bare[name] for name in ("reward", "score.correct", "prompt_tokens", "failure")] == [None] * 4
    assert (bare["tool_calls"], bare["output"]) == (0, "answer")
    assert '"rollout_data"' in golden["output"]
    assert table.schema.field("prompt_tokens").type == "int64"


def test_columns_do_not_depend_on_the_rows():
    """An empty run has the columns and the types of a full one."""
    empty, full = arrow_table([]), arrow_table([make_rollout(reward=Reward(1.0))])
    assert empty.num_rows == 0
    assert empty.schema == full.schema


def test_a_row_has_every_column():
    """What is told of one rollout is what tables have."""
    assert set(rollout_row(make_rollout())) == set(arrow_table([]).column_names)


def test_pandas_keeps_null_apart_from_zero(run):
    """Counts stay whole numbers beside what is not known."""
    frame = run.to_pandas()
    assert list(frame["task"]) == ["bare", "task"]
    assert str(frame["prompt_tokens"].dtype) == "int64[pyarrow]"
    assert frame["prompt_tokens"].isna().tolist() == [True, False]


def test_a_missing_package_is_named_with_its_extra(run):
    """Where pyarrow or pandas cannot be imported, the sentence has the command."""
    code = (
        "import sys; sys.modules[sys.argv[1]] = None\n"
        "from agentcore_rl import read_run, MissingDependencyError\n"
        "try: getattr(read_run(sys.argv[2]), sys.argv[3])()\n"
        "except MissingDependencyError as error: print(error)\n"
    )
    folder = f"{run.store.location}/run"
    for package, method in (("pyarrow", "to_arrow"), ("pandas", "to_pandas")):
        words = [sys.executable, "-c", code, package, folder, method]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert done.stdout == (
            f"A table of a run needs {package}, which is not installed: "
            'pip install "agentcore-rl[notebook]"\n'
        )
