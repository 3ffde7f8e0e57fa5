import pytest

from agentcore_rl.demo.math import GSM8KReward
from agentcore_rl.reward import RewardFunction


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("The answer is 3 + 4 = 7.\n#### 7", "7"),
        ("#### 1,234", "1234"),
        ("####-5", "-5"),
        ("#### -$1,234.50", "-1234.5"),
        ("#### $-3", "-3"),
        ("#### $ 12 dollars, not 13", "12"),
        ("#### 25%", "25"),
        ("#### 18.", "18"),
        ("#### 18.00", 18),
        ("#### .5", "0.5"),
        ("Draft #### 3, final #### 4", "4"),
        ("It is 12, or rather 15", "15"),
        ("10-3 is 7", "7"),
        ("so 10 - 3", "3"),
        ("between 2 and -9", "-9"),
        ("#### none, it was 8", "8"),
        ("8 ####", "8"),
        ("1,2 and 3,45", "45"),
        ("7", "Working: 3 + 4 = <<3+4=7>>7\n#### 7"),
    ],
)
def test_the_number_is_found(text, truth):
    """The number after the last marker counts, else the last one of the text."""
    assert GSM8KReward()(response_text=text, ground_truth=truth) == 1.0


@pytest.mark.parametrize("text", ["#### 8", "", "seven", "7 #### 70", "#### 7.01", "0.7", "####", None])
def test_anything_else_earns_nothing(text):
    """A wrong number, no number and no answer are all 0.0."""
    assert GSM8KReward()({"answer": "7"}, text, None) == 0.0


def test_it_is_a_reward_function_of_a_rollout():
    """The app's call (payload, output, rollout) and the call by name give the same."""
    reward = GSM8KReward()
    assert isinstance(reward, RewardFunction)
    assert reward({"answer": "7"}, "#### 7", None) == reward(response_text="#### 7", ground_truth="7") == 1.0


@pytest.mark.parametrize("payload", [None, {}, {"answer": None}, {"answer": "many"}])
def test_a_task_without_an_answer_is_an_error(payload):
    """Not judged is not zero: the reward raises where there is nothing to judge by."""
    with pytest.raises(ValueError, match="ground truth holds no number"):
        GSM8KReward()(payload, "#### 7", None)
