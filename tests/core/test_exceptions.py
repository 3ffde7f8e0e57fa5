"""One tree of errors, drawn as it is."""

import inspect
import re

from agentcore_rl import exceptions
from agentcore_rl.exceptions import AgentCoreRLError, RequestRefused

CLASSES = {
    name: value
    for name, value in vars(exceptions).items()
    if inspect.isclass(value) and value.__module__ == exceptions.__name__
}


def test_the_drawing_is_the_tree():
    """Every class stands in the module's drawing under its parent."""
    drawn: dict[str, str] = {}
    line_of: list[str] = []
    for line in (exceptions.__doc__ or "").splitlines():
        found = re.match(r"    ([│├└─ ]*)(\w+)", line)
        if found:
            depth = len(found[1]) // 4
            line_of[depth:] = [found[2]]
            drawn[found[2]] = line_of[depth - 1] if depth else ""
    assert drawn == {
        name: "" if value is AgentCoreRLError else value.__bases__[0].__name__
        for name, value in CLASSES.items()
    }


def test_every_error_is_documented_and_of_the_tree():
    """One `except AgentCoreRLError` catches all."""
    for value in CLASSES.values():
        assert issubclass(value, AgentCoreRLError)
        assert inspect.getdoc(value)


def test_refusals_have_the_status_that_the_drawing_says():
    """What /invocations answers with."""
    for number, name in re.findall(r"(\w+) +(\d{3}):", exceptions.__doc__ or ""):
        refused = CLASSES[number]
        assert issubclass(refused, RequestRefused)
        assert refused.status == int(name)
    codes = [value.code for value in CLASSES.values() if issubclass(value, exceptions.ModelCallRefused)]
    assert len(set(codes)) == len(codes)


def test_retry_later_may_know_when():
    """Seconds, if the service said so."""
    assert exceptions.RetryLater("busy").after_s is None
    assert exceptions.RetryLater("busy", after_s=2.5).after_s == 2.5
