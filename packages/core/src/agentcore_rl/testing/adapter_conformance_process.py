"""What is looked at in a process of its own: what loading an adapter costs, and whom an agent talks to.

Run as `python -m agentcore_rl.testing.adapter_conformance_process REPORT LOOK ADAPTER [URL]`; what was
seen is written to the file REPORT as one JSON object. ADAPTER is an entry point's name, or
`module:attribute`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["Seen", "look", "main"]

MODULE = "agentcore_rl.testing.adapter_conformance_process"
PATIENCE_S = 50.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a process left.

    Attributes:
        report: what it wrote; empty when it broke.
        printed: everything that appeared on its terminal.
        code: its exit code.
        exit_s: seconds for which the process waited between the end of its work and its own end;
            computing, and queueing for a processor, is left out where the system tells it (Linux).
    """

    report: Mapping[str, Any]
    printed: str
    code: int
    exit_s: float


def look(what: str, adapter: str, place: Path, *further: str) -> Seen:
    """Look at an adapter in a new process, on a terminal of its own, as a person would run it.

    Args:
        what: "loading", "missing" or "talking".
        adapter: name of its entry point, or `module:attribute`.
        place: an empty folder.
        further: what that look needs.

    Raises:
        subprocess.TimeoutExpired: it did not end; it has been killed.
    """
    import pty

    report = place / "report.json"
    ours, its = pty.openpty()
    printed: list[bytes] = []
    reader = threading.Thread(target=_drain, args=(ours, printed))
    command = [sys.executable, "-m", MODULE, str(report), what, adapter, *further]
    environment = {**os.environ, "HOME": str(place), "TERM": "xterm"}
    try:
        with subprocess.Popen(
            command, stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True
        ) as process:
            reader.start()
            os.write(ours, b"\x04")  # whoever asks gets an end of input for an answer
            try:
                ended, spent = _ended(process)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            code = process.wait()
    finally:
        os.close(its)  # with the last writer gone the reader sees the end
        if reader.ident is not None:
            reader.join()
        os.close(ours)
    left = json.loads(report.read_bytes()) if report.exists() else {}
    text = b"".join(printed).decode(errors="replace")
    waited = ended - spent - left["ended"] + left["spent"] if left else 0.0
    return Seen(left, text, code, waited)


def _ended(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """When a process ended, and the seconds that it was not waiting until then."""
    until = time.monotonic() + PATIENCE_S
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if time.monotonic() > until:
            raise subprocess.TimeoutExpired(process.args, PATIENCE_S)
        time.sleep(0.02)
    return time.monotonic(), _spent(process.pid)


def _spent(pid: int | str = "self") -> float:
    """Seconds for which a process's first thread computed or queued for a processor; 0 where unknown."""
    try:
        computed, queued, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    except (OSError, ValueError):
        return 0.0
    return (int(computed) + int(queued)) / 1e9


def _drain(terminal: int, printed: list[bytes]) -> None:
    try:
        while piece := os.read(terminal, 65536):
            printed.append(piece)
    except OSError:  # how Linux says that nobody writes any more
        return


# In the process itself


def _find(adapter: str) -> Any:
    from agentcore_rl.adapter import ADAPTERS

    module, colon, name = adapter.partition(":")
    return getattr(import_module(module), name) if colon else ADAPTERS.require(adapter)


def _loaded() -> set[str]:
    """Top-level modules that are neither Python's own nor ours."""
    tops = {name.partition(".")[0] for name in sys.modules}
    return {name for name in tops - sys.stdlib_module_names if not name.startswith(("agentcore_rl", "_"))}


def _loading(adapter: str) -> dict[str, Any]:
    """What comes with an adapter of which only the plain fields are read."""
    import agentcore_rl.model_terms
    import agentcore_rl.tools  # noqa: F401 - ours, and what they bring, are no framework

    before = _loaded()
    found = _find(adapter)
    fields = {"name": found.name, "import_env": dict(found.import_env), "deviations": str(found.deviations)}
    return {"fields": fields, "brought": sorted(_loaded() - before - _own(adapter, found))}


def _own(adapter: str, found: Any) -> set[str]:
    return {name.partition(":")[0].partition(".")[0] for name in (adapter, type(found).__module__)}


class _Absent:
    """Finds nothing but what Python brings, what is loaded already, and what is ours."""

    def __init__(self, present: set[str]) -> None:
        self._present = present

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        top = name.partition(".")[0]
        if (
            top not in self._present
            and top not in sys.stdlib_module_names
            and not top.startswith("agentcore_rl")
        ):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _missing(adapter: str) -> dict[str, Any]:
    """What an adapter's verbs say where its framework is not installed."""
    from agentcore_rl.exceptions import MissingDependencyError
    from agentcore_rl.recorder.wire import clients

    clients()
    own = {adapter.partition(":")[0].partition(".")[0]} if ":" in adapter else set()
    sys.meta_path.insert(0, _Absent(_loaded() | own))
    found = _find(adapter)
    verbs = {
        "create_openai_compatible_model": found.create_openai_compatible_model,
        "build_agent": lambda: found.build_agent(None, [], ""),
        "collector": found.collector,
        "to_openai_messages": lambda: found.to_openai_messages([]),
    }
    sentences: dict[str, str | None] = {}
    for verb, call in verbs.items():
        try:
            call()
        except MissingDependencyError as error:
            sentences[verb] = str(error)
        except Exception as error:  # noqa: BLE001 - what it is, is the suite's to judge
            sentences[verb] = f"{type(error).__name__}: {error}"
        else:
            sentences[verb] = None
    return {"sentences": sentences}


def _talking(adapter: str, url: str) -> dict[str, Any]:
    """Whom an agent talks to: addresses other than the endpoint's, and questions to a person."""
    strangers: list[str] = []
    asked: list[str] = []
    host, _, port = url.partition("//")[2].partition("/")[0].partition(":")

    def watch(name: str, args: tuple[Any, ...]) -> None:
        if name in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            address = args[-1]
            if address is not None and address != (host, int(port)):
                strangers.append(f"{name} {address}")
        elif name in ("socket.getaddrinfo", "socket.gethostbyname"):
            if args[0] not in (host, host.encode(), None):
                strangers.append(f"{name} {args[0]!r}")
        elif name in ("builtins.input", "termios.tcsetattr") or (name == "open" and args[0] == "/dev/tty"):
            asked.append(name)

    sys.addaudithook(watch)
    from agentcore_rl.endpoint import Endpoint
    from agentcore_rl.recorder.recorder import Recorder
    from agentcore_rl.recorder.scope import Scope, rollout_scope
    from agentcore_rl.testing.adapter_conformance_player import Player

    player = Player(_find(adapter))

    async def ask() -> str:
        return await player.ask(player.build())

    with rollout_scope(Scope(Endpoint(url), Recorder())):
        answer = asyncio.run(ask())
    return {"answer": answer, "strangers": strangers, "asked": asked}


def main(report: str, what: str, adapter: str, *further: str) -> None:
    """Look, and write down what was seen."""
    looks: dict[str, Callable[..., dict[str, Any]]] = {
        "loading": _loading,
        "missing": _missing,
        "talking": _talking,
    }
    seen = looks[what](adapter, *further)
    Path(report).write_text(json.dumps({**seen, "ended": time.monotonic(), "spent": _spent()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
