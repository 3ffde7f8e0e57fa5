"""`agentcore-rl view`: a run as one HTML file."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

from json_schemas import valid
from made_branches import stored_run, talk
from report_runs import carried


def test_a_run_becomes_a_file(call, stored):
    """What is printed is the file's path; the rest is said on stderr."""
    code, out, err = call("view", "run", "--no-open")
    assert (code, out) == (0, "report-run.html\n")
    assert "3 of 3 rollouts listed" in err
    assert Path("report-run.html").read_text().startswith("<!doctype html>")


def test_as_json(call, stored):
    """One object: the file, its size, and what it holds."""
    [told] = valid("view", call("view", "last", "--no-open", "--json", "--out", "x.html")[1])
    size = told.pop("size")
    assert size == Path("x.html").stat().st_size
    assert told.pop("report") == str(Path("x.html").absolute())
    assert told == {"rollouts": 3, "listed": 3, "transcripts": 3, "unreadable": 0, "opened": False}


def test_fewer_rollouts(call, stored):
    """--failed and --limit list fewer; the figures are of all."""
    [told] = valid("view", call("view", "run", "--no-open", "--json", "--failed")[1])
    assert (told["rollouts"], told["listed"]) == (3, 1)
    [told] = valid("view", call("view", "run", "--no-open", "--json", "--limit", "2")[1])
    assert (told["rollouts"], told["listed"]) == (3, 2)
    code, _, err = call("view", "run", "--limit", "0")
    assert code == 2
    assert "no whole number of at least 1" in err


def test_several_runs(call, stored):
    """Their names make the file's."""
    shutil.copytree(stored, stored.with_name("copy"))
    code, out, err = call("view", str(stored), str(stored), "--no-open")
    assert (code, out) == (0, "report-run-run.html\n"), err


def test_a_damaged_record_is_told(call, stored):
    """The rest is shown."""
    [record] = stored.glob("task.0/*.json")
    record.write_bytes(b"{")
    code, _, err = call("view", "run", "--no-open")
    assert code == 0
    assert "1 object cannot be read" in err


def test_a_place_that_is_none(call, stored, folder):
    """A folder gets report.html; one that is not there is an error that says so."""
    (folder / "reports").mkdir()
    assert call("view", "run", "--no-open", "--out", "reports")[1] == "reports/report.html\n"
    code, out, err = call("view", "run", "--no-open", "--out", "nowhere/x.html")
    assert (code, out) == (2, "")
    assert err == "error: There is no folder nowhere: make it, or name another --out.\n"


def test_a_tokenizer_that_is_none(call, stored):
    """The error says so, before any record is read."""
    code, out, err = call("view", "run", "--no-open", "--tokenizer", "nowhere.json")
    assert (code, out) == (2, "")
    assert err == "error: The tokenizer nowhere.json cannot be read: No such file or directory.\n"


def test_texts_of_the_local_models_tokens(call, folder):
    """A run of the local model shows them unasked, where its file is; with another model in it, ids alone."""

    def pieces(*runs: str) -> dict[str, str] | None:
        assert call("view", *runs, "--no-open", "--out", "report.html")[0] == 0
        return json.loads(carried(Path("report.html").read_text(), "index"))["pieces"]

    local = dataclasses.replace(talk(2), model="smollm2-tools", run="local")
    stored_run(folder / "rollouts", [local], "local")
    stored_run(folder / "rollouts", [dataclasses.replace(local, model="x", run="other")], "other")
    assert pieces("local")["1"] == "<|im_start|>"
    assert pieces("other") is None
    assert pieces("local", "other") is None
    os.environ["AGENTCORE_RL_MODEL_FILE"] = "nowhere.gguf"
    assert pieces("local") is None


def test_no_such_run(call, stored):
    """The error names those that are there."""
    code, _, err = call("view", "nope", "--no-open")
    assert code == 2
    assert "There is no run 'nope' in rollouts; the latest: run." in err


def test_without_a_display_nothing_is_opened(command, stored):
    """The real command in a process of its own: the path is printed, and no browser looked for."""
    done = command("view", "run", DISPLAY="", WAYLAND_DISPLAY="", BROWSER="")
    assert (done.returncode, done.stdout) == (0, "report-run.html\n")


def test_the_browser_of_the_environment(command, stored, folder):
    """BROWSER is called with the file's address."""
    browser = folder / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {folder}/opened\n')
    browser.chmod(0o755)
    assert command("view", "run", BROWSER=f"{browser} %s").returncode == 0
    assert (folder / "opened").read_text().strip() == (folder / "report-run.html").as_uri()
