"""`agentcore-rl export`: a run written for a trainer, and what became of it."""

import json

import pytest

from agentcore_rl.cli.commands import export
from agentcore_rl.export import FORMATS
from made_branches import forked, stored_run, talk


@pytest.fixture
def run(folder):
    """A run of two rollouts with ids, one of them suspect."""
    stored_run(folder / "rollouts", [talk(2), forked().rollout()])
    return folder / "rollouts" / "run"


def test_a_file(call, run, folder):
    """It is named for run and format; what trains and what does not is told, progress goes to stderr."""
    code, out, err = call("export", "last", "--to", "verl")
    assert code == 0
    assert out.splitlines()[0].startswith("file        run-verl.jsonl, ")
    assert "entries     5 of 2 rollouts, 2 read" in out
    assert "masked      suspect 1" in out
    assert "tokens      14 sampled, 6 train" in out
    assert "rollouts" in err
    assert len((folder / "run-verl.jsonl").read_text().splitlines()) == 5


def test_as_json(call, run, folder):
    """One object with the file and every count."""
    code, out, _ = call(
        "export", "run", "--to", "parquet-rows", "--out", "made/rows.parquet", "--include-suspect", "--json"
    )
    told = json.loads(out)
    assert code == 0
    assert (told["to"], told["out"], told["entries"]) == ("parquet-rows", "made/rows.parquet", 5)
    assert told["tokens"] == {
        "sampled": 14,
        "trained": 14,
        "masked": {},
        "partial": 0,
        "answers_without_ids": 0,
    }
    assert (folder / "made" / "rows.parquet").stat().st_size == told["bytes"]


def test_conditions_and_rewards(call, run):
    """--where may be given again; a reward for failures is a number."""
    out = call("export", "run", "--to", "trl", "--where", "reward>0", "--where", "suspect=none", "--json")[1]
    assert json.loads(out)["left_out"] == {"where": 1}
    code, _, err = call("export", "run", "--to", "verl", "--failed-reward", "nan")
    assert (code, "is no finite number" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "--to"),
        (["run", "--to", "verll"], "did you mean 'verl'?"),
        (["run", "--to", "trl", "--where", "reward"], "is no condition"),
        (["run", "--to", "trl", "--advantages", "mean"], "only rows"),
        (["other", "--to", "trl"], "There is no run 'other'"),
        (["run", "--to", "trl", "--where", "reward>5"], "where 2"),
        (["run", "--to", "trl", "--out", "."], "is a folder"),
    ],
)
def test_what_is_wrong(call, run, words, said):
    """One sentence, exit code 2, no file."""
    code, out, err = call("export", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "error:" in err


def test_the_help_names_every_format():
    """As the table has them."""
    listed = {line.split()[0] for line in (export.__doc__ or "").splitlines() if line.startswith("  ")}
    assert set(FORMATS) <= listed


def test_the_real_command(run, command):
    """In a process of its own, whose output may be read by another program."""
    done = command("export", "last", "--to", "otel", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["entries"] == 2
