#!/usr/bin/env bash
# Runs what is tested against S3 and SQS on ministack, a second server of both, in an environment of its own:
# it pins a botocore that ours does not. `./scripts/ministack.sh -k race` passes arguments on to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh
export VIRTUAL_ENV="$PWD/.venv" PATH="$PWD/.venv/bin:$PATH"

venv=.venvs/ministack
if ! cmp -s .venv/pyvenv.cfg "$venv/like"; then
  uv venv --quiet --clear --python .venv/bin/python "$venv"
  cp .venv/pyvenv.cfg "$venv/like"
fi
uv pip sync --quiet --python "$venv" --require-hashes requirements/ministack.txt

port=$(python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
state=$(mktemp -d)
server=
ended() {
  [[ -z "$server" ]] || { kill "$server" && wait "$server"; } 2>/dev/null || true
  rm -rf "$state"
}
trap ended EXIT
# It listens on every interface unless it is told otherwise.
env -i PATH="$PATH" HOME="$state" TMPDIR="$state" BIND_HOST=127.0.0.1 GATEWAY_PORT="$port" LOG_LEVEL=WARNING \
  "$venv/bin/ministack" >"$state/log" 2>&1 &
server=$!

wait_for='
import socket, sys, time
end = time.monotonic() + 60
while time.monotonic() < end:
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1).close()
        sys.exit()
    except OSError:
        time.sleep(0.1)
sys.exit(1)'
if ! python -c "$wait_for" "$port"; then
  cat "$state/log"
  echo "ministack did not start within 60 s." >&2
  exit 1
fi

export AGENTCORE_RL_TEST_AWS="http://127.0.0.1:$port"
pytest -n 0 -q tests/core/aws/test_s3.py tests/core/aws/test_sqs.py tests/core/aws/test_rollouts_in_s3.py \
  tests/core/test_sink.py tests/core/batch/test_over_places.py tests/faults "$@"
