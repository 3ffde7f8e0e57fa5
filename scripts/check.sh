#!/usr/bin/env bash
# Everything that a commit must pass, from a fresh clone on. CI runs this, then scripts/adapters.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh
export VIRTUAL_ENV="$PWD/.venv" PATH="$PWD/.venv/bin:$PATH"

step() {
  echo "── $*"
  "$@"
}

step ruff check
step ruff format --check
# ruff has just run; the rest of the hooks are about whitespace, YAML and TOML.
SKIP=ruff-check,ruff-format step pre-commit run --all-files
step mypy
# What failed is run once more, alone: a bound of seconds may be missed on a busy machine, a fault fails again.
workers=$(($(nproc) < 8 ? $(nproc) + 1 : 8)) # many tests wait for processes
step pytest -n "$workers" || step pytest -n 0 --last-failed --last-failed-no-failures none
