"""A few lines of a terminal that are drawn anew while something goes on; drawn by rich, where it is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple, TextIO

from agentcore_rl.cli.terminal import visible

__all__ = ["Line", "Screen", "has_screen"]


class Line(NamedTuple):
    """One line.

    Attributes:
        label: what it is of, at its left; empty goes on with what is above.
        text: what it says; what a terminal would obey in it is shown as an escape.
        style: rich's name of its colour.
        share: draws a bar of this share, from 0 to 1, before the text.
    """

    label: str
    text: str
    style: str = ""
    share: float | None = None


def has_screen(stream: TextIO) -> bool:
    """Whether lines can be drawn anew there: a terminal, whose user has not refused it, and rich.

    NO_COLOR, CI and TERM=dumb refuse it.
    """
    refused = os.environ.get("NO_COLOR") or os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not refused and find_spec("rich") is not None


class Screen:
    """The lines, below what the terminal holds. The cursor is hidden meanwhile, and shown whatever happens.

    What others write to stdout and stderr meanwhile stands above the lines.

    Args:
        stream: the terminal; None: stderr.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=stream or sys.stderr, highlight=False, markup=False, emoji=False)
        # Drawn when told to: the thread that rich would start draws though nothing has changed.
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def draw(self, lines: Sequence[Line]) -> None:
        """Draw these lines in place of the last ones; each is cut to the terminal's width of now."""
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2, 0, 0))
        # Long texts are cut; labels are not, which rich would shorten with them.
        grid.add_column(no_wrap=True, min_width=max((len(visible(line.label)) for line in lines), default=0))
        grid.add_column(no_wrap=True, overflow="ellipsis")
        for line in lines:
            text = Text(no_wrap=True, overflow="ellipsis")
            if line.share is not None:
                full = round(24 * min(max(line.share, 0.0), 1.0))
                text.append("━" * full, style="green").append("━" * (24 - full), style="bright_black")
                text.append("  ")
            text.append(visible(line.text).replace("\n", " ").replace("\t", " "), style=line.style)
            grid.add_row(Text(visible(line.label), style="bold"), text)
        self._live.update(grid, refresh=True)

    def close(self) -> None:
        """Take the lines away and show the cursor. Closing twice is fine."""
        self._live.stop()
