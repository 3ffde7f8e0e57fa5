#!/usr/bin/env bash
# Writes requirements/*.txt: versions and hashes for Python 3.11 to 3.13 on every platform, no addresses.
# Pins stay as they are unless a requirement changed; `--upgrade` (or `--upgrade-package NAME`) renews them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pin() {
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-emit-find-links --no-header --no-annotate "$@" >/dev/null
}

ours=()
for package in packages/*/; do
  name=$(sed -n 's/^name = "\(.*\)"$/\1/p' "$package/pyproject.toml" | head -n 1)
  ours+=(--no-emit-package "$name")
done
pin "$@" "${ours[@]}" --all-extras --group dev --output-file requirements/dev.txt \
  pyproject.toml packages/*/pyproject.toml
# What scripts/setup.sh starts from where uv is missing; the same version as among the others.
pin --constraint requirements/dev.txt --output-file requirements/uv.txt - <<<"uv"

for file in requirements/*.txt; do
  # The names of our own packages, which uv adds in a comment.
  sed -i.bak '/^#/d' "$file" && rm "$file.bak"
done
