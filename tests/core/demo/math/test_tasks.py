import json
import re
from importlib.resources import files

import pytest

from agentcore_rl.demo.math import GSM8KReward, load_tasks

SPLITS = {split: load_tasks(split) for split in ("train", "heldout")}


def _numbers(split: str) -> set[int]:
    texts = (f"{task['prompt']} {task['answer']}" for task in SPLITS[split])
    return {int(digits) for text in texts for digits in re.findall(r"\d+", text)}


def _five_words(split: str) -> set[tuple[str, ...]]:
    """Runs of five words, numbers masked: what two problems of one template have in common."""
    runs = set()
    for task in SPLITS[split]:
        words = re.findall(r"[a-z#']+", re.sub(r"\d+", "#", task["prompt"].lower()))
        runs |= {tuple(words[i : i + 5]) for i in range(len(words) - 4)}
    return runs


def test_heldout_shares_no_number_with_train():
    """No number of a held-out prompt or answer stands in a train prompt or answer."""
    assert _numbers("train") & _numbers("heldout") == set()


def test_heldout_shares_no_template_text_with_train():
    """No five words in a row of a held-out prompt stand in a train prompt."""
    assert _five_words("train") & _five_words("heldout") == set()


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_tasks_have_the_same_four_keys(split):
    """Each task has its own id and prompt, a whole number as text for an answer, and a level."""
    tasks = SPLITS[split]
    assert all(set(task) == {"id", "prompt", "answer", "level"} for task in tasks)
    assert len({task["id"] for task in tasks}) == len({task["prompt"] for task in tasks}) == len(tasks)
    assert all(re.fullmatch(r"\d+", task["answer"]) and task["level"] >= 1 for task in tasks)
    assert all(re.fullmatch(r"[A-Za-z0-9._=-]{1,128}", task["id"]) for task in tasks)


def test_levels_are_chosen_by_number():
    """The easiest level has enough held-out tasks to measure on, and longer problems exist."""
    assert len(load_tasks("heldout", 1)) >= 50
    assert {task["level"] for task in load_tasks("heldout", 2)} == {2}
    assert any(task["level"] >= 3 for task in load_tasks())


def test_reading_twice_gives_lists_of_one_s_own():
    """A caller may change the tasks it was given."""
    load_tasks()[0]["prompt"] = "changed"
    assert load_tasks()[0]["prompt"] != "changed"


def test_an_unknown_split_is_refused():
    """The error names the splits there are."""
    with pytest.raises(ValueError, match="'train' or 'heldout'"):
        load_tasks("test")


def test_every_answer_earns_its_reward():
    """The reward takes each task as payload."""
    assert all(GSM8KReward()(task, f"#### {task['answer']}", None) == 1.0 for task in load_tasks())


def test_the_borrowed_problems_carry_their_notice():
    """The licence of gsm_symbolic's problems lies beside them."""
    notice = files("agentcore_rl.demo.math").joinpath("NOTICE.md").read_text()
    assert "Apache License 2.0" in notice
    assert "reasoning-gym" in notice
    assert json.dumps(SPLITS).count("-g") > 0
