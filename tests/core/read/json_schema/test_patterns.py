"""Patterns match as ECMA-262 says, in time that grows with the text alone."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcore_rl.read.json_schema.pattern_syntax import InvalidPattern, UnsupportedPattern
from agentcore_rl.read.json_schema.patterns import Pattern


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found in the text."""
    return Pattern(pattern).search(text, lambda steps: None)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("", ["", "anything"], []),
        ("b", ["abc"], ["ac"]),
        ("^a$", ["a"], ["ab", "ba", "a\n", ""]),
        ("^(foo|bar)?$", ["", "foo", "bar"], ["foobar"]),
        (r"^\d{4}-\d{2}-\d{2}$", ["2026-11-29"], ["2026-1-29", "x2026-11-29", "٢٠٢٦-11-29"]),
        (r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[a-z]{2,}$", ["a.b@c.de"], ["a.b@c", "@c.de"]),
        ("^[^a-c]+$", ["xyz", "é😀"], ["xay", ""]),
        (r"\bcat\b", ["a cat.", "cat"], ["concat", "cats"]),
        (r"a\Bb", ["ab"], ["a b"]),
        (r"^\u{1F600}\x41\u00e9$", ["😀Aé"], ["A"]),
        (r"^\p{Lu}\p{L}+$", ["Élan", "Straße"], ["élan", "E1"]),
        (r"^[\w-]*?x{0}$", ["ab-c", ""], ["a b"]),
        (r"^a{2,3}$", ["aa", "aaa"], ["a", "aaaa"]),
        (r"^a{,3}$", ["a{,3}"], ["a"]),
        (r"^(?:a|(?<name>b)|(?P<other>c))$", ["a", "b", "c"], ["d"]),
        (r"^[\]\-\\\b]$", ["]", "-", "\\", "\b"], ["b"]),
        (r"^.$", ["a", "😀"], ["\n", "\u2028", ""]),
        (r"^\s\S$", ["\u00a0x", "\tx"], ["xx"]),
        (r"x|^$", ["", "ax"], ["a"]),
        (r"^(a*)*$", ["", "aaa"], ["b"]),
        (r"^\cJ\/\0$", ["\n/\0"], ["J/0"]),
    ],
)
def test_patterns_match_as_they_are_written(pattern, yes, no):
    """Searched for, not anchored; digits and words are ASCII, the end is the end."""
    assert [text for text in yes if not matches(pattern, text)] == []
    assert [text for text in no if matches(pattern, text)] == []


@pytest.mark.parametrize(
    "pattern", ["(", ")", "a)", "[a", "*a", "a**", "a{3,2}", "[z-a]", "\\", "(?<>a)", r"\u12", r"[\d-z]"]
)
def test_what_is_no_expression_is_said_to_be_none(pattern):
    """Each breaks a rule of the grammar."""
    with pytest.raises(InvalidPattern):
        Pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)b",
        "(?<!a)b",
        "(?i)a",
        r"(a)\1",
        r"\k<a>",
        r"\p{Script=Greek}",
        r"\Z",
        "a{99999}",
        "(" * 60 + ")" * 60,
        "(a{1000}){1000}",
        "(((){9999}){9999}){9999}",
    ],
)
def test_what_an_automaton_cannot_do_is_refused(pattern):
    """Lookaround, back references, flags, foreign escapes; what is too large or too deep, at once."""
    with pytest.raises(UnsupportedPattern):
        Pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "^(a|a)*$", "^(a*)*b$", "(a*a*)*c", "^([a-z]+)*[A-Z]$", "(x+x+)+y", "^.*.*.*=$"]
)
def test_bombs_take_linear_time(pattern):
    """What would take a backtracking matcher for ever takes four times as long for four times the text."""

    def work(size: int) -> int:
        spent: list[int] = []
        Pattern(pattern).search("a" * size + "!", spent.append)
        return sum(spent)

    began = time.process_time()
    assert work(80_000) <= 4.5 * work(20_000)
    assert time.process_time() - began < 10


def test_work_is_accounted_for_and_can_be_refused():
    """Whoever pays may stop the search."""
    left = [1000]

    def spend(steps: int) -> None:
        left[0] -= steps
        if left[0] < 0:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        Pattern("^(.{0,400}){10}x$").search("".join(chr(0x4E00 + n) for n in range(5000)), spend)


def test_a_full_cache_begins_anew():
    """Texts of ever other characters neither fill the memory nor change what matches."""
    pattern = Pattern("(.)(.)[一-三]x")
    text = "".join(chr(0x4E00 + n % 20_900) for n in range(60_000))
    assert not pattern.search(text, lambda steps: None)
    assert pattern.search(text + "ab一x", lambda steps: None)
    assert len(pattern._next) <= 20_000


atoms = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", r"\d", "^", "$", r"\b", "1"])
patterns = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map("".join)
        | st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})")
        | st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}?", "{2,}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        )
    ),
    max_leaves=8,
)


@given(patterns, st.text("ab1 -", max_size=8))
def test_patterns_agree_with_pythons(pattern, text):
    """Where the two dialects say the same, so do the matchers."""
    expected = re.search(pattern.replace("$", r"\Z"), text, re.ASCII | re.DOTALL) is not None
    assert matches(pattern, text) == expected


@given(st.text(r"ab^$.*+?{}[]()|\dwsbBupxk<>:=!-,019" + "é", max_size=30), st.text(max_size=10))
def test_any_text_is_a_pattern_or_is_refused(pattern, text):
    """Nothing else is ever raised, and what is read can be searched for."""
    try:
        found = Pattern(pattern)
    except (InvalidPattern, UnsupportedPattern):
        return
    assert isinstance(found.search(text, lambda steps: None), bool)
