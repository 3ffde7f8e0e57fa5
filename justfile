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

# The fault matrix as a table: what goes wrong on the way, and that nothing is lost or doubled.
faults *ARGS:
    {{ run }} pytest -n 0 tests/faults {{ ARGS }}

# The fidelity tests as a table: wrong tokens against the engine's own log, FIDELITY=50 for 10,000 calls and 100 kills.
fidelity *ARGS:
    FIDELITY="${FIDELITY:-10}" {{ run }} pytest -n 0 tests/gateway/fidelity {{ ARGS }}

# Real agents of every framework, and the SDK in releases 2 and 3, on the gateway: branches, as a table.
frameworks *ARGS:
    bash scripts/frameworks.sh {{ ARGS }}

# Every export, read by its consumer's own code, each in an environment of its own: just consumers trl tables
consumers *ARGS:
    bash scripts/consumers.sh {{ ARGS }}

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
