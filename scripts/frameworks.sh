#!/usr/bin/env bash
# Real agents of every framework, and the plain openai SDK in releases 2 and 3, on the gateway. Prints how many
# branches their conversations make.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh
export PATH="$PWD/.venv/bin:$PATH"
unset VIRTUAL_ENV

pythons=()
for pins in strands-lowest core; do # the one has openai 2, the other openai 3
  venv=.venvs/sdk-$pins
  if [[ ! -x "$venv/bin/python" ]]; then
    uv venv --quiet --python .venv/bin/python "$venv"
  fi
  uv pip sync --quiet --python "$venv" --require-hashes "requirements/$pins.txt"
  pythons+=("$PWD/$venv/bin/python")
done
export SDK_PYTHONS
SDK_PYTHONS=$(
  IFS=:
  echo "${pythons[*]}"
)
python -m pytest -q -n 0 tests/gateway/frameworks "$@"
