"""Word problems with a calculator: what the math agent of every framework shares.

`load_tasks` gives the problems, `SYSTEM_PROMPT` and `calculator` make the agent, `GSM8KReward` judges it.
"""

from agentcore_rl.demo.math.calculator import calculator
from agentcore_rl.demo.math.reward import GSM8KReward
from agentcore_rl.demo.math.tasks import SYSTEM_PROMPT, load_tasks

__all__ = ["SYSTEM_PROMPT", "GSM8KReward", "calculator", "load_tasks"]
