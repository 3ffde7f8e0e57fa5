"""Dependencies point inwards: frameworks -> core, gateway -> core, gym -> core."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = {path.name: path for path in ROOT.glob("packages/*/src/*") if path.is_dir()}

# Top-level modules of each framework: only its own adapter imports them.
FRAMEWORKS = {
    "agentcore_rl_strands": {"strands", "strands_tools"},
    "agentcore_rl_langgraph": {
        "langchain",
        "langchain_core",
        "langchain_openai",
        "langchain_aws",
        "langgraph",
    },
    "agentcore_rl_autogen": {"autogen", "autogen_agentchat", "autogen_core", "autogen_ext"},
    "agentcore_rl_crewai": {"crewai", "crewai_tools", "litellm"},
}
ONLY_IN_AWS = {"boto3", "botocore", "bedrock_agentcore"}
HTTP_CLIENTS = {"aiohttp", "httpcore", "httpcore2", "httpx", "httpx2", "requests", "urllib3"}
WIRE = "agentcore_rl/recorder/wire.py"


def _imports() -> Iterator[tuple[str, str, str]]:
    """(package, file as package/path.py, imported module) for every import in our sources."""
    for package, folder in OURS.items():
        for path in sorted(folder.rglob("*.py")):
            where = f"{package}/{path.relative_to(folder).as_posix()}"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    yield from ((package, where, alias.name) for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.level == 0:
                    yield package, where, node.module or ""


def test_imports_point_inwards():
    """Core imports no framework, no other package of ours and no torch; AWS and HTTP have one home each."""
    wrong = []
    for package, where, module in _imports():
        top = module.partition(".")[0]
        others = {name for framework, names in FRAMEWORKS.items() if framework != package for name in names}
        in_core = package == "agentcore_rl"
        if (
            top in others
            or top == "torch"
            or (top in OURS and top not in {package, "agentcore_rl"})
            or (in_core and top in ONLY_IN_AWS and not where.startswith("agentcore_rl/aws/"))
            or (in_core and top in HTTP_CLIENTS and where != WIRE)
        ):
            wrong.append(f"{where} imports {module}")
    assert wrong == []


def test_importing_core_is_light():
    """`import agentcore_rl` brings neither AWS's SDKs nor pydantic, an HTTP client or a framework."""
    heavy = (
        ONLY_IN_AWS | HTTP_CLIENTS | set().union(*FRAMEWORKS.values()) | {"openai", "pydantic", "starlette"}
    )
    code = "import sys, agentcore_rl; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & heavy == set()
