"""Adapters and releases as the metadata of installed packages tells them, read without importlib.metadata.

Importing that costs more CPU than a list of the command line may; what is needed of it are two text files per
package. Where packages are not in folders (a zip file on the path), importlib.metadata is asked after all.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Installed", "adapter_points", "releases", "versions_of"]

_GROUP = "[agentcore_rl.adapters]"
_MOST = 1 << 20  # bytes of a file


class Installed:
    """The package that an adapter comes in.

    Attributes:
        point: where the adapter is, as MODULE:NAME.
        name, version: the package's; None where its metadata does not say.
        requires: names of what it requires without an extra.
    """

    __slots__ = ("name", "point", "requires", "version")

    def __init__(
        self, point: str, name: str | None = None, version: str | None = None, requires: tuple[str, ...] = ()
    ) -> None:
        self.point = point
        self.name = name
        self.version = version
        self.requires = requires


def adapter_points() -> dict[str, Installed]:
    """The adapters that are installed, by name; the first on the path counts, as for imports."""
    found: dict[str, Installed] = {}
    for folder in _metadata_folders():
        for name, point in _points(folder):
            if name not in found:
                found[name] = Installed(point, *_described(folder))
    if _odd_path():
        from importlib.metadata import entry_points

        for point_found in entry_points(group=_GROUP.strip("[]")):
            found.setdefault(point_found.name, Installed(point_found.value))
    return dict(sorted(found.items()))


def releases() -> dict[str, str]:
    """The release of every package whose metadata is in a folder; names in lower case with `_`."""
    found: dict[str, str] = {}
    for folder in _metadata_folders():
        name, dash, release = os.path.basename(folder).removesuffix(".dist-info").rpartition("-")
        if dash:
            found.setdefault(_normal(name), release)
    return found


def versions_of(adapter: Installed, known: Mapping[str, str]) -> dict[str, str]:
    """The release of an adapter's package, and of what it requires directly, core aside.

    Args:
        adapter: what was found.
        known: what `releases` says.
    """
    if adapter.name is None:
        return {}
    found = {adapter.name: adapter.version or "?"}
    for package in adapter.requires:
        if package != "agentcore-rl":
            found[package] = known.get(_normal(package)) or _elsewhere(package) or "is not installed"
    return found


def _elsewhere(package: str) -> str | None:
    """A release that no folder of metadata tells: eggs, zip files."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _metadata_folders() -> Iterator[str]:
    for place in dict.fromkeys(sys.path):
        try:
            entries = sorted(os.listdir(place or "."))
        except OSError:
            continue
        for entry in entries:
            if entry.endswith(".dist-info"):
                yield os.path.join(place, entry)


def _odd_path() -> bool:
    """Whether packages may be where no folder is, but for the library's own zip file that every path has."""
    own = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    return any(os.path.isfile(place) and os.path.basename(place) != own for place in sys.path if place)


def _points(folder: str) -> Iterator[tuple[str, str]]:
    text = _text(folder, "entry_points.txt")
    if _GROUP not in text:
        return
    inside = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line == _GROUP
        elif inside and "=" in line:
            name, _, point = line.partition("=")
            yield name.strip(), point.strip()


def _described(folder: str) -> tuple[str | None, str | None, tuple[str, ...]]:
    said: dict[str, str] = {}
    requires: list[str] = []
    for line in _text(folder, "METADATA").splitlines():
        if not line:
            break  # what follows is the description
        key, _, value = line.partition(":")
        if key == "Requires-Dist" and "extra" not in value.partition(";")[2]:
            requires.append(_leading_name(value.strip()))
        else:
            said.setdefault(key, value.strip())
    return said.get("Name"), said.get("Version"), tuple(requires)


def _leading_name(requirement: str) -> str:
    end = next(
        (at for at, char in enumerate(requirement) if not (char.isalnum() or char in "._-")), len(requirement)
    )
    return requirement[:end]


def _text(folder: str, name: str) -> str:
    """A small text file; empty where there is none. Hundreds are read: `open` would cost more."""
    try:
        descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
    except OSError:
        return ""
    try:
        return os.read(descriptor, _MOST).decode(errors="replace")
    finally:
        os.close(descriptor)


def _normal(name: str) -> str:
    return name.replace("-", "_").replace(".", "_").lower()
