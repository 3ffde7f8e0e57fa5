"""What every adapter's model factory does alike."""

from __future__ import annotations

import os
import warnings
from typing import Any

import pytest

from agentcore_rl.exceptions import ConfigurationError, MissingDependencyError
from agentcore_rl.model_terms import (
    ModelTerms,
    apply_import_env,
    check_openai,
    check_sampling,
    importing,
)
from agentcore_rl.recorder.scope import Scope, scoped


def test_what_the_api_knows_and_what_it_does_not_are_kept_apart() -> None:
    """Parameters of chat completions, and the rest for the body as it is."""
    terms = ModelTerms.of("main", {"temperature": 0.5, "top_k": 3, "seed": None, "extra_body": {"min_p": 0}})
    assert terms.params == {"temperature": 0.5}
    assert terms.extra_body == {"top_k": 3, "min_p": 0}
    assert terms.stream is False
    assert terms.timeout_s == 600.0


@pytest.mark.parametrize(
    ("author", "request_says", "streams"), [(True, None, True), (True, False, False), (False, True, True)]
)
def test_the_requests_word_on_streaming_wins(author: bool, request_says: bool | None, streams: bool) -> None:
    """Where the model is made in a rollout whose request has one."""
    with scoped(Scope(None, stream=request_says)):
        assert ModelTerms.of("main", {"stream": author}).stream is streams


@pytest.mark.parametrize("name", ["messages", "model", "tools"])
def test_what_is_no_sampling_is_refused(name: str) -> None:
    """The sentence says who sets it."""
    with pytest.raises(ConfigurationError, match=name):
        check_sampling({name: "x"})


@pytest.mark.parametrize("agent", ["", "zwei\nZeilen", "é"])
def test_an_agent_that_cannot_be_a_header_is_refused(agent: str) -> None:
    """Labels travel as headers inside the process."""
    with pytest.raises(ConfigurationError, match="agent"):
        ModelTerms.of(agent, {})


@pytest.mark.parametrize("version", ["2.47.0", "2.54.0", "3.0.0", "10.1", "2.100.0rc1"])
def test_a_new_enough_sdk_is_taken(version: str) -> None:
    """From 2.47 on the SDK takes our HTTP clients."""
    check_openai(version)


@pytest.mark.parametrize("version", ["2.46.9", "1.109.1"])
def test_an_old_sdk_is_refused_with_the_command(version: str) -> None:
    """One sentence instead of a TypeError from within the SDK."""
    with pytest.raises(MissingDependencyError, match=rf"is {version}, .* pip install"):
        check_openai(version)


def test_a_missing_framework_is_one_sentence() -> None:
    """With the command that installs it."""
    modules: dict[str, Any] = {"no_such_framework": "No Such Framework"}
    with (
        pytest.raises(MissingDependencyError, match=r'No Such .* pip install "agentcore-rl-none"'),
        importing(modules, "agentcore-rl-none"),
    ):
        import no_such_framework.agents  # type: ignore[import-not-found]  # noqa: F401


def test_other_missing_modules_are_not_explained_away() -> None:
    """Only the framework's absence is ours to explain."""
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), importing({"strands": "Strands"}, "x"):
        import no_such_module  # type: ignore[import-not-found]  # noqa: F401


def test_what_a_framework_reads_at_import_is_set_before_it() -> None:
    """What a person has set stands, and a framework that is not there yet needs no words."""
    os.environ["FRAMEWORK_TRACING"] = "on"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        apply_import_env({"FRAMEWORK_TRACING": "off", "FRAMEWORK_TELEMETRY": "off"}, "no_such_framework")
        apply_import_env({"FRAMEWORK_TRACING": "off"}, "pytest")
    assert (os.environ["FRAMEWORK_TRACING"], os.environ["FRAMEWORK_TELEMETRY"]) == ("on", "off")


def test_a_framework_that_came_first_is_warned_of() -> None:
    """It has read its settings: the sentence says which, and what to do."""
    with pytest.warns(RuntimeWarning, match=r"pytest was imported before its adapter, which sets NO_CALLS=1"):
        apply_import_env({"NO_CALLS": "1"}, "pytest")
    assert os.environ["NO_CALLS"] == "1"
