"""A tool that belongs to no framework."""

import pytest

from agentcore_rl.tools import Tool

ADD = Tool("add", "Adds.", {"type": "object", "properties": {"a": {"type": "number"}}}, function=sum)


def test_a_tool_is_declared_as_openai_has_it_and_read_back():
    """The declaration holds all but the callable, which does not count when tools are compared."""
    declared = ADD.to_openai()
    assert declared["type"] == "function"
    assert set(declared["function"]) == {"name", "description", "parameters"}
    assert Tool.from_openai(declared) == ADD
    assert Tool.from_openai(declared).function is None


@pytest.mark.parametrize(
    "declaration", [{}, {"function": None}, {"function": {"name": "f", "description": None}}]
)
def test_an_incomplete_declaration_is_read(declaration: dict[str, object]):
    """What is missing is empty: a tool without arguments."""
    assert Tool.from_openai(declaration).parameters == {"type": "object", "properties": {}}


def test_two_tools_do_not_share_a_schema():
    """The default schema is made for each."""
    assert Tool("a").parameters is not Tool("b").parameters
