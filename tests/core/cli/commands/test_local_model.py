"""`agentcore-rl local-model`: fetching and serving the small model."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from agentcore_rl.local_model import find_model
from json_schemas import valid

SCRIPT = Path(sys.executable).with_name("agentcore-rl")


def test_a_file_given_is_checked_and_kept(call, folder):
    """It goes to the cache directory; progress is on stderr, the place on stdout."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    code, out, err = call("local-model", "fetch", "--file", str(find_model()), "--json")
    [told] = valid("local-model", out)
    assert code == 0
    assert Path(told["path"]).is_relative_to(folder / "cache")
    assert "checking the model file" in err
    assert call("local-model", "fetch")[1] == f"The model is in {told['path']}.\n"


def test_a_wrong_file_is_one_sentence(call, folder):
    """A file that is not the model is refused."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    (folder / "cut.gguf").write_bytes(b"GGUF")
    code, out, err = call("local-model", "fetch", "--file", "cut.gguf")
    assert (code, out) == (2, "")
    assert "is not the expected model" in err


def test_it_serves_until_ctrl_c():
    """Both models, at the URL that is printed; the end is clean."""
    words = [SCRIPT, "local-model", "serve", "--port", "0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        [told] = valid("local-model", process.stdout.readline())
        assert told["models"] == ["smollm2", "smollm2-tools"]
        assert told["base_url"].startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_port_that_is_taken_is_one_sentence(call):
    """With what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = call("local-model", "serve", "--port", str(taken.getsockname()[1]))
    assert code == 2
    assert "Give another one with --port; 0 takes a free one." in err
