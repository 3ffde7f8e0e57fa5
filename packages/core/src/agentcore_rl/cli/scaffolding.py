"""Folders that are made from templates: `new-adapter` and `init` fill in words and write files."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from agentcore_rl.exceptions import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

__all__ = ["check_free", "filled", "templates", "write_files"]


def templates(folder: str) -> Iterator[tuple[str, str]]:
    """The templates in a folder of `cli/scaffold`: each one's path without `.txt`, and its text."""
    yield from _under(files("agentcore_rl.cli") / "scaffold" / folder, "")


def _under(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _under(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(".txt"):
            # The ending keeps tools from taking a template for code.
            yield path + entry.name.removesuffix(".txt"), entry.read_text(encoding="utf-8")


def filled(text: str, words: Mapping[str, str]) -> str:
    """The text with each word replaced by its value."""
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def check_free(folder: Path, instead: str) -> None:
    """Check that a folder is not there, or is empty.

    Args:
        folder: the folder.
        instead: what to do when it is not free.

    Raises:
        ConfigurationError: something is there.
    """
    try:
        taken = folder.is_symlink() and not folder.exists()
        taken = taken or (folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]))
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be looked at: {error.strerror or error}.") from None
    if taken:
        raise ConfigurationError(f"{folder} is there already; {instead}.")


def write_files(folder: Path, contents: Mapping[str, str]) -> list[Path]:
    """Write files below a folder, which is made; their paths.

    Args:
        folder: the folder.
        contents: path below it -> text.

    Raises:
        ConfigurationError: they cannot be written; none of them is left.
    """
    written: list[Path] = []
    try:
        for path, text in contents.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            written.append(target)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        for target in written:
            target.unlink(missing_ok=True)
        where = os.path.relpath(error.filename) if error.filename else folder
        raise ConfigurationError(
            f"{where} cannot be written: {error.strerror or error}. Choose another folder."
        ) from None
    return written
