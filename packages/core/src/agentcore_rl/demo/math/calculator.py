"""The math agent's only tool."""

import ast
import operator
from collections.abc import Callable

__all__ = ["calculator"]

_MAX_LENGTH = 200  # characters of an expression
_MAX_POWER = 1000  # of an exponent, and of the digits that a power may have

Number = int | float

_OPERATORS: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def calculator(expression: str) -> str:
    """Evaluate an arithmetic expression and return its value.

    Args:
        expression: Numbers with + - * / ** // % and parentheses, for example 3 * (4 + 5).

    Returns:
        The value as text; whole numbers without a decimal point.

    Raises:
        ValueError: The expression is no arithmetic, too long, too large, or divides by zero. The text says
            which, in words that a model can act on.
    """
    if not isinstance(expression, str) or not expression.strip():
        raise ValueError("The expression is empty: give arithmetic such as 3 * (4 + 5).")
    if len(expression) > _MAX_LENGTH:
        raise ValueError(f"The expression is longer than {_MAX_LENGTH} characters.")
    try:
        value = _value(ast.parse(expression.strip(), mode="eval").body)
        return _text(value)
    except ZeroDivisionError:
        raise ValueError(f"{expression} divides by zero.") from None
    except OverflowError:
        raise ValueError(f"The value of {expression} is too large.") from None
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"{expression} is not an arithmetic expression such as 3 * (4 + 5).") from None


def _value(node: ast.expr) -> Number:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        if isinstance(node.value, bool):
            raise ValueError(f"{node.value} is no number.")
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
        operand = _value(node.operand)
        return -operand if isinstance(node.op, ast.USub) else operand
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow):
            return _power(left, right)
        if type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](left, right)
    raise ValueError("Only numbers, + - * / ** // % and parentheses are allowed.")


def _power(base: Number, exponent: Number) -> Number:
    digits = len(str(abs(int(base)))) * abs(exponent)
    if abs(exponent) > _MAX_POWER or digits > _MAX_POWER:
        raise OverflowError
    power = base**exponent
    if isinstance(power, complex):
        raise ValueError(f"{base} ** {exponent} is not a real number.")
    return power


def _text(value: Number) -> str:
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise OverflowError
        value = int(value) if value.is_integer() and abs(value) < 1e15 else round(value, 10)
    if abs(value) >= 10**_MAX_POWER:
        raise OverflowError
    return str(value)
