"""Finding the one app of a file, without knowing the SDK."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentcore_rl.exceptions import AppNotFound
from agentcore_rl.local_runtime.app_file import find_app_file, load_app

APP = """
class Looks:
    def __init__(self, *names):
        self.handlers = dict.fromkeys(names)
    def get_current_ping_status(self): ...
"""


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Writes an app file and gives its path; forgets afterwards what was imported from it."""
    modules, path = set(sys.modules), list(sys.path)

    def write(code: str, name: str = "an_app.py") -> str:
        (tmp_path / name).write_text(APP + code)
        return str(tmp_path / name)

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_the_one_app_is_found(write, tmp_path):
    """Under whatever names; the file's folder is importable, and it is not run as a script."""
    (tmp_path / "neighbour.py").write_text("entrypoint = 'main'\n")
    app = load_app(
        write("import neighbour\nfirst = same = Looks(neighbour.entrypoint)\nran = __name__\nkind = Looks\n")
    )
    assert "main" in app.handlers
    module = sys.modules["an_app"]
    assert (module.ran, module.first) == ("an_app", app)


def test_a_name_picks_one_of_several(write):
    """Several apps are refused without a name, which the error spells."""
    file = write("one, two = Looks('main'), Looks('main')\n")
    with pytest.raises(AppNotFound, match=r"makes the apps one, two: name one, as an_app\.py:one"):
        load_app(file)
    assert load_app(f"{file}:two") is sys.modules["an_app"].two
    with pytest.raises(AppNotFound, match=r"makes no app named 'three'; it makes: one, two"):
        load_app(f"{file}:three")


def test_a_file_may_be_named_like_a_module(write):
    """An app file called json.py takes nobody's place."""
    import json

    assert load_app(write("app = Looks('main')\n", "json.py")).handlers
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("", r"an_app\.py makes no app: write one at top level"),
        ("app = Looks()\n", r"The app 'app' of an_app\.py has no entrypoint: .* @app\.rollout_entrypoint"),
        ("1 / 0\n", r"Importing an_app\.py failed: ZeroDivisionError: division by zero"),
        ("def broken(:\n", r"Importing an_app\.py failed: SyntaxError: invalid syntax"),
        ("raise SystemExit('no model')\n", r"Importing an_app\.py failed: SystemExit: no model"),
    ],
)
def test_what_is_wrong_is_one_sentence(write, code, reason):
    """No app, no entrypoint, a failing import: each says what and where."""
    with pytest.raises(AppNotFound, match=reason) as raised:
        load_app(write(code))
    assert "\n" not in str(raised.value)


def test_a_missing_file(tmp_path):
    """A path that leads nowhere is said as it was given."""
    with pytest.raises(AppNotFound, match=r"There is no app file lost/rl_app\.py: give the path"):
        find_app_file("lost/rl_app.py:app")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(AppNotFound, match=r"notes\.txt is no Python file"):
        load_app(str(tmp_path / "notes.txt"))
