"""What a live view says, from outcomes and records alone."""

import io

import pytest

from agentcore_rl.cli.live_figures import LiveFigures
from agentcore_rl.cli.screen import Line, Screen, has_screen
from agentcore_rl.cli.terminal import duration
from agentcore_rl.outcome import Phases, Progress, RequestIds, RolloutOutcome
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Status
from made_rollouts import golden_rollout, make_rollout, raw


@pytest.fixture(autouse=True)
def _terminal(monkeypatch):
    """The tests' own, whatever runs them: a dumb one has 80 columns and shows no cursor."""
    monkeypatch.setenv("TERM", "xterm")


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def outcome(task: str, reward: float | None) -> RolloutOutcome:
    """A rollout that has ended."""
    ids = RequestIds("run", task, 0, 0, "session", "key")
    judged = None if reward is None else Reward(reward)
    return RolloutOutcome(ids, Status.SUCCEEDED, None, judged, "key", Phases(0, 0, 0, 0, 1))


def shown(figures: LiveFigures, progress: Progress, now: float) -> dict[str, str]:
    """Label -> text; of several lines under one label the first."""
    found: dict[str, str] = {}
    for line in figures.lines(progress, now):
        found.setdefault(line.label, line.text)
    return found


def test_before_the_first_rollout_it_says_that_the_app_starts():
    """Nothing else is known."""
    assert shown(LiveFigures("run mine", 100.0), Progress(), 103.0) == {"run": "mine, starting the app, 3 s"}


def test_it_counts_along():
    """States, reward with interval, failures by kind, and the time left at the rate so far."""
    figures = LiveFigures("run mine", 100.0)
    assert "time left unknown" in shown(figures, Progress(total=10, queued=8, running=2), 100.0)["run"]
    for number in range(4):
        figures.hear(outcome(f"t{number}", number % 2))
    progress = Progress(10, 4, 2, 3, {"agent": 1}, again=1, judged=4, mean_reward=0.5)
    said = shown(figures, progress, 120.0)
    assert said["run"] == "mine, 20 s, 30 s left"
    assert said["rollouts"] == "4 of 10, 2 running, 4 queued, 1 tried again"
    assert said["reward"].startswith("0.50 [0.")
    assert said["reward"].endswith("] over 4")
    assert said["failed"] == "1 agent"
    assert "tool calls" not in said


def test_records_add_calls_tokens_and_the_last_transcript():
    """Tool calls by outcome; tokens by the second; who said what at the end."""
    figures = LiveFigures("run mine", 0.0)
    list(figures.lines(Progress(total=2, queued=2), 0.0))
    record = golden_rollout()
    figures.read(record)
    said = shown(figures, Progress(2, 1, 0, 1), 10.0)
    assert said["last"].startswith(f"{record.input_id}  {record.status.value}")
    assert ": " in said["tool calls"]
    sampled = record.usage.completion_tokens
    assert said["tokens"] == f"{sampled / 10:,.0f} per second, {sampled:,} sampled"


def test_hostile_text_cannot_take_the_terminal_over():
    """What a model said is drawn as escapes, on one line; the cursor comes back, whatever was drawn."""
    hostile = make_rollout(
        messages=[
            raw({"role": "user", "content": "hi"}),
            raw({"role": "assistant", "content": "\x1b[2J\x1b]0;title\x07[bold]gone\u202e\r\nnext"}),
        ]
    )
    figures = LiveFigures("run \x1b[31mmine", 0.0)
    figures.read(hostile)
    terminal = Terminal()
    screen = Screen(terminal)
    screen.draw(list(figures.lines(Progress(total=1, succeeded=1), 1.0)))
    screen.close()
    written = terminal.getvalue()
    assert "\x1b[2J" not in written
    assert "\x1b]0" not in written
    assert "\x07" not in written
    assert "\u202e" not in written
    assert "\\x1b[2J" in written
    assert "[bold]gone" in written
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


def test_lines_are_cut_to_the_width_of_now(monkeypatch):
    """A terminal that is made narrower gets narrower lines at the next drawing."""
    monkeypatch.delenv("COLUMNS", raising=False)
    terminal = Terminal()
    screen = Screen(terminal)
    for columns in ("100", "30"):
        monkeypatch.setenv("COLUMNS", columns)
        terminal.truncate(0)
        screen.draw([Line("last", "x" * 500), Line("rollouts", "1 of 2", share=0.5)])
        drawn = [line for line in terminal.getvalue().split("\n") if "xxx" in line]
        assert len(drawn) == 1
        assert drawn[0].count("x") < int(columns)
        assert "rollouts" in terminal.getvalue()  # labels are whole
    screen.close()


def test_a_screen_is_for_terminals_whose_user_wants_one(monkeypatch):
    """Not elsewhere, not with NO_COLOR, not in CI, not on a dumb terminal."""
    for name in ("NO_COLOR", "CI", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert has_screen(Terminal())
    assert not has_screen(io.StringIO())
    for name, value in (("NO_COLOR", "1"), ("CI", "true"), ("TERM", "dumb")):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            assert not has_screen(Terminal())


def test_durations_are_for_people():
    """Seconds, minutes, hours."""
    assert [duration(s) for s in (0.4, 59, 61, 3599, 3660)] == [
        *("0 s", "59 s", "1 min 01 s", "59 min 59 s", "1 h 01 min")
    ]
