"""Installs a package as its users do, into a folder of its own, without the network."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

__all__ = ["environment_with", "wheel_site"]


def wheel_site(package: Path, folder: Path) -> Path:
    """A folder with what the package's wheel holds, its entry points included.

    Args:
        package: the folder with its pyproject.toml.
        folder: an empty one, in which the wheel is built and unpacked.
    """
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=package,
        check=True,
        capture_output=True,
    )
    [wheel] = folder.glob("*.whl")
    site = folder / "site"
    with ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def environment_with(site: Path) -> dict[str, str]:
    """The environment in which Python finds it."""
    return {**os.environ, "PYTHONPATH": str(site)}
