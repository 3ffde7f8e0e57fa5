"""docs/add-a-framework.md: a page of about ten steps, whose commands select tests that there are."""

import re
from pathlib import Path

from agentcore_rl.testing import AdapterConformance

PAGE = (Path(__file__).parents[2] / "docs" / "add-a-framework.md").read_text(encoding="utf-8")
OWN = {"test_messages"}
"""What the page tells its reader to write."""


def test_it_is_one_page_of_ten_steps() -> None:
    """Numbered, in order; each ends with something to run."""
    steps = re.split(r"(?m)^\*\*(\d+)\. ", PAGE)[1:]
    assert steps[::2] == [str(number) for number in range(1, 11)]
    assert [
        number for number, text in zip(steps[::2], steps[1::2], strict=True) if "\n    " not in text
    ] == []
    assert len(PAGE.splitlines()) < 100


def test_each_word_selects_tests_of_the_contract() -> None:
    """And each test of the contract is selected by some step before the last but one."""
    tests = {name for name in dir(AdapterConformance) if name.startswith("test_")}
    expressions = re.findall(r'-k (?:"([^"]*)"|(\w+))', PAGE)
    words = {word for pair in expressions for word in "".join(pair).split(" or ")} - OWN
    assert [word for word in sorted(words) if not any(word in name for name in tests)] == []
    assert [name for name in sorted(tests) if not any(word in name for word in words)] == []
