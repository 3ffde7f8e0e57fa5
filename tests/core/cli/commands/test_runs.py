"""`agentcore-rl runs`: the runs in a folder."""

import os

import pytest

from agentcore_rl.testing import Answer, ScriptedModel
from json_schemas import valid


def test_runs_and_where_they_stand(call, app, tasks, stored):
    """A line each, the one that began last at the end; one without a journal is a run too; strays are not."""
    with ScriptedModel(lambda called: Answer("it is 4")) as model:
        call("run", app, "--tasks", tasks("one", "break"), "--run", "mine", "--model", model.base_url)
    (stored.parent / ".hidden").mkdir()
    (stored.parent / "a file").write_text("")
    os.utime(stored, (1000, 1000))
    code, out, err = call("runs")
    assert (code, err) == (0, "")
    headings, *rows = (line.split() for line in out.splitlines()[:3])
    assert headings[0] == "run"
    assert [row[0] for row in rows] == ["run", "mine"]
    assert "done" in rows[1]
    assert "no journal" in out
    *listed, last = valid("runs", call("runs", "--json")[1])
    assert [line["run"] for line in listed] == ["run", "mine"]
    assert last == {"done": True, "runs": 2}


def test_no_runs(call, folder):
    """It says where it looked and what makes one; that is no error."""
    code, out, _ = call("runs", "--out", "elsewhere")
    assert code == 0
    assert "elsewhere" in out


@pytest.mark.parametrize("words", [["now"], ["--out"]])
def test_wrong_arguments_are_one_sentence(call, folder, words):
    """Code 2, and nothing on stdout."""
    code, out, err = call("runs", *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
