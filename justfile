# Recipes run in the pinned environment, which the first line of each makes or renews.

run := "bash scripts/run.sh"

# What there is.
default:
    @just --list

# Everything that a commit must pass.
check:
    bash scripts/check.sh

# Core and adapters each alone, under pins of their own: just adapters strands core
adapters *ARGS:
    bash scripts/adapters.sh {{ ARGS }}

# What CI runs: both.
ci:
    .ci/run

# Makes or renews .venv.
setup:
    bash scripts/setup.sh

# The tests, or some of them: just test tests/core -k reward
test *ARGS:
    {{ run }} pytest {{ ARGS }}

# Formats and mends what ruff can mend.
fix:
    {{ run }} ruff check --fix
    {{ run }} ruff format

# Type checks the packages and tests/typing.
types:
    {{ run }} mypy

# Renews the pins; `just pins --upgrade` takes the newest of everything.
pins *ARGS:
    {{ run }} bash scripts/pins.sh {{ ARGS }}

# Installs the git hooks.
hooks:
    {{ run }} pre-commit install

# Raises the version of all packages from the commits since the last one.
bump *ARGS:
    {{ run }} cz bump {{ ARGS }}

# Builds wheels and sdists of all packages into dist/.
build:
    {{ run }} uv build --all-packages --no-build-isolation

# The math agent, on the base model and on the tuned one.
demo *ARGS:
    {{ run }} agentcore-rl demo {{ ARGS }}
