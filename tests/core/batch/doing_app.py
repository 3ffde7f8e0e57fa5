"""An app whose payload says what its session does, under `does` (`tries`: a list, one per attempt)."""

import os
import time

from agentcore_rl.aws.app import AgentCoreRLApp

app = AgentCoreRLApp()


def judge(payload, output, rollout):
    """What the payload says."""
    return output.get("reward")


@app.rollout_entrypoint(reward=judge)
def solve(payload, context):
    """Do it."""
    does = payload.get("does", {})
    if "tries" in does:
        attempt = int(context.session_id.split("-")[-2])
        does = does["tries"][min(attempt, len(does["tries"]) - 1)]
    if does.get("dies"):
        os._exit(1)
    time.sleep(does.get("seconds", 0.01))
    if does.get("raises"):
        raise RuntimeError("It raised.")
    return {"reward": does.get("reward")}
