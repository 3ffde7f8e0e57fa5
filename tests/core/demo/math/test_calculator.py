import pytest

from agentcore_rl.demo.math import calculator


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("3 * (4 + 5)", "27"),
        ("  -2 ** 2 ", "-4"),
        ("7 / 2", "3.5"),
        ("6 / 3", "2"),
        ("7 // 2 + 7 % 2", "4"),
        ("0.1 + 0.2", "0.3"),
        ("+5", "5"),
        ("2 ** 0.5", "1.4142135624"),
        ("2 ** -1", "0.5"),
        ("1_000 + 1", "1001"),
    ],
)
def test_arithmetic_is_evaluated(expression, value):
    """Whole values have no decimal point, others at most ten decimals."""
    assert calculator(expression) == value


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "empty"),
        ("1 / 0", "divides by zero"),
        ("5 % 0", "divides by zero"),
        ("0 ** -1", "divides by zero"),
        ("3 apples", "not an arithmetic expression"),
        ("2 **", "not an arithmetic expression"),
        ("x + 1", "Only numbers"),
        ("__import__('os')", "Only numbers"),
        ("'a' * 3", "Only numbers"),
        ("True + 1", "no number"),
        ("1 if 1 else 2", "Only numbers"),
        ("9 ** 9 ** 9", "too large"),
        ("2 ** 100000", "too large"),
        ("1e308 * 10", "too large"),
        ("*".join(["9**900"] * 25), "too large"),
        ("(-1) ** 0.5", "not a real number"),
        ("1 + " * 100 + "1", "longer than 200"),
        ("1 +\x00 1", "not an arithmetic expression"),
        ("(" * 150 + "1" + ")" * 40, "not an arithmetic expression"),
    ],
)
def test_what_is_no_arithmetic_says_why(expression, says):
    """A model reads these texts and tries again; nothing but ValueError leaves the tool."""
    with pytest.raises(ValueError, match=says):
        calculator(expression)


def test_arguments_of_other_types_are_refused():
    """A model may send a number or an object in place of the text."""
    with pytest.raises(ValueError, match="empty"):
        calculator({"a": 1})
