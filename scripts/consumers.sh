#!/usr/bin/env bash
# Every export, read by its consumer's own code, each in an environment of its own. Records are those of agents that a
# scripted model answers. What does not install here is named and passed over; what is refused fails the script.
# `./scripts/consumers.sh tinker tables` checks some of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh
root=$PWD
export PATH="$root/.venv/bin:$PATH"
unset VIRTUAL_ENV

# Trainers never enter the pins: these are the releases that the formats were written for.
declare -A needs=(
  [trl]="torch==2.13.0|trl==1.16.0 datasets==5.2.0"
  [verl]="torch==2.13.0|verl==0.9.1 --no-deps|datasets==5.2.0 transformers==5.24.0 tensordict==0.15.3 hydra-core
    omegaconf codetiming ray pillow aiohttp uvicorn fastapi cachetools orjson"
  [tinker]="torch==2.13.0|tinker==0.38.0 tinker-cookbook==0.5.8"
  [tables]="pyarrow pandas duckdb openai opentelemetry-proto==1.45.1 protobuf"
)
wanted=("$@")
[[ ${#wanted[@]} -gt 0 ]] || wanted=(tables tinker trl verl)

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
agentcore-rl demo --scripted --tasks 6 --framework strands --out "$folder/rollouts" >"$folder/demo.log" 2>&1 || {
  cat "$folder/demo.log"
  exit 1
}
for format in trl trl-prompt-completion trl-rollout verl tinker prime-rl openai otel; do
  agentcore-rl export last --runs-in "$folder/rollouts" --to "$format" --out "$folder/$format.jsonl" --json
done 2>/dev/null >"$folder/exports.log"
for format in parquet parquet-rows verl-prompts; do
  agentcore-rl export last --runs-in "$folder/rollouts" --to "$format" --out "$folder/$format.parquet" --json
done 2>/dev/null >>"$folder/exports.log"

# One after the other, so that torch is the processor's alone where that is what pip finds.
installed() {
  local venv=$1 steps step
  [[ -x "$venv/bin/python" ]] || "$root/.venv/bin/python" -m venv "$venv" || return 1
  if [[ -f "$venv/installed" && $(<"$venv/installed") == "$2" ]]; then return 0; fi
  IFS='|' read -r -d '' -a steps <<<"$2" || true
  for step in "${steps[@]}"; do
    # shellcheck disable=SC2086 # words on purpose
    set -f && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check ${step} >>"$folder/pip.log" 2>&1 ||
      { set +f && return 1; }
    set +f
  done
  printf '%s' "$2" >"$venv/installed"
}

failed=0
for name in "${wanted[@]}"; do
  venv=.venvs/consumer-$name
  if ! installed "$venv" "${needs[$name]}"; then
    echo "$name: does not install here: $(grep -v '^WARNING' "$folder/pip.log" | tail -1)"
    continue
  fi
  if ! "$venv/bin/python" "scripts/consumers/check_$name.py" "$folder" 2>"$folder/$name.log" | tail -1; then
    tail -20 "$folder/$name.log"
    failed=1
  fi
done
echo "prime-rl: on no registry; its fields are held against tests/core/export/formats/test_prime_rl.py"
exit "$failed"
