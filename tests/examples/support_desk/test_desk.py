"""The support desk without any framework: its state, its tasks, its reward."""

import runpy
import threading
from pathlib import Path
from typing import Any

import pytest

from made_rollouts import make_rollout

TASK = {"order": "R1001", "refund_cents": 5490}
NONE_DUE = {"order": "R1004", "refund_cents": 0}


def judged(desk: Any, task: dict[str, Any], answer: str, *paid: tuple[str, int]) -> dict[str, float]:
    """Scores, and the weighted sum as `value`, of a desk that paid these refunds."""
    refunds = [{"number": number, "cents": cents, "reason": "r"} for number, cents in paid]
    reward = desk.DeskReward()(task, {"answer": answer, "refunds": refunds}, make_rollout())
    return {**reward.scores, "value": round(reward.value, 9)}


def test_a_refund_stands_in_the_database(desk):
    """The order shows it, the outcome has it, and there is nothing left to pay."""
    with desk.Desk() as shop:
        assert '"refunded_cents": 0' in shop.get_order("R1001")
        assert "5490 cents" in shop.issue_refund("R1001", 5490, "broken")
        assert '"refunded_cents": 5490' in shop.get_order("R1001")
        with pytest.raises(ValueError, match="between 1 and 0 cents"):
            shop.issue_refund("R1001", 1, "once more")
        assert shop.outcome("Paid.\n") == {
            "answer": "Paid.",
            "refunds": [{"number": "R1001", "cents": 5490, "reason": "broken"}],
        }


def test_each_desk_begins_with_the_same_orders(desk):
    """What one paid, another does not know; a closed one answers nothing."""
    with desk.Desk() as one, desk.Desk() as other:
        one.issue_refund("R1001", 100, "r")
        assert '"refunded_cents": 0' in other.get_order("R1001")
    with pytest.raises(Exception, match="closed"):
        one.get_order("R1001")


def test_mistakes_are_told_in_a_sentence(desk):
    """Unknown customers and orders, and amounts that cannot be; nothing is written."""
    with desk.Desk() as shop:
        for tool, arguments, words in [
            (shop.find_orders, ("nobody@example.com",), "no order of nobody"),
            (shop.get_order, ("R9",), "no order R9"),
            (shop.issue_refund, ("R9", 1, "r"), "no order R9"),
            (shop.issue_refund, ("R1001", 0, "r"), "between 1 and 5490"),
            (shop.issue_refund, ("R1001", 5491, "r"), "between 1 and 5490"),
        ]:
            with pytest.raises(ValueError, match=words):
                tool(*arguments)
        assert shop.outcome("")["refunds"] == []


def test_tools_may_run_in_threads_at_once(desk):
    """Ten payments of a tenth each: every one counts."""
    with desk.Desk() as shop:
        threads = [
            threading.Thread(target=shop.issue_refund, args=("R1009", 540, f"part {n}")) for n in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(shop.outcome("")["refunds"]) == 10
        assert '"refunded_cents": 5400' in shop.get_order("R1009")


def test_the_right_refund_earns_everything(desk):
    """The right order and amount, once, and the order named."""
    assert judged(desk, TASK, "R1001 is paid.", ("R1001", 5490)) == {
        "right_refund": 1,
        "no_wrong_writes": 1,
        "names_order": 1,
        "value": 1.0,
    }
    assert judged(desk, NONE_DUE, "R1004 is on its way.")["value"] == 1.0


@pytest.mark.parametrize(
    ("paid", "value"),
    [
        ([], 0.4),
        ([("R1001", 4900)], 0.2),
        ([("R1002", 5490)], 0.2),
        ([("R1001", 5490), ("R1002", 390)], 0.8),
        ([("R1001", 2745), ("R1001", 2745)], 0.2),
    ],
    ids=["nothing", "amount", "order", "one too many", "in two parts"],
)
def test_wrong_writes_cost(desk, paid: list[tuple[str, int]], value: float):
    """The amount, the order and the number of refunds are each judged in the database."""
    assert judged(desk, TASK, "R1001 is paid.", *paid)["value"] == value


def test_a_refund_that_is_not_due_is_a_wrong_write(desk):
    """Naming the order is all that is left."""
    assert judged(desk, NONE_DUE, "R1004 is paid.", ("R1004", 1450))["value"] == 0.2


def test_an_agent_that_raised_earns_nothing(desk):
    """At a limit of turns the handler may return nothing; that is judged all the same."""
    reward = desk.DeskReward()(NONE_DUE, None, make_rollout())
    assert reward.value == 0.0
    assert set(reward.scores.values()) == {0.0}


def test_the_task_file_is_what_its_script_writes(folder: Path, desk):
    """Twenty tasks with different ids, about orders that are there; some have nothing to refund."""
    script = runpy.run_path(str(folder / "make_tasks.py"))
    assert (folder / "tasks.jsonl").read_text() == script["tasks"]()


def test_tasks_can_be_solved_and_failed(tasks, desk):
    """What is due can be paid, and neither paying always nor never is right."""
    assert len(tasks) == 20
    due = [task for task in tasks.values() if task["refund_cents"]]
    assert 0.3 < len(due) / len(tasks) < 0.7
    for task in tasks.values():
        with desk.Desk() as shop:
            assert task["order"] in shop.get_order(task["order"])
            if task["refund_cents"]:
                shop.issue_refund(task["order"], task["refund_cents"], "due")
            output = shop.outcome(f"It is {task['order']}.")
        assert desk.DeskReward()(task, output).value == pytest.approx(1.0)
