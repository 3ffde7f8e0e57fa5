"""What every test has: a clean environment, a watch over event loops, nothing left running.

Async tests are plain `async def` functions and run on asyncio (anyio's plugin, `anyio_mode = "auto"`).
"""

import gc
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from loop_watch import LoopWatch

pytest_plugins = ["aws_services"]

ROOT = Path(__file__).parent.parent
PACKAGES = tuple(sorted((ROOT / "packages").glob("*/src")))

# Settings of the person or machine that runs the tests must not decide how they end.
_FOREIGN = ("AGENTCORE_RL_", "AWS_", "OPENAI_", "ANTHROPIC_", "LITELLM_", "LANGCHAIN_", "LANGSMITH_", "OTEL_")
_FOREIGN_NAMES = {"BASE_URL", "MODEL_ID", "API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
_WANTED = {"AGENTCORE_RL_TEST_AWS"}  # says where the tests themselves find S3 and SQS
_GRACE = 3.0

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_configure(config: pytest.Config) -> None:
    """Cleans the environment once, before anything of ours is imported."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what it puts into the background so, and processes that tests start inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in list(os.environ):
        foreign = name.upper().startswith(_FOREIGN) or name.upper() in _FOREIGN_NAMES
        if foreign and name not in _WANTED:
            del os.environ[name]
    home = Path(tempfile.mkdtemp(prefix="agentcore-rl-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    os.environ.update(
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing",
        AWS_CONFIG_FILE=str(home / "aws-config"),
        AWS_SHARED_CREDENTIALS_FILE=str(home / "aws-credentials"),
        AWS_EC2_METADATA_DISABLED="true",
        AWS_DEFAULT_REGION="us-west-2",
        AWS_REGION="us-west-2",
        XDG_CACHE_HOME=str(home / "cache"),
        XDG_CONFIG_HOME=str(home / "config"),
        XDG_DATA_HOME=str(home / "share"),
        XDG_STATE_HOME=str(home / "state"),
    )


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asyncio alone: no framework of ours runs on anything else."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """Puts back what a test changes in the environment or as working directory."""
    before, folder = dict(os.environ), Path.cwd()
    yield
    if dict(os.environ) != before:
        os.environ.clear()
        os.environ.update(before)
    os.chdir(folder)


@pytest.fixture(scope="session")
def _loop_watch() -> Iterator[LoopWatch]:
    watch = LoopWatch(ours=PACKAGES, users=(ROOT / "tests", ROOT / "examples"))
    watch.start()
    yield watch
    watch.stop()


@pytest.fixture(autouse=True)
def _nothing_blocks_the_loop(request: pytest.FixtureRequest, _loop_watch: LoopWatch) -> Iterator[None]:
    """Fails a test during which code of ours blocked an event loop for more than a second."""
    _loop_watch.found.clear()
    yield
    if _loop_watch.found and request.node.get_closest_marker("blocks_event_loop") is None:
        pytest.fail("\n".join(_loop_watch.found), pytrace=False)


@pytest.fixture(autouse=True)
def _nothing_is_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves a thread or a child process behind (those of wider fixtures may stay)."""
    before = _running()
    yield
    if request.node.get_closest_marker("leaves_running") is not None:
        return
    until = time.monotonic() + _GRACE
    while left := _running().keys() - before.keys():
        if time.monotonic() > until:
            pytest.fail(f"left running: {', '.join(_running().get(x, str(x)) for x in left)}", pytrace=False)
        gc.collect()
        time.sleep(0.02)


def _running() -> dict[object, str]:
    """Threads that would keep the process alive, and child processes, with names to tell."""
    multiprocessing.active_children()  # reaps those that have ended
    running: dict[object, str] = {
        thread: f"thread {thread.name}" for thread in threading.enumerate() if not thread.daemon
    }
    for listing in Path("/proc/self/task").glob("*/children"):
        for pid in _words(listing):
            command = " ".join(_words(Path(f"/proc/{pid}/cmdline")))
            # multiprocessing keeps one of these for the life of its parent.
            if command and "resource_tracker" not in command and "forkserver" not in command:
                running[int(pid)] = f"process {pid} ({command})"
    return running


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().replace("\0", " ").split()
    except OSError:  # it has ended since
        return []
