"""What commands print for programs, held against the schemas in docs/schema."""

import pytest

from agentcore_rl.cli.command_line import COMMANDS
from agentcore_rl.cli.words import all_commands
from agentcore_rl.testing import Answer, ScriptedModel
from json_schemas import SCHEMAS, valid, validator
from made_branches import forked, stored_run, talk

# What is a text for a person alone: there is nothing in it that a program would read otherwise.
TEXTS = {"completion", "local-model"}


@pytest.mark.parametrize("command", all_commands(), ids=lambda command: command.name.replace(" ", "-"))
def test_every_command_has_json(command):
    """But those whose output is a text by its nature; a command with actions has it in each of them."""
    if command.name not in TEXTS:
        assert "--json" in {name for option in command.flags for name in option.names}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bad_argument_is_one_sentence(call, name):
    """Of every command: code 2, nothing on stdout, what is wrong, and where help is."""
    code, out, err = call(name, "--frobnicate")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert f"See agentcore-rl {name} --help" in err or "agentcore-rl" in err


def test_a_run_and_what_tells_of_it(call, app, tasks):
    """`run`, `resume`, `runs`, `status`, `show`: rollouts that succeeded, failed, and the end."""
    with ScriptedModel(lambda call: Answer("it is 4")) as model:
        words = ["run", app, "--tasks", tasks("one", "break"), "--run", "mine", "--model", model.base_url]
        *rollouts, last = valid("run", call(*words, "--json")[1])
        assert [line["status"] for line in sorted(rollouts, key=lambda line: line["id"])] == [
            *("succeeded", "failed")
        ]
        assert last["done"] is True
        again = valid("run", call("resume", "mine", "--json")[1])
        assert again[-1]["summary"][0]["failed"] == {"agent": 1}
    listed, end = valid("runs", call("runs", "--json")[1])
    assert (listed["run"], end["runs"]) == ("mine", 1)
    assert valid("status", call("status", "mine", "--json")[1])[0]["done"] == 2
    assert valid("status", call("status", "mine", "--follow", "--json")[1])[-1]["state"] == "done"
    [shown] = valid("show", call("show", "mine", "--json")[1])
    assert len(shown["rollouts"]) == 2
    [record] = valid("show", call("show", "mine", "t0", "--json")[1])
    assert [turn["answer"]["content"] for turn in record["turns"]] == ["it is 4"]


def test_what_is_there_already(call, stored, monkeypatch):
    """`show` of a golden and a hostile record, `runs` of a folder without a journal, nothing in a spool."""
    monkeypatch.setenv("AGENTCORE_RL_SPOOL", str(stored / "no-spool"))
    valid("show", call("show", "run", "--json")[1])
    assert valid("runs", call("runs", "--json")[1])[0]["state"] == "no journal"
    assert valid("runs", call("runs", "--out", "nowhere", "--json")[1]) == [{"done": True, "runs": 0}]
    assert valid("spool", call("spool", "--json")[1])[-1]["done"] is True
    assert valid("spool", call("spool", "drain", "--json")[1]) == [{"delivered": 0, "left": 0}]


@pytest.mark.needs_adapter
def test_what_makes_and_what_looks(call, folder):
    """`init`, `new-adapter`, `frameworks`, `doctor`."""
    valid("init", call("init", "mine", "--framework", "strands", "--json")[1])
    valid("new-adapter", call("new-adapter", "another", "--json")[1])
    valid("frameworks", call("frameworks", "--json")[1])
    valid("frameworks", call("frameworks", "strands", "--json")[1])
    valid("doctor", call("doctor", "--json")[1])


def test_what_is_made_of_a_run(call, folder):
    """`view`, `export` with and without token ids, `compare`: what can be told, and what cannot."""
    stored_run(folder / "rollouts", [talk(2), forked().rollout()])
    valid("view", call("view", "last", "--no-open", "--json")[1])
    assert valid("export", call("export", "last", "--to", "verl", "--json")[1])[0]["tokens"]["sampled"] == 14
    assert valid("export", call("export", "last", "--to", "otel", "--json")[1])[0]["tokens"] is None
    [compared] = valid("compare", call("compare", "last", "last", "--json")[1])
    assert compared["test"]["p_value"] in (None, 1.0)


def test_errors_leave_stdout_empty(call, folder):
    """A program that reads stdout never reads a sentence."""
    for words in (["show", "none", "--json"], ["status", "none", "--json"], ["run", "x", "--json"]):
        code, out, err = call(*words)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")


def test_once_and_follow_exclude_each_other(call, stored):
    """One of them has to go."""
    code, out, err = call("status", "run", "--once", "--follow")
    assert (code, out) == (2, "")
    assert "exclude each other" in err


def test_each_command_has_a_schema():
    """But what prints no JSON, and `resume`, which prints what `run` does; no other has one."""
    described = {path.stem.removeprefix("cli-") for path in SCHEMAS.glob("cli-*.json")}
    assert described == COMMANDS.keys() - {"completion", "resume"}
    for name in described:
        assert validator(name).schema["title"] == f"agentcore-rl {name} --json"


def test_what_is_named_alike_is_alike():
    """Figures of runs have one form in all schemas."""
    shared = {name: validator(name).schema["$defs"] for name in ("run", "demo", "show")}
    for figure in ("summary", "reliability", "calls", "share", "interval"):
        assert shared["run"][figure] == shared["demo"][figure] == shared["show"][figure]
