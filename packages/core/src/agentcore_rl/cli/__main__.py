"""`python -m agentcore_rl.cli`: the same as `agentcore-rl`."""

import sys

from agentcore_rl.cli.command_line import main

sys.exit(main())
