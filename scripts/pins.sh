#!/usr/bin/env bash
# Writes requirements/*.txt: versions and hashes for Python 3.11 to 3.13 on every platform, no addresses.
# Pins stay as they are unless a requirement changed; `--upgrade` (or `--upgrade-package NAME`) renews them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

adapters=()
ours=()
for package in packages/*/ examples/adapters/*/; do
  [[ -f "$package/pyproject.toml" ]] || continue
  [[ "$package" =~ ^packages/(core|gateway)/$ ]] || adapters+=("${package%/}")
  name=$(sed -n 's/^name = "\(.*\)"$/\1/p' "$package/pyproject.toml" | head -n 1)
  ours+=(--no-emit-package "$name")
done

pin() { # FILE ARGUMENTS...
  local file=requirements/$1.txt
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-emit-find-links --no-header --no-annotate "${ours[@]}" --output-file "$file" "${@:2}" >/dev/null
  # The names of our own packages, which uv adds in a comment.
  sed -i.bak '/^#/d' "$file" && rm "$file.bak"
}

# All together: what scripts/setup.sh installs.
pin dev "$@" --group dev pyproject.toml
# What scripts/setup.sh starts from where uv is missing; the same version as among the others.
pin uv --constraint requirements/dev.txt - <<<"uv"

# What scripts/ministack.sh installs.
pin ministack "$@" - <<<"ministack>=1.5.33"

# What scripts/adapters.sh installs: the core without any framework, and each adapter without the others;
# once with the lowest versions that it, the core and the tests ask for, and once with the newest.
pin core "$@" --all-extras --group test --group aws --group model packages/core/pyproject.toml
for package in "${adapters[@]}"; do
  for kind in lowest:lowest-direct newest:highest; do
    # The core once more, as what an example outside the workspace means by agentcore-rl.
    pin "${package##*/}-${kind%:*}" "$@" --resolution "${kind#*:}" --all-extras --group test \
      packages/core/pyproject.toml "$package/pyproject.toml" - <<<"-e packages/core"
  done
done
