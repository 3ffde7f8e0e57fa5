"""The file: what is counted, what is listed, and that it is there whole or not at all."""

import pytest

from agentcore_rl.exceptions import ConfigurationError
from agentcore_rl.read import compare, summarize
from agentcore_rl.report import write_report
from agentcore_rl.reward import Reward
from agentcore_rl.rollout import Failure, FailureKind, Status, Tokens, Trajectory
from made_rollouts import golden_rollout, make_rollout, make_turn
from report_runs import run_of


def many(count, run="run", shift=0.0):
    """A run of so many rollouts, every fifth of them failed."""
    broke = Failure(FailureKind.AGENT, "It broke.")
    return [
        make_rollout(
            run=run,
            task=f"t{number:03}",
            input_id=f"t{number:03}.0",
            reward=Reward(number % 3 / 2 + shift),
            failure=None if number % 5 else broke,
            status=Status.SUCCEEDED if number % 5 else Status.FAILED,
            trajectories=[Trajectory("main", None, [make_turn(tokens=Tokens(0, [number], [7], [-0.5]))])],
        )
        for number in range(count)
    ]


def test_figures_are_those_of_the_records(page_of):
    """What the page shows is what `summarize` says, computed here and not in the browser."""
    run = run_of([*many(10), golden_rollout()])
    index, rollouts = page_of(run)
    [told] = index["runs"]
    assert told["summary"] == summarize(run.rollouts).to_dict()
    assert [rollout["id"] for rollout in rollouts] == index["index"]["columns"]["id"] == run.ids
    assert index["index"]["rows"] == index["counted"] == index["transcripts"] == 11
    assert rollouts[-1]["record"].startswith("kept/run/task.2/")


def test_rollouts_are_in_chunks(page_of):
    """Each row says where its transcript and its tokens are."""
    index, rollouts = page_of(run_of(many(130)))
    columns = index["index"]["columns"]
    assert columns["chunk"] == [0] * 64 + [1] * 64 + [2] * 2
    assert columns["place"] == [*range(64), *range(64), 0, 1]
    assert [rollout["tokens_at"] for rollout in rollouts[62:66]] == [[124, 62], [126, 63], [0, 0], [2, 1]]


def test_only_what_failed_is_listed(page_of):
    """The figures are of all."""
    index, rollouts = page_of(run_of([*many(10), golden_rollout()]), failed=True)
    assert [rollout["id"] for rollout in rollouts] == ["t000.0", "t005.0", "task.2"]
    assert index["failed_only"]
    assert index["counted"] == index["runs"][0]["summary"]["rollouts"] == 11


@pytest.mark.parametrize("limit", [1, 3, 7, 20])
def test_a_limit_is_spread_evenly(page_of, limit):
    """So many of all, from everywhere; the figures are of all."""
    index, rollouts = page_of(run_of(many(20)), limit=limit)
    numbers = [int(rollout["id"][1:4]) for rollout in rollouts]
    assert len(numbers) == limit
    steps = [after - before for before, after in zip([-1, *numbers], numbers, strict=False)]
    assert max(steps) - min(steps) <= 1
    assert index["counted"] == 20


def test_nothing_to_list(page_of):
    """A run in which nothing failed has a page."""
    index, rollouts = page_of(run_of(many(5)[1:]), failed=True)
    assert (rollouts, index["index"]["rows"]) == ([], 0)


def test_runs_are_compared_with_the_first(page_of):
    """Each further run has a comparison, made by `compare`."""
    before, after = run_of(many(8)), run_of(many(8, "after", 0.25), "after")
    index, rollouts = page_of(before, after)
    assert index["comparisons"] == [compare(before, after).to_dict()]
    assert index["comparisons"][0]["reward"]["difference"] == 0.25
    assert index["index"]["columns"]["run"] == [0] * 8 + [1] * 8
    assert len(rollouts) == 16


def test_what_cannot_be_read_is_named(page_of):
    """It is in no figure, and the page says so."""
    index, rollouts = page_of(run_of(many(2), broken=b"{"))
    assert list(index["runs"][0]["unreadable"]) == ["run/broken/x.json"]
    assert len(rollouts) == 2


def test_transcripts_beyond_the_size_are_left_out(tmp_path):
    """Their rows stay, and say that there is none."""
    report = write_report([run_of(many(130))], tmp_path / "report.html", most_bytes=1)
    assert (report.rollouts, report.listed, report.transcripts) == (130, 130, 64)


def test_progress_is_told(tmp_path):
    """After each rollout, of how many."""
    told = []
    write_report([run_of(many(3))], tmp_path / "x.html", progress=lambda *now: told.append(now))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path):
    """A report that breaks off changes nothing and leaves nothing."""
    path = tmp_path / "report.html"
    path.write_text("older")

    def broken(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report([run_of(many(3))], path, progress=broken)
    assert path.read_text() == "older"
    write_report([run_of(many(3))], path)
    assert path.read_text().startswith("<!doctype html>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_place_that_cannot_be_written(tmp_path):
    """The error says where and why."""
    with pytest.raises(ConfigurationError, match=r"cannot be written to .*No such file or directory"):
        write_report([run_of(many(1))], tmp_path / "nowhere" / "report.html")
    with pytest.raises(ConfigurationError, match="needs a run"):
        write_report([], tmp_path / "report.html")


def test_equal_runs_make_equal_pages(page_of, tmp_path):
    """But for the time at which they were made."""
    pages = []
    for _ in range(2):
        index, rollouts = page_of(run_of(many(3)))
        pages.append(({**index, "made_at": None}, rollouts))
    assert pages[0] == pages[1]
