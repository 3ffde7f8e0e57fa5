import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import agentcore_rl.local_model
from agentcore_rl.cli import main
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.testing import Answer, ScriptedModel
from agentcore_rl_gateway.engines.choice import chosen_mode
from json_schemas import valid
from made_vocabulary import made_vocabulary

TEMPLATE = Path(agentcore_rl.local_model.__file__).parent / "chat_template.jinja"


def test_the_command_serves_until_it_is_interrupted(tmp_path):
    """`agentcore-rl gateway` says where it listens, serves, and ends with 0 at Ctrl-C."""
    with ScriptedModel(lambda _: Answer("yes")) as model:
        command = [
            sys.executable,
            "-m",
            "agentcore_rl.cli",
            "gateway",
            "--engine",
            f"capture={model.base_url}",
        ]
        command += ["--port", "0", "--json", "--log", str(tmp_path / "log")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            [told] = valid("gateway", process.stdout.readline())
            assert told["base_url"].startswith("http://127.0.0.1:")
            assert told["admin_key"]
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--engine", "nope"], "There is no engine 'nope'"),
        (["--engine", "capture=host"], "names no URL"),
        (["--engine", "vllm=http://h"], "needs the model's tokenizer"),
        (["--engine", "sglang=http://h", "--tokenizer", "no.json"], "no.json is no tokenizer.json"),
        (["--engine", "capture=http://h/v1", "--host", "0.0.0.0"], "needs an admin key"),
    ],
)
def test_what_cannot_be_served_is_told(tmp_path, capsys, words, said):
    """A wrong engine, or an open address without a key, is one sentence and exit code 2."""
    assert main(["gateway", "--log", str(tmp_path / "log"), *words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


def test_an_engine_has_a_name():
    """What is no engine's name is refused with those that there are."""
    with pytest.raises(ConfigurationError, match=r"llama\.cpp"), chosen_mode("tgi=http://h"):
        pass


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A model's folder: tokenizer, settings and the chat template of Qwen2.5."""
    folder = tmp_path_factory.mktemp("model")
    made_vocabulary().tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "eos_token": {"content": "<|im_end|>"},
        "bos_token": None,
        "chat_template": TEMPLATE.read_text(),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("renderer", "name"),
    [
        (None, "chatml-hermes"),
        ("chatml-hermes", "chatml-hermes"),
        ("template", "template"),
        ("qwen3", "renderers/qwen3"),
    ],
)
@pytest.mark.parametrize("kind", ["vllm", "sglang"])
def test_a_renderer_can_be_named(model_folder, kind, renderer, name):
    """Each is made from the model's folder, and tested, before anything is served."""
    with chosen_mode(f"{kind}=http://h/v1", tokenizer=model_folder, renderer=renderer) as mode:
        assert (mode.name, mode.renderer.name, mode.engine.name) == ("token-in", name, kind)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (None, "no chat template"),
        ("{{ messages", "cannot be read"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", "do not agree"),
    ],
)
def test_a_model_that_its_template_does_not_serve_is_captured(serve, tmp_path, caplog, template, why):
    """Plainly: in the log and in /healthz, with the reason."""
    made_vocabulary().tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>"}')
    if template is not None:
        (tmp_path / "chat_template.jinja").write_text(template)
    with ScriptedModel(lambda _: Answer("x")) as model:
        engine = f"vllm={model.base_url}"
        with chosen_mode(engine, tokenizer=tmp_path / "tokenizer.json", renderer="template") as mode:
            desk = serve(mode)
            _, health, _ = desk.send("GET", "/healthz")
            assert health["mode"] == "capture"
            assert why in health["captured_because"]
            assert desk.chat(desk.open(), [{"role": "user", "content": "x"}])[0] == 200
    assert "Calls are captured, not rendered" in caplog.text


@pytest.mark.parametrize(
    ("engine", "renderer", "said"),
    [
        ("vllm=http://h", "no-such-family", "no-such-family"),
        ("vllm=http://h", "auto", "is no family of models"),
        ("capture=http://h/v1", "qwen3", "takes neither --tokenizer nor --renderer"),
    ],
)
def test_a_renderer_that_does_not_fit_is_told(model_folder, engine, renderer, said):
    """A family is never guessed, and an engine that renders itself takes none."""
    with (
        pytest.raises(ConfigurationError, match=said),
        chosen_mode(engine, tokenizer=model_folder, renderer=renderer),
    ):
        pass
