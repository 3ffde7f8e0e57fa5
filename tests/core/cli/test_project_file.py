"""The project file: what commands take where neither an option nor a variable says otherwise."""

import json
from pathlib import Path

import pytest

from agentcore_rl.cli.command_line import COMMANDS, command_parser
from agentcore_rl.cli.project_file import SHARED, find_project, options_of
from agentcore_rl.testing import Answer, ScriptedModel


def sources(err: str) -> dict[str, tuple[str, str]]:
    """What --debug says: option -> value and where it comes from."""
    lines = [line.removeprefix("debug: ") for line in err.splitlines() if line.startswith("debug: ")]
    split = [(line.partition(" = ")[0], *line.partition(" = ")[2].rsplit(" (", 1)) for line in lines]
    return {key: (value, source.rstrip(")")) for key, value, source in split}


def test_a_run_needs_no_option(call, app, tasks):
    """App, tasks, model and the table's samples come from the file."""
    with ScriptedModel(lambda call: Answer("it is 4")) as model:
        Path("agentcore-rl.toml").write_text(
            f'app = "{app}"\ntasks = "{tasks("one")}"\nmodel = "{model.base_url}"\nout = "kept"\n'
            "sampling = {temperature = 0.5}\n[run]\nsamples = 2\n"
        )
        code, out, err = call("run", "--json")
        assert code == 0, err
        assert len(out.splitlines()) == 3
        asked = [served.json for served in model.calls if served.method == "POST"]
    assert {body["temperature"] for body in asked} == {0.5}
    assert json.loads(call("runs", "--json")[1].splitlines()[0])["done"] == 2


def test_it_is_found_from_below_and_paths_are_its_own(call, folder, monkeypatch):
    """From a folder inside the project, also in a table of pyproject.toml; the nearest file counts."""
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[tool.agentcore-rl]\napp = "app.py"\nout = "kept"\n'
    )
    (folder / "inner" / "deep").mkdir(parents=True)
    (folder / "inner" / "pyproject.toml").write_text('[project]\nname = "not ours: agentcore-rl"\n')
    monkeypatch.chdir(folder / "inner" / "deep")
    said = sources(call("serve", "--debug")[2])
    assert said["app"] == ("'../../app.py'", "../../pyproject.toml")
    (folder / "inner" / "agentcore-rl.toml").write_text('app = "s3://nowhere"\n')
    assert sources(call("serve", "--debug")[2])["app"] == ("'s3://nowhere'", "../agentcore-rl.toml")


@pytest.mark.parametrize(
    ("words", "variables", "key", "told"),
    [
        ([], {}, "model", ("'http://file/v1'", "agentcore-rl.toml")),
        (["--model", "smollm2"], {"BASE_URL": "http://env/v1"}, "model", ("'smollm2'", "command line")),
        ([], {"BASE_URL": "http://env/v1"}, "model", ("None", "BASE_URL")),
        ([], {}, "model-id", ("'of-the-file'", "agentcore-rl.toml")),
        ([], {"MODEL_ID": "of-env"}, "model-id", ("'of-env'", "MODEL_ID")),
        (["--model", "http://flag/v1"], {}, "model-id", ("None", "default")),
        ([], {"BASE_URL": "http://env/v1"}, "model-id", ("None", "default")),
        ([], {"AGENTCORE_RL_QUEUE": "https://q"}, "queue", ("None", "AGENTCORE_RL_QUEUE")),
        ([], {}, "queue", ("'https://file'", "agentcore-rl.toml")),
        ([], {}, "app", ("'arn:file'", "agentcore-rl.toml")),
        ([], {"AGENTCORE_RL_RUNTIME_ARN": "arn:env"}, "app", ("'arn:env'", "AGENTCORE_RL_RUNTIME_ARN")),
        (["app.py"], {"AGENTCORE_RL_RUNTIME_ARN": "arn:env"}, "app", ("'app.py'", "command line")),
        ([], {}, "on", ("'agentcore'", "agentcore-rl.toml")),
        (["app.py"], {}, "on", ("None", "default")),
        ([], {}, "attempts", ("3", "default")),
    ],
)
def test_a_flag_beats_the_environment_beats_the_file(call, folder, monkeypatch, words, variables, key, told):
    """--debug says of each option what it is and where it comes from."""
    (folder / "agentcore-rl.toml").write_text(
        'app = "arn:file"\non = "agentcore"\ntasks = "none.jsonl"\nmodel = "http://file/v1"\n'
        'model-id = "of-the-file"\nqueue = "https://file"\n'
    )
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert sources(call("run", *words, "--debug")[2])[key] == told


@pytest.mark.parametrize(
    ("content", "command", "said"),
    [
        ('task = "x"', "runs", "there is no key 'task'; did you mean 'tasks'?"),
        ("max_tokens = 3", "runs", "there is no key 'max_tokens'; did you mean 'max-tokens'?"),
        ("[rnu]\nsamples = 1", "runs", "there is no key 'rnu'; did you mean 'run'?"),
        ("[run]\nport = 1", "run", "there is no key 'port' of [run]"),
        ("[serve]\nprot = 1", "serve", "there is no key 'prot' of [serve]; did you mean 'port'?"),
        ("run = 3", "run", "run is a table: write [run] above its keys"),
        ("[tasks]\nx = 1", "run", "tasks is a value, not a table"),
        ("samples = 0", "run", "samples cannot be 0: '0' is no whole number of at least 1"),
        ("samples = true", "run", "samples cannot be True: it is no text and no number"),
        ("samples = [1]", "run", "samples cannot be [1]: write one value, not a list"),
        ("tasks = 3", "run", "tasks cannot be 3: it is no text; put it in quotes"),
        ('[serve]\nmode = "thread"', "serve", "choose one of auto, fork, spawn"),
        ('[serve]\nfault = "kill"', "serve", "fault cannot be 'kill': write a list"),
        ("app = ", "runs", "agentcore-rl.toml is no TOML: "),
        ("app = '\udcff'", "runs", "agentcore-rl.toml is no TOML: "),
    ],
)
def test_what_cannot_be_used_is_one_sentence(call, folder, content, command, said):
    """It names the file, the key, why, and what is near; code 2. `doctor` says the same, and goes on."""
    (folder / "agentcore-rl.toml").write_bytes(content.encode("utf-8", "surrogateescape") + b"\n")
    code, out, err = call(command)
    assert (code, out) == (2, "")
    assert err.startswith("error: agentcore-rl.toml")
    assert err.count("\n") == 1
    assert said in err


def test_doctor_tells_what_the_file_says(call, folder, monkeypatch):
    """Each key with its value and commands; a variable that beats it; a file that cannot be used."""
    (folder / "agentcore-rl.toml").write_text('app = "a.py"\nmodel = "smollm2"\n[serve]\nport = 9\n')
    monkeypatch.setenv("BASE_URL", "http://127.0.0.1:9/v1")
    found = {each["what"]: each for each in json.loads(call("doctor", "--json")[1])["findings"]}
    assert found["app"]["says"] == "a.py, for run, serve"
    assert found["model"]["verdict"] in {"ok", "broken"}
    assert found["serve.port"]["says"] == "9, for serve"
    assert "BASE_URL is set, and counts" in call("doctor")[1]
    (folder / "agentcore-rl.toml").write_text("[serve]\nprot = 9\n")
    code, out, _ = call("doctor", "--json")
    assert code == 1
    assert "did you mean 'port'" in out


def test_shared_keys_are_options():
    """Each key that stands above all tables is an option, or the app, of every command that it is for."""
    for key, commands in SHARED.items():
        for command in commands:
            if command in COMMANDS:
                options = options_of(command_parser(command))
                assert key in options or (key == "out" and "runs-in" in options), (key, command)


def test_without_a_file_nothing_is_found(folder):
    """Nor in a pyproject.toml without our table."""
    (folder / "pyproject.toml").write_text('[project]\nname = "agentcore-rl"\n')
    assert find_project() is None
