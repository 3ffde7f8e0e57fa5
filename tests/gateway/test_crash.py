import os
import random

import pytest

from agentcore_rl.testing import Answer, ScriptedModel
from gateway_crash import crash

KILLS = int(os.environ.get("KILLS") or 2)


@pytest.mark.timeout(60 + 10 * KILLS)
def test_a_kill_loses_no_answered_call(tmp_path):
    """Two gateways are killed at random moments under load: no answered call is missing, no turn partial.

    A hundred: `KILLS=100`, or `python tests/plugins/gateway_crash.py 100`, which prints a line for each.
    """
    total = 0
    with ScriptedModel(lambda _: Answer("x")) as model:
        for number in range(KILLS):
            answered, missing, _ = crash(model.base_url, tmp_path / str(number), random.uniform(0.1, 0.4))
            assert missing == 0
            total += answered
    assert total > 0
