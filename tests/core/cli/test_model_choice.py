"""Which model a command uses, and whether it is there."""

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agentcore_rl.cli.model_choice import check_model, chosen_model, named_model
from agentcore_rl.cli.terminal import StatusLine
from agentcore_rl.endpoint import Endpoint, Secret
from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.testing import ScriptedModel

LOG = Path("no-gateway-is-started-here")


@contextlib.contextmanager
def serving(status: int, body: object) -> Iterator[tuple[str, list[str | None]]]:
    """A server that gives this answer to everything: its base URL, and the keys that it was shown."""
    keys: list[str | None] = []

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers.get("authorization"))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", keys
        finally:
            server.shutdown()
            thread.join()


def listed(*ids: str) -> dict[str, object]:
    """A list of models, as OpenAI's API has it."""
    return {"data": [{"id": name} for name in ids]}


async def test_a_server_with_one_model_needs_no_id():
    """Its only model is taken."""
    with ScriptedModel([], model_id="only") as server:
        found = await check_model(Endpoint(server.base_url), StatusLine())
    assert found.model == "only"


@pytest.mark.parametrize(
    ("status", "body", "model", "said"),
    [
        (200, listed("a", "b"), "", r"serves 2 models: choose one with --model-id \(a, b\)"),
        (404, {}, "", "does not list its models: add --model-id"),
        (401, {}, "a", r"refuses the key \(HTTP 401\): set API_KEY"),
        (500, {}, "a", "is not well"),
    ],
)
async def test_a_model_that_cannot_be_used_is_one_sentence(status, body, model, said):
    """What is wrong with it, and what to do."""
    with serving(status, body) as (url, _), pytest.raises(ConfigurationError, match=said):
        await check_model(Endpoint(url, model), StatusLine())


async def test_an_unreachable_model_is_one_sentence():
    """Nobody listens there."""
    with pytest.raises(ConfigurationError, match=r"cannot be reached .*: start it, or correct the URL"):
        await check_model(Endpoint("http://127.0.0.1:9/v1", "m"), StatusLine())


async def test_a_model_that_is_not_listed_is_noted(capsys):
    """Some servers take names that they do not list; a typing error is worth a word all the same."""
    with serving(200, listed("a", "b")) as (url, _):
        assert (await check_model(Endpoint(url, "c"), StatusLine())).model == "c"
    assert f"note: {url} does not list the model 'c', but a, b" in capsys.readouterr().err


async def test_the_key_goes_to_its_own_host_alone():
    """API_KEY belongs to BASE_URL where that is set, else to the URL given."""
    os.environ["API_KEY"] = "a-key-of-mine"
    with serving(200, listed("m")) as (url, keys):
        await check_model(named_model(url, None, {}), StatusLine())
        os.environ["BASE_URL"] = "http://another-host/v1"
        await check_model(named_model(url, None, {}), StatusLine())
    assert keys == ["Bearer a-key-of-mine", None]


async def test_the_environments_model_is_used_and_checked():
    """Without --model it is BASE_URL's; --model-id and --sampling still count."""
    with serving(200, listed("m", "n")) as (url, keys):
        os.environ.update(BASE_URL=url, MODEL_ID="m", API_KEY="a-key-of-mine")
        async with chosen_model(None, "n", {"temperature": 0}, StatusLine(), log=LOG) as choice:
            pass
    assert choice.endpoint == Endpoint(url, "n", Secret("a-key-of-mine"), sampling={"temperature": 0})
    assert dict(choice.env) == {"BASE_URL": url, "MODEL_ID": "n", "API_KEY": "a-key-of-mine"}
    assert keys == ["Bearer a-key-of-mine"]


async def test_without_any_model_the_app_chooses():
    """Then there is nothing to check, and no endpoint in the request."""
    async with chosen_model(None, None, {}, StatusLine(), log=LOG) as choice:
        assert (choice.endpoint, dict(choice.env)) == (None, {})


@pytest.mark.parametrize(
    ("model", "model_id", "said"),
    [
        ("smollm", None, "neither a URL nor one of smollm2, smollm2-tools; did you mean smollm2"),
        ("smollm2", "x", "is a model by itself"),
        (None, "x", "--model-id belongs to --model URL"),
    ],
)
async def test_options_that_do_not_fit(model, model_id, said):
    """Each is one sentence."""
    with pytest.raises(ConfigurationError, match=said):
        async with chosen_model(model, model_id, {}, StatusLine(), log=LOG):
            pass
