#!/usr/bin/env bash
# Makes .venv from the pins, with this workspace's packages in it. Needs python3 with pip, or uv.
# Running it again is free when nothing changed. UV_PYTHON picks another Python from 3.11 to 3.13.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

state=$(cat requirements/{dev,uv}.txt packages/*/pyproject.toml scripts/setup.sh | cksum)
stamp=.venv/agentcore-rl-setup
if [[ -x .venv/bin/python && "$(cat "$stamp" 2>/dev/null)" == "$state" ]]; then
  exit 0
fi
echo "Setting up .venv (once; the downloads take a few minutes) ..." >&2
started=$SECONDS

# uv: the one at hand if it suits pyproject.toml, else a private copy. --target leaves the machine's own
# Python alone, and works where that one is marked as externally managed.
uv=uv
if ! uv cache dir >/dev/null 2>&1; then
  uv=.uv/bin/uv
  if ! "$uv" cache dir >/dev/null 2>&1; then
    if ! python3 -m pip --version >/dev/null 2>&1; then
      echo "setup: neither uv nor python3 with pip is here; install one of them and run this again." >&2
      exit 1
    fi
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --upgrade \
      --target .uv --require-hashes --requirement requirements/uv.txt
  fi
fi

if ! .venv/bin/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
  made=
  for version in ${UV_PYTHON:-3.11 3.12 3.13}; do
    if "$uv" venv --quiet --clear --no-python-downloads --python "$version" .venv 2>/dev/null; then
      made=yes
      break
    fi
  done
  # No Python from 3.11 to 3.13 is here: uv brings one.
  [[ -n "$made" ]] || "$uv" venv --quiet --clear --python "${UV_PYTHON:-3.11}" .venv
fi

"$uv" pip sync --quiet --python .venv --require-hashes requirements/dev.txt
editables=()
for package in packages/*/; do
  editables+=(--editable "$package")
done
# The build backend is among the pins, so nothing unpinned is fetched for the build.
"$uv" pip install --quiet --python .venv --no-deps --no-build-isolation "${editables[@]}"
printf '%s\n' "$state" >"$stamp"
echo "Setting up .venv took $((SECONDS - started)) s." >&2
