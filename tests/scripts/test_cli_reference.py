"""docs/cli.md is what the parsers say."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "cli_reference.py"))
PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date():
    """Every command, usage and option; `python scripts/cli_reference.py` writes it."""
    assert SCRIPT["reference"](PAGE) == PAGE, "run: python scripts/cli_reference.py"


def test_a_command_without_a_section_gets_one():
    """At its place, with its options and its description."""
    start = PAGE.index("## runs\n")
    without = PAGE[:start] + PAGE[PAGE.index("## status\n") :]
    made = SCRIPT["reference"](without)
    assert made.index("## resume\n") < made.index("## runs\n") < made.index("## status\n")
    assert "Lists the runs in a folder" in made


def test_a_page_without_a_place_for_the_table_is_told():
    """It names the line that is missing."""
    with pytest.raises(SystemExit, match="from the parsers: commands"):
        SCRIPT["reference"](PAGE.replace("<!-- from the parsers: commands -->", ""))
