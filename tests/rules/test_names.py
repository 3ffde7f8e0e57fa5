"""What has a public name says what it is, and says it in the project's words."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = sorted(path for path in ROOT.glob("packages/*/src/*") if path.is_dir())

# docs/glossary.md: words that say nothing, or that mean something else to every reader.
FORBIDDEN = {
    *("base", "common", "context", "data", "episode", "event", "handler", "helper", "helpers", "info", "job"),
    *("manager", "misc", "result", "results", "shared", "util", "utils", "worker"),
}
# Fixed by somebody else's interface.
EXEMPT = {"TrainingResult", "RolloutData"}


def _modules() -> Iterator[tuple[Path, ast.Module]]:
    for folder in OURS:
        for path in sorted(folder.rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Top-level statements, those under `if TYPE_CHECKING` included."""
    for node in tree.body:
        yield from node.body if isinstance(node, ast.If) else [node]


def _defines(node: ast.stmt) -> set[str]:
    """Classes and functions, the names that a module is read for."""
    wanted = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name} if isinstance(node, wanted) else set()


def _assigns(node: ast.stmt) -> set[str]:
    targets = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign)
        else []
    )
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _passes_on(node: ast.stmt) -> set[str]:
    """Names imported from the package itself or from another of ours."""
    if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("agentcore_rl")):
        return {alias.asname or alias.name for alias in node.names}
    return set()


def _declared(tree: ast.Module) -> set[str] | None:
    for node in tree.body:
        if _assigns(node) == {"__all__"} and isinstance(node, ast.Assign):
            return set(ast.literal_eval(node.value))
    return None


def test_all_is_what_is_there():
    """`__all__` names every public class and function of a module, and nothing that is not there.

    A package's own `__all__` is, exactly, what it defines or passes on.
    """
    wrong = {}
    for path, tree in _modules():
        declared = _declared(tree)
        if declared is None:
            continue
        nodes = list(_statements(tree))
        defined = set().union(*map(_defines, nodes))
        passed_on = set().union(*map(_passes_on, nodes))
        there = defined | passed_on | set().union(*map(_assigns, nodes))
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        package = path.parent in OURS and path.name == "__init__.py"
        expected = defined | (passed_on - used) if package else defined
        left_out = {name for name in expected - declared if not name.startswith("_")}
        if differing := (declared - there) | left_out:
            wrong[str(path.relative_to(ROOT))] = sorted(differing)
    assert wrong == {}


def test_public_names_are_documented():
    """Every name in an `__all__` has a docstring where it is defined; a constant, a string beneath it."""
    said: dict[str, bool] = {}
    public: dict[str, str] = {}
    for path, tree in _modules():
        public |= dict.fromkeys(_declared(tree) or (), str(path.relative_to(ROOT)))
        for node, below in pairwise([*tree.body, ast.Pass()]):
            for name in _defines(node):
                said[name] = said.get(name, False) or ast.get_docstring(node) is not None  # type: ignore[arg-type]
            for name in _assigns(node):
                words = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                said[name] = said.get(name, False) or words
    missing = {name: where for name, where in public.items() if not said.get(name, True)}
    assert {name: where for name, where in missing.items() if not name.startswith("__")} == {}


def test_names_are_in_the_projects_words():
    """No file and no class is named with a word that the glossary forbids."""
    wrong = []
    for path, tree in _modules():
        inside = path.relative_to(next(folder for folder in OURS if path.is_relative_to(folder)))
        words = {word for part in inside.with_suffix("").parts for word in part.split("_")}
        wrong += [f"{path.relative_to(ROOT)}: {word}" for word in words & FORBIDDEN]
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name not in EXEMPT:
                words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*", node.name)}
                wrong += [f"{path.relative_to(ROOT)}: class {node.name}" for _ in words & FORBIDDEN]
    assert wrong == []
