"""The user's app file: finding the one app in it."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from agentcore_rl.exceptions import AppNotFound

__all__ = ["find_app_file", "load_app", "module_of"]


def find_app_file(app: str) -> tuple[Path, str | None]:
    """Split `path/to/rl_app.py[:name]` into the file's absolute path and the app's name; imports nothing.

    Raises:
        AppNotFound: there is no such file.
    """
    stem, _, name = app.rpartition(":")
    file, wanted = (stem, name) if stem and name.isidentifier() else (app, None)
    path = Path(file).absolute()
    if not path.is_file():
        raise AppNotFound(f"There is no app file {file}: give the path of the file that makes your app.")
    return path, wanted


def load_app(app: str) -> Any:
    """Import `path/to/rl_app.py[:name]` and give the one app that it makes.

    The file is imported as `python rl_app.py` would run it (its folder first on `sys.path`), but under
    its own name, so that nothing under `if __name__ == "__main__"` runs.

    Args:
        app: path of the file; `:name` says which app where the file makes several.

    Returns:
        The `AgentCoreRLApp` or `BedrockAgentCoreApp`, an ASGI application.

    Raises:
        AppNotFound: no such file, its import fails (the cause is chained), or not exactly one app with
            an entrypoint is in it.
    """
    path, wanted = find_app_file(app)
    module = _import(path)
    apps = {name: value for name, value in vars(module).items() if _is_app(value)}
    if wanted is not None:
        if wanted not in apps:
            there = f"; it makes: {', '.join(apps)}" if apps else ""
            raise AppNotFound(f"{path.name} makes no app named {wanted!r}{there}.")
        apps = {wanted: apps[wanted]}
    if not apps:
        raise AppNotFound(f"{path.name} makes no app: write one at top level, as app = AgentCoreRLApp().")
    if len({id(value) for value in apps.values()}) > 1:
        raise AppNotFound(
            f"{path.name} makes the apps {', '.join(apps)}: name one, as {path.name}:{min(apps)}."
        )
    name, found = next(iter(apps.items()))
    if "main" not in found.handlers:
        raise AppNotFound(
            f"The app {name!r} of {path.name} has no entrypoint: decorate a function of it with "
            f"@{name}.rollout_entrypoint."
        )
    return found


def module_of(path: Path) -> ModuleType | None:
    """The module that `load_app` has made of a file; None when it has not."""
    names = (path.stem, f"{path.stem}_app_file")
    modules = (sys.modules.get(name) for name in names)
    return next((module for module in modules if getattr(module, "__file__", None) == str(path)), None)


def _is_app(value: object) -> bool:
    # By its looks: naming the SDK's class here would import the SDK into every process.
    looks = isinstance(getattr(value, "handlers", None), dict) and hasattr(value, "get_current_ping_status")
    return looks and not isinstance(value, type)


def _import(path: Path) -> ModuleType:
    # A file that is named like a module which is loaded already must not take its place.
    namesake = sys.modules.get(path.stem)
    free = namesake is None or getattr(namesake, "__file__", None) == str(path)
    name = path.stem if free else f"{path.stem}_app_file"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise AppNotFound(f"{path.name} is no Python file: an app file ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        last = " ".join(traceback.format_exception_only(error)[-1].split())
        raise AppNotFound(f"Importing {path.name} failed: {last}") from error
    return module
