"""What is written to a terminal: progress, tables, colours, and texts that cannot take it over."""

from __future__ import annotations

import contextlib
import os
import sys
import time

TYPE_CHECKING = False  # lists need no more than `table`: nothing is imported that they can do without
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

__all__ = [
    "StatusLine",
    "Style",
    "duration",
    "log_shown",
    "number",
    "shown_path",
    "shown_place",
    "table",
    "visible",
]

_PLAIN_EVERY_S = 5.0
# Characters that change the direction of what follows, so that text would show as another.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_BREAKING = frozenset("\u2028\u2029")


def visible(text: str) -> str:
    """The text with everything that a terminal would obey written as an escape; newlines and tabs stay.

    What models, tools and apps say is hostile: an escape sequence in it could rewrite the screen.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _harmless(char) else _escape(char) for char in text)


def _harmless(char: str) -> bool:
    if char in "\n\t":
        return True
    code = ord(char)
    control = code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000
    return not control and char not in _TURNING and char not in _BREAKING


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class Style:
    """Colours, for terminals whose user has not refused them (https://no-color.org)."""

    def __init__(self, stream: TextIO) -> None:
        self._on = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def _dye(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on and text else text

    def strong(self, text: str) -> str:
        """A heading."""
        return self._dye("1", text)

    def dim(self, text: str) -> str:
        """Something that matters less."""
        return self._dye("2", text)

    def good(self, text: str) -> str:
        """Something that went well."""
        return self._dye("32", text)

    def bad(self, text: str) -> str:
        """Something that broke."""
        return self._dye("31", text)

    def name(self, text: str) -> str:
        """A role, a tool."""
        return self._dye("36", text)


class StatusLine:
    """One line on stderr that says what is going on: rewritten in a terminal, else repeated now and then.

    Args:
        stream: where to; None: stderr.
        plain: as elsewhere, in a terminal too.
    """

    def __init__(self, stream: TextIO | None = None, *, plain: bool = False) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb" and not plain
        self._shown = ""
        self._said_at: float | None = None

    @property
    def has_screen(self) -> bool:
        """Whether a live view may be drawn in its place."""
        from agentcore_rl.cli.screen import has_screen

        return self._live and self._stream is sys.stderr and has_screen(self._stream)

    def update(self, text: str) -> None:
        """Say that this is going on now."""
        text = visible(text).replace("\n", " ")
        if self._live:
            import shutil

            width = shutil.get_terminal_size().columns - 1
            self._write(f"\r\x1b[2K{text[:width]}")
        elif text != self._shown and (
            self._said_at is None or time.monotonic() - self._said_at >= _PLAIN_EVERY_S
        ):
            self._said_at = time.monotonic()
            self._write(f"{text}\n")
        self._shown = text

    def say(self, text: str) -> None:
        """Say something that stays."""
        self.clear()
        self._write(f"{visible(text)}\n")

    def clear(self) -> None:
        """Take the line away; what comes next is said at once."""
        if self._live and self._shown:
            self._write("\r\x1b[2K")
        self._shown, self._said_at = "", None

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Aligned lines, the headings first.

    Args:
        headings: of the columns.
        rows: texts, one per column.
        right: columns that are aligned to the right.
    """
    cells = [list(headings), *([visible(cell).replace("\n", " ") for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def shown_path(path: str | os.PathLike[str]) -> str:
    """The path as one would type it here: relative where that is shorter, quoted where a shell needs it."""
    import shlex

    shown, here = os.fspath(path), os.getcwd()
    if os.path.isabs(shown) and (shown == here or shown.startswith(os.path.join(here, ""))):
        shown = os.path.relpath(shown, here)
    return shlex.quote(os.path.normpath(shown))


def shown_place(place: str) -> str:
    """A folder as `shown_path` has it, or a URL, quoted where a shell needs it."""
    import shlex

    return shlex.quote(place) if "://" in place else shown_path(place)


def number(value: float | None, digits: int = 2) -> str:
    """A number for a person; `-` where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds for a person."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


@contextlib.contextmanager
def log_shown(debug: bool) -> Iterator[None]:
    """Show warnings of our loggers on stderr while the block runs, or with `debug` all that they say."""
    import logging

    logger = logging.getLogger("agentcore_rl")
    line = "%(asctime)s %(levelname)s %(name)s: %(message)s" if debug else "%(levelname)s: %(message)s"

    class ToStderr(logging.StreamHandler):  # type: ignore[type-arg]
        """Writes to what stderr is now: a live view puts itself in its place."""

        def format(self, record: logging.LogRecord) -> str:
            # A status line that stands there is taken away first; a live view moves by itself.
            plain = not sys.stderr.isatty() or hasattr(sys.stderr, "rich_proxied_file")
            return ("" if plain else "\r\x1b[2K") + super().format(record)

        @property
        def stream(self) -> TextIO:
            return sys.stderr

        @stream.setter
        def stream(self, value: TextIO) -> None:
            pass

    to_stderr = ToStderr()
    to_stderr.setFormatter(logging.Formatter(line))
    before = logger.level
    logger.addHandler(to_stderr)
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(to_stderr)
        logger.setLevel(before)
