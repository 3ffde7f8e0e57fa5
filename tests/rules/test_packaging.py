"""What is committed can be installed anywhere, and is released together."""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Folders of one person's machine, and hosts that packages are downloaded from.
MACHINE = re.compile(r"(?<![\w.~})-])/(work|root|opt|home|Users)/[\w.-]+")
HOSTS = re.compile("|".join(rf"{name}\.(org|com)\b" for name in ("pypi", "pythonhosted", "npmjs", "debian")))


def test_pins_have_hashes_and_no_addresses():
    """Every pin is `name==version` with hashes; nothing says where it comes from; torch is none of them."""
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text().replace("\\\n", " ")
        for line in text.splitlines():
            assert re.fullmatch(r"[a-z0-9-]+==[\w.+!]+( ; [^/@]+?)?( +--hash=sha256:[0-9a-f]{64})+", line), (
                line
            )
            # The peer's name begins like ours.
            assert not line.removeprefix("agentcore-rl-toolkit==").startswith(("torch==", "agentcore-rl"))


def test_every_adapter_has_pins_of_its_own():
    """Core alone, and each adapter at its lowest and its newest; no pins of what is gone."""
    packages = [*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("examples/adapters/*/pyproject.toml")]
    names = {path.parent.name for path in packages} - {"core", "gateway"}
    expected = {"dev", "uv", "core", "ministack"} | {
        f"{name}-{kind}" for name in names for kind in ("lowest", "newest")
    }
    assert {path.stem for path in (ROOT / "requirements").glob("*.txt")} == expected


def test_lowest_is_what_packages_ask_for():
    """What a package asks for at least is what its lowest pins hold, or the next that its framework takes."""
    for path in [*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("examples/adapters/*/pyproject.toml")]:
        if path.parent.name in ("core", "gateway"):
            continue
        pins = dict(re.findall(r"^([a-z0-9-]+)==([\d.]+)", _pins(f"{path.parent.name}-lowest"), re.MULTILINE))
        needs = tomllib.loads(path.read_text())["project"]["dependencies"]
        for need in (need for need in needs if not need.startswith("agentcore-rl")):
            name, floor = re.match(r"([\w-]+)(?:\[.*?\])?>=([\d.]+)", need).groups()
            assert _numbers(pins[name])[:2] == _numbers(floor)[:2], f"{path.parent.name}: {need}"


def _pins(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def test_nothing_names_a_machine_or_a_registry():
    """No tracked file holds a path of somebody's machine or the host of a package registry."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    wrong = []
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        if path.is_symlink() or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        wrong += [f"{name}: {found[0]}" for rule in (MACHINE, HOSTS) for found in rule.finditer(text)]
    assert wrong == []


def test_packages_are_released_together():
    """The workspace, its packages, and what they require of each other: one version, one licence, typed."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for path in ROOT.glob("packages/*/pyproject.toml"):
        project = tomllib.loads(path.read_text())["project"]
        assert project["version"] == version
        core = [need for need in project["dependencies"] if re.match(r"agentcore-rl\b(?!-)", need)]
        assert core == ([] if project["name"] == "agentcore-rl" else [f"agentcore-rl=={version}"])
        assert list(path.parent.glob("src/*/py.typed"))
        # A copy: a link would leave the sdist without its licence.
        assert (path.parent / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
