"""Runs whose records are in S3, to every command that reads records."""

import json
from uuid import uuid4

import pytest

from agentcore_rl.codec import encode_record
from agentcore_rl.stores.places import open_store
from json_schemas import valid
from made_branches import talk


@pytest.fixture
def run(aws, faulty_aws, folder) -> str:
    """Where a run of one rollout with ids is; there is no folder of it on this machine."""
    store = open_store(f"s3://{aws.bucket(f'runs-{uuid4().hex}')}/some/prefix")
    rollout = talk(2)
    key = f"{rollout.run}/{rollout.input_id}/{rollout.session}.json"
    store.put_if_absent(key, encode_record(rollout, bucket="", key=key))
    return f"{store.location}/{rollout.run}"


def test_show(call, run):
    """The list, whose next step names the run as it was named, and a transcript, found by its beginning."""
    code, out, err = call("show", run)
    assert (code, err) == (0, "")
    assert f"Next: agentcore-rl show {run} task.0" in out.splitlines()
    code, out, _ = call("show", run, "ta")
    assert code == 0
    assert f"{run}/task.0/" in out
    [told] = valid("show", call("show", f"{run}/", "--json")[1])
    assert told["summary"]["records"].rstrip("/") == run


def test_what_is_made_of_it(call, run, folder):
    """`view`, `export` and `compare` read it there, and write here."""
    assert call("view", run, "--no-open")[0] == 0
    assert call("export", run, "--to", "verl")[0] == 0
    assert {path.name for path in folder.iterdir()} == {"report-run.html", "run-verl.jsonl"}
    assert json.loads(call("compare", run, run, "--json")[1])["pairs"] == 1


def test_a_folder_leads_there(call, run, folder):
    """An id, `last` and the folder find records in S3 where run.json says that they are there."""
    location = run.removesuffix("/run")
    (folder / "rollouts" / "run").mkdir(parents=True)
    about = {"run": "run", "records": {"location": location, "prefix": ""}}
    (folder / "rollouts" / "run" / "run.json").write_text(json.dumps(about))
    for named in ("last", "run", "rollouts/run"):
        [told] = valid("show", call("show", named, "--json")[1])
        assert [line["record"].startswith(run) for line in told["rollouts"]] == [True]
        assert call("export", named, "--to", "verl")[0] == 0
        assert call("compare", named, run)[0] == 0
        assert call("view", named, "--no-open")[0] == 0


@pytest.mark.parametrize("command", ["show", "view", "compare", "export"])
def test_what_is_not_there_is_one_sentence(call, run, faulty_aws, command):
    """A run or a place that is wrong is code 2; a store that is not there, or refuses, is 3."""
    further = {"compare": (run,), "export": ("--to", "verl")}.get(command, ())
    for place, code, said in (
        (f"{run}-not", 2, "There are no records of a run"),
        ("s3://run", 2, "names no run; it has the form s3://bucket/prefix/RUN"),
        ("ftp://host/run", 2, "There is no record store for ftp://"),
        ("s3://no-such-bucket-anywhere/prefix/run", 3, "no-such-bucket-anywhere"),
    ):
        told = call(command, place, *further)
        assert (told[0], told[1]) == (code, ""), told
        assert said in told[2]
        assert told[2].count("\n") == 1
    faulty_aws.fault("*", status=403, code="AccessDenied")
    code, out, err = call(command, run, *further)
    assert (code, out) == (3, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["status", "resume"])
def test_a_journal_is_not_there(call, run, command):
    """Commands that need more than records say what to give them."""
    code, out, err = call(command, run)
    assert (code, out) == (2, "")
    assert "give that folder, or its id" in err
