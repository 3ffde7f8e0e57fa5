"""An agent that takes as long as its payload says: as an app file, or `python app.py DESCRIPTOR`."""

import sys
import time

from agentcore_rl.aws.app import AgentCoreRLApp

app = AgentCoreRLApp()


@app.rollout_entrypoint(reward=lambda payload, output, rollout: 1.0)
def solve(payload):
    """Work for a while."""
    time.sleep(payload.get("seconds", 0.05))
    return payload["id"]


if __name__ == "__main__":
    from app_process import serve

    serve(app, int(sys.argv[1]))
