"""What `import agentcore_rl` costs: CPU above a bare Python, in processes of their own.

python benchmarks/imports.py [--rounds N]
"""

import argparse
import resource
import subprocess
import sys

BAR_MS = 60.0
STATEMENTS = {
    "bare python": "pass",
    "import agentcore_rl": "import agentcore_rl",
    "… Rollout, Reward, Tool": "from agentcore_rl import Reward, Rollout, Tool",
    "… AgentCoreRLApp": "from agentcore_rl import AgentCoreRLApp",
    "… BatchRunner": "from agentcore_rl import BatchRunner",
    "the transport": "import agentcore_rl.recorder.wire",
    "httpx2 alone": "import httpx2",
}


def cpu_ms(statement: str) -> float:
    """CPU milliseconds of a process that runs the statement."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000


def main() -> None:
    """Measures and prints, the best round of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    best = {name: min(cpu_ms(statement) for _ in range(rounds)) for name, statement in STATEMENTS.items()}
    bare = best["bare python"]
    for name, spent in best.items():
        bar = (
            f"  (at most {BAR_MS:.0f}{'' if spent - bare <= BAR_MS else ', over'})"
            if "agentcore_rl" in name
            else ""
        )
        print(f"{name:>26} {spent:>8.1f} ms {spent - bare:>8.1f} above bare{bar}")


if __name__ == "__main__":
    main()
