"""Rollouts and runs as notebooks show them: rich, short, and with every text escaped.

What models, tools and apps say is hostile. In HTML all of it goes through `escape` into elements that hold
text alone, each isolated in its direction; there is no script, no link, no image. In Markdown it stands in
fenced blocks whose fence is longer than any run of backticks inside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from agentcore_rl.read.summary import Summary, summarize
from agentcore_rl.read.tool_calls import ToolCall, tool_calls
from agentcore_rl.rollout import ExpandedTurn, Rollout, Status

if TYPE_CHECKING:
    from agentcore_rl.read.run import Run

__all__ = ["rollout_html", "rollout_markdown", "run_html"]

_CHARACTERS = 4_000
_TURNS = 100
_RUN_ROWS = 20
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_TEXT = 'style="white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;margin:0 0 .5em 1em"'


def rollout_html(rollout: Rollout) -> str:
    """A rollout's transcript as HTML, its turns folded where there are many."""
    parts = [f"<div><p><b>{_plain(rollout.input_id)}</b> {_plain(_standing(rollout))}</p>"]
    calls = _by_turn(rollout)
    for turn in _turns(rollout):
        stored = turn.stored
        open_ = " open" if len(rollout.turns) <= 10 else ""
        about = f"turn {stored.id}, {stored.agent}"
        parts.append(f"<details{open_}><summary>{_plain(about)}</summary>")
        parts += [_block(role, text) for role, text in _said(turn)]
        parts += [_block(_call(call), call.arguments) for call in calls.get(stored.id, ())]
        parts.append("</details>")
    parts += [_block(title, text) for title, text in _end(rollout)]
    return "".join([*parts, "</div>"])


def _block(title: str, text: str) -> str:
    return f"<div><b>{_plain(title)}</b></div><pre {_TEXT}>{_plain(text)}</pre>"


def rollout_markdown(rollout: Rollout) -> str:
    """A rollout's transcript as Markdown."""
    lines = [f"**rollout** {_fenced_line(rollout.input_id)} {_standing_line(rollout)}", ""]
    calls = _by_turn(rollout)
    for turn in _turns(rollout):
        lines += [f"**turn {turn.stored.id}**, agent {_fenced_line(turn.stored.agent)}", ""]
        for role, text in _said(turn):
            lines += [f"{_fenced_line(role)}", *_fenced(text)]
        for call in calls.get(turn.stored.id, ()):
            lines += [_fenced_line(_call(call)), *_fenced(call.arguments)]
    for title, text in _end(rollout):
        lines += [f"**{title}**", *_fenced(text)]
    return "\n".join(lines)


def run_html(run: Run) -> str:
    """The figures of a run, and its first rollouts, as HTML. Reads every record."""
    rows: list[str] = []

    def seen(rollout: Rollout, calls: list[ToolCall]) -> None:
        if len(rows) < _RUN_ROWS:
            reward = "" if rollout.reward is None else f"{rollout.reward.value:g}"
            failure = "" if rollout.failure is None else rollout.failure.kind.value
            cells = (
                rollout.input_id,
                rollout.status.value,
                reward,
                str(len(rollout.turns)),
                str(len(calls)),
                failure,
            )
            rows.append("<tr>" + "".join(f"<td>{_plain(cell)}</td>" for cell in cells) + "</tr>")

    summary = summarize(run.rollouts, seen=seen)
    facts = "".join(f"<tr><th>{name}</th><td>{_plain(value)}</td></tr>" for name, value in _facts(summary))
    headings = "".join(
        f"<th>{name}</th>" for name in ("rollout", "status", "reward", "turns", "calls", "failure")
    )
    left = summary.rollouts - len(rows)
    more = f"<p>... and {left} more</p>" if left > 0 else ""
    return (
        f"<div><p><b>run {_plain(run.id)}</b></p><table>{facts}</table>"
        f"<table><tr>{headings}</tr>{''.join(rows)}</table>{more}</div>"
    )


def _facts(summary: Summary) -> Iterator[tuple[str, str]]:
    def rate(value: float | None, interval: Any) -> str:
        if value is None:
            return "none"
        return f"{value:.3f}" + ("" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]")

    yield "rollouts", f"{summary.rollouts} ({summary.succeeded} succeeded)"
    yield "mean reward [95 %]", rate(summary.mean_reward, summary.reward_interval)
    calls = summary.reliability.all
    yield "tool calls", str(calls.calls)
    yield "right by format [95 %]", rate(calls.format.rate, calls.format.interval)
    yield "run without an error [95 %]", rate(calls.execution.rate, calls.execution.interval)
    yield "suspect", str(summary.suspect)


def _standing(rollout: Rollout) -> str:
    reward = "not judged" if rollout.reward is None else f"reward {rollout.reward.value:g}"
    facts = [rollout.status.value, rollout.stop_reason.value, reward, f"{len(rollout.turns)} turns"]
    return ", ".join([*facts, *(f"suspect: {reason}" for reason in rollout.suspect)])


def _standing_line(rollout: Rollout) -> str:
    return _fenced_line(_standing(rollout))


def _turns(rollout: Rollout) -> list[ExpandedTurn]:
    return rollout.turns[:_TURNS]


def _by_turn(rollout: Rollout) -> Mapping[int, list[ToolCall]]:
    found: dict[int, list[ToolCall]] = {}
    for call in tool_calls(rollout):
        found.setdefault(call.turn, []).append(call)
    return found


def _said(turn: ExpandedTurn) -> Iterator[tuple[str, str]]:
    """Role and text of what a prompt adds, and of the answer."""
    new = turn.prompt[turn.stored.prompt.keep :]
    for message in new if turn.stored.parent is None else new[1:]:  # the parent's answer was shown there
        yield str(message.get("role")), _content(message)
    answer = turn.answer
    yield "answer", "(no answer)" if answer is None else _content(answer)


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    return json.dumps(content, ensure_ascii=False)


def _call(call: ToolCall) -> str:
    said = f"calls {call.name}"
    if call.error is not None:
        said += f" ({call.error.value.replace('_', ' ')})"
    if call.execution_error is not None:
        said += f": {call.execution_error[:300]}"
    return said


def _end(rollout: Rollout) -> Iterator[tuple[str, str]]:
    left = len(rollout.turns) - _TURNS
    if left > 0:
        yield "not shown", f"{left} more turns"
    if rollout.output is not None:
        from agentcore_rl.read.run_table import output_text

        yield "output", output_text(rollout.output) or ""
    if rollout.status is Status.FAILED and rollout.failure is not None:
        yield f"failure {rollout.failure.kind.value}", rollout.failure.message


def _short(text: str) -> str:
    text = _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return (
        text
        if len(text) <= _CHARACTERS
        else f"{text[:_CHARACTERS]} ... {len(text) - _CHARACTERS:,} more characters"
    )


def _plain(text: str) -> str:
    """A text that is one in HTML too."""
    return escape(_short(text), quote=True)


def _fence(text: str, least: int) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(least, longest + 1)


def _fenced(text: str) -> list[str]:
    """A block that holds the text and nothing else."""
    short = _short(text)
    fence = _fence(short, 3)
    return [f"{fence}text", short, fence, ""]


def _fenced_line(text: str) -> str:
    short = " ".join(_short(text).split())
    fence = _fence(short, 1)
    return f"{fence} {short} {fence}"
