#!/usr/bin/env bash
# The core without any framework, and each adapter without the others, under the pins of its own: with the
# lowest versions that are supported and with the newest when they were written; openai 2 and 3. Then its
# wheels, away from this repository. `./scripts/adapters.sh strands core` runs some of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup.sh
root=$PWD
export PATH="$root/.venv/bin:$PATH"
# Neither a caller's environment nor a person's configuration decides.
unset VIRTUAL_ENV AGENTCORE_RL_DEMO_FRAMEWORK

workers=$(($(nproc) < 8 ? $(nproc) + 1 : 8)) # many tests wait for processes
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=()

home_of() { # NAME: the folder of that package
  if [[ -d "packages/$1" ]]; then echo "packages/$1"; else echo "examples/adapters/$1"; fi
}

environment() { # NAME PINS: .venvs/PINS holds exactly what is pinned, and our packages in place
  local venv=.venvs/$2 ours=(--editable packages/core)
  case "$(home_of "$1")" in
    packages/core) ;;
    packages/*) ours+=(--editable "packages/$1") ;;
    *) ours+=("$(home_of "$1")") ;; # an example asks for no more than a wheel
  esac
  if ! cmp -s .venv/pyvenv.cfg "$venv/like"; then
    uv venv --quiet --clear --python .venv/bin/python "$venv"
    cp .venv/pyvenv.cfg "$venv/like"
  fi
  uv pip sync --quiet --python "$venv" --require-hashes "requirements/$2.txt"
  uv pip install --quiet --python "$venv" --no-deps --no-build-isolation --refresh "${ours[@]}"
}

versions() { # NAME VENV: of what the package requires itself
  "$2/bin/python" - "$(sed -n 's/^name = "\(.*\)"$/\1/p' "$(home_of "$1")/pyproject.toml" | head -n 1)" <<'PY'
import re, sys
from importlib.metadata import requires, version

asked = [line for line in requires(sys.argv[1]) or () if ";" not in line]
names = dict.fromkeys(re.match(r"[\w.-]+", line)[0] for line in [*asked, "openai", "httpx2"])
print(", ".join(f"{name} {version(name)}" for name in names if name != "agentcore-rl"))
PY
}

tested() { # PYTHON ARGUMENTS...: what failed is run once more, alone, as in check.sh
  "$1" -m pytest -q -n "$workers" "${@:2}" || "$1" -m pytest -q -n 0 --last-failed --last-failed-no-failures none "${@:2}"
}

report() { # WHAT VERSIONS COMMAND...: one line; everything that was said, where it failed
  local what=$1 versions=$2 log=$work/log status=0
  "${@:3}" >"$log" 2>&1 || status=$?
  if ((status)); then
    cat "$log"
    failed+=("$what")
  fi
  printf '%-22s %s: %s\n' "$what" "$versions" "$(tail -n 1 "$log" | sed 's/^=* *//; s/ *=*$//')"
}

away() ( # VENV TESTS...: the installed packages, in a folder that holds nothing but these tests
  venv=$root/$1
  place=$(mktemp -d -p "$work")
  cp "${@:2}" "$place" && cd "$place" || exit
  export XDG_STATE_HOME="$place/state" XDG_CACHE_HOME="$place/cache" PATH="$venv/bin:/usr/bin:/bin"
  "$venv/bin/python" -c 'import sys, agentcore_rl; sys.exit(not agentcore_rl.__file__.startswith(sys.prefix))' &&
    agentcore-rl doctor && agentcore-rl demo --scripted --tasks 1 &&
    tested "$venv/bin/python" "$place"
)

wheels() { # NAME VENV: puts the wheels of core and adapter in the place of the sources
  local folder
  for folder in packages/core "$(home_of "$1")"; do
    if [[ ! -d "$work/dist/$folder" ]]; then
      uv build --quiet --no-build-isolation --python .venv/bin/python --out-dir "$work/dist/$folder" "$folder"
    fi
    uv pip install --quiet --python "$2" --no-deps --reinstall "$work/dist/$folder"/*.whl
  done
}

# What is installed beside the core changes nothing in these, once all of it can be imported: check.sh runs them.
apart=(aws batch export launchers local_model local_runtime read report stores)

alone() ( # PYTHON: the core's modules, then its tests
  "$1" -c 'import pkgutil, agentcore_rl
for module in pkgutil.walk_packages(agentcore_rl.__path__, "agentcore_rl."):
    if not module.name.endswith((".__main__", ".demo.app")):
        __import__(module.name)' || exit
  # These files and the tests that say so need an adapter.
  tested "$1" -m "not live and not needs_adapter" tests/core tests/docs tests/plugins \
    --ignore tests/core/demo/test_app.py --ignore tests/core/testing/test_adapter_conformance.py \
    --ignore tests/core/cli/commands/test_demo.py --ignore tests/core/cli/commands/test_frameworks.py \
    "${apart[@]/#/--ignore=tests/core/}"
)

names=("$@")
if [[ ${#names[@]} == 0 ]]; then
  names=(core)
  for pins in requirements/*-newest.txt; do
    names+=("$(basename "$pins" -newest.txt)")
  done
fi

for name in "${names[@]}"; do
  if [[ "$name" == core ]]; then
    environment core core
    report core "$(versions core .venvs/core)" alone .venvs/core/bin/python
    continue
  fi
  contract=(tests/conformance/*.py)
  tests=("tests/$name")
  if [[ ! -d "packages/$name" ]]; then
    contract=("$(home_of "$name")"/tests/*.py)
    tests=()
  fi
  for kind in lowest newest; do
    pins=$name-$kind
    environment "$name" "$pins"
    says=$(versions "$name" ".venvs/$pins")
    # The newest is held to the contract below, as wheels.
    [[ "$kind" == lowest ]] && further=("${contract[@]}") || further=()
    report "$pins" "$says" tested ".venvs/$pins/bin/python" "${tests[@]}" "${further[@]}" \
      tests/core/recorder/test_wire.py
  done
  wheels "$name" ".venvs/$name-newest"
  report "$name, wheels" "$says" away ".venvs/$name-newest" "${contract[@]}"
done

if ((${#failed[@]})); then
  echo "failed: ${failed[*]}"
  exit 1
fi
