#!/usr/bin/env bash
# Sets up what is missing, then runs a command in the environment: ./scripts/run.sh agentcore-rl demo
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
bash "$here/scripts/setup.sh"
export VIRTUAL_ENV="$here/.venv" PATH="$here/.venv/bin:$PATH"
exec "$@"
