"""Progress, tables and texts that cannot take a terminal over."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.cli.terminal import StatusLine, Style, number, shown_path, table, visible


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text):
    """Control characters, surrogates and direction marks become escapes; everything else stays."""
    shown = visible(text)
    assert all(char in "\n\t" or (char >= " " and not "\x7f" <= char < "\xa0") for char in shown)
    assert not set(shown) & set("\u202e\u2066\u200f\u061c\u2028")
    shown.encode()
    assert visible(shown) == shown


def test_ordinary_text_stays():
    """Letters of all scripts, emoji with joiners and newlines are shown as they are."""
    text = "Ünïcode 日本 👩‍👩‍👧 naïve\n\tdone"
    assert visible(text) == text
    assert visible("\x1b[31m\u202e\ud800") == "\\x1b[31m\\u202e\\ud800"


@pytest.mark.parametrize(
    ("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_are_for_terminals(monkeypatch, variables, coloured):
    """Only a terminal gets them, and only if its user wants them."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in Style(Screen()).bad("x")) is coloured
    assert Style(io.StringIO()).bad("x") == "x"


def test_a_status_line_is_rewritten_in_a_terminal(monkeypatch):
    """One line, cut to the width, harmless, gone once cleared."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    screen = Screen()
    status = StatusLine(screen)
    status.update("one\x1b\n" + "x" * 50)
    status.clear()
    status.say("done")
    assert screen.getvalue() == f"\r\x1b[2Kone\\x1b {'x' * 11}\r\x1b[2Kdone\n"


def test_a_status_line_is_a_few_lines_elsewhere():
    """What is no terminal gets the first line at once, and not one per change."""
    stream = io.StringIO()
    status = StatusLine(stream)
    for moment in range(50):
        status.update(f"{moment} s")
    assert stream.getvalue() == "0 s\n"


def test_tables_are_aligned():
    """Columns are as wide as their widest cell; what a cell holds cannot break its line."""
    lines = table(["name", "n"], [["a\nb", "1"], ["cd\x1b", "10"]], right=[1])
    assert lines == ["name     n", "a b      1", "cd\\x1b  10"]


def test_numbers_and_paths():
    """No number is a dash; a path is shown as one would type it."""
    assert (number(None), number(0.0), number(1 / 3, 3)) == ("-", "0.00", "0.333")


def test_paths_can_be_typed(folder):
    """Relative to the current directory, quoted where the shell needs it."""
    assert shown_path(folder / "rollouts" / "run") == "rollouts/run"
    assert shown_path(folder / "my rollouts") == "'my rollouts'"
    assert shown_path(folder.parent) == str(folder.parent)
