"""Notebooks show rollouts and runs richly, and hostile text as text."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings

from agentcore_rl import read_run
from agentcore_rl.codec import encode_record
from agentcore_rl.read.notebook import rollout_html, rollout_markdown
from agentcore_rl.rollout import Failure, FailureKind, Status, ToolExecution, Trajectory
from agentcore_rl.stores.directory import DirectoryStore
from made_rollouts import golden_rollout, make_rollout, make_turn, raw, rollouts

HOSTILE = (
    "</pre></div><script>alert(1)</script><img src=x onerror=alert(1)>"
    "\u202e\x1b[2J```\n# heading [a](javascript:x)"
)


class Elements(HTMLParser):
    """What a browser would make of it: elements, attributes, text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def hostile_rollout():
    """A rollout whose every text is hostile."""
    call = {"id": "c", "type": "function", "function": {"name": HOSTILE, "arguments": HOSTILE}}
    answer = raw({"role": HOSTILE, "content": HOSTILE, "tool_calls": [call]})
    turn = make_turn(0, agent=HOSTILE, executions=[ToolExecution("c", HOSTILE, None, "failed", HOSTILE)])
    return make_rollout(
        messages=[raw({"role": HOSTILE, "content": [{"type": "text", "text": HOSTILE}]}), answer],
        trajectories=[Trajectory(HOSTILE, None, [turn])],
        output={"a": HOSTILE},
        suspect=[HOSTILE],
        input_id=HOSTILE,
        status=Status.FAILED,
        failure=Failure(FailureKind.AGENT, HOSTILE),
    )


def test_a_transcript_is_shown():
    """Messages, answers, calls with what became of them, output and failure."""
    page = Elements(golden_rollout()._repr_html_())
    for part in (
        "What is 6 · 7? 😀",
        "calls calculator",
        '{"expression": "6*7"}',
        "#### 42",
        "The reward is NaN.",
    ):
        assert part in page.text
    assert page.open == []
    assert "calls calculator" in golden_rollout()._repr_markdown_()


@pytest.mark.parametrize("rollout", [hostile_rollout()])
def test_hostile_text_stays_text(rollout):
    """No element, no attribute and no Markdown comes from the record; control characters are escapes."""
    page = rollout_html(rollout)
    elements = Elements(page)
    assert elements.names <= {"div", "p", "b", "pre", "details", "summary"}
    assert elements.attributes <= {"style", "open"}
    assert "<script>alert(1)</script>" in elements.text
    markdown = rollout_markdown(rollout)
    for text in (page, markdown):
        assert not re.search("[\u202e\x1b]", text)
    outside = re.sub(r"(?ms)^(`{3,})text\n.*?\n\1$", "", markdown)  # what fences hold is text
    outside = re.sub(r"(`+) .*? \1(?!`)", "", outside)  # and so is code in a line
    assert "javascript" not in outside
    assert "<" not in outside


@settings(max_examples=12, deadline=None)
@given(rollouts())
def test_any_rollout_can_be_shown(rollout):
    """Whatever a record holds, the page is well-formed and short."""
    page = Elements(rollout_html(rollout))
    assert page.open == []
    assert rollout_markdown(rollout)


def test_long_texts_are_cut():
    """A notebook is not filled by one answer."""
    long = make_rollout(messages=[raw({"role": "user", "content": "x" * 10**6}), raw({"role": "assistant"})])
    assert len(rollout_html(long)) < 20_000
    assert "996,000 more characters" in rollout_html(long)


def test_a_run_shows_its_figures(tmp_path):
    """Means with intervals, rates of tool calls, the first rollouts."""
    store = DirectoryStore(tmp_path)
    for rollout in (
        golden_rollout(),
        *(make_rollout(task=f"t{n:02}", input_id=f"t{n:02}.0") for n in range(25)),
    ):
        key = f"{rollout.run}/{rollout.input_id}/{rollout.session}.json"
        store.put_if_absent(key, encode_record(rollout, bucket="", key=key))
    page = Elements(read_run(tmp_path / "run")._repr_html_())
    assert page.open == []
    for part in ("run run", "26 (25 succeeded)", "right by format [95 %]1.000", "... and 6 more"):
        assert part in page.text
