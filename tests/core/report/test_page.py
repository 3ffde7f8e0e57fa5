"""The page around what a report carries."""

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

import pytest

from agentcore_rl.report.page import page_end, page_script, page_start

PAGE = files("agentcore_rl.report").joinpath("page")


def whole(title: str = "run") -> str:
    """An empty page."""
    return (b"".join(page_start(title)) + page_script() + page_end()).decode()


def test_nothing_but_our_script_and_style_may_run():
    """The policy names both by their hashes, lets nothing else in, and no text become markup."""
    page = whole()
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    for kind, element in (("script", "script"), ("style", "style")):
        [text] = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = b64encode(sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    for rule in ("default-src 'none'", "base-uri 'none'", "form-action 'none'", "trusted-types 'none'"):
        assert rule in policy
    assert "unsafe" not in policy


def test_the_page_asks_for_nothing():
    """No address in it is outside; no attribute runs anything."""
    page = whole()
    addresses = set(re.findall(r"https?://[\w./]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|img|iframe|object|embed|base)\b", page)
    assert not re.search(r"\son\w+=", page.partition("<style>")[0])


def test_no_text_becomes_markup():
    """The script uses none of the ways from a text to elements or to code."""
    script = page_script().decode()
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "new Function",
        "srcdoc",
    ):
        assert way not in script


def test_a_hostile_title():
    """A run's id closes nothing and is shown without what cannot be seen."""
    page = whole('</title><script>"\u202e&')
    [title] = re.findall(r"<title>(.*?)</title>", page)
    assert "<" not in title
    assert "\u202e" not in title


def test_every_file_is_in_the_page():
    """A script or style beside the others is not forgotten."""
    page = whole()
    for file in PAGE.iterdir():
        if file.name.endswith((".js", ".css")):
            assert file.read_text(encoding="utf-8") in page, file.name


def _colours(scheme: str) -> dict[str, tuple[float, ...]]:
    """The colours of one scheme, each as red, green and blue from 0 to 1."""
    text = PAGE.joinpath("colours.css").read_text(encoding="utf-8")
    return {
        name: tuple(int(pair[scheme == "dark"][at : at + 2], 16) / 255 for at in (0, 2, 4))
        for name, *pair in re.findall(r"--([\w-]+): light-dark\(#(\w{6}), #(\w{6})\);", text)
    }


def _luminance(colour: tuple[float, ...]) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_read(scheme):
    """Every colour of text has a contrast of at least 4.5 on what it is drawn on (WCAG 2.2, 1.4.3)."""
    colours = _colours(scheme)
    pairs = [
        (ink, on) for ink in ("ink", "faint", "accent", "good", "bad", "warn") for on in ("ground", "surface")
    ]
    pairs += [("ink", "raised"), ("faint", "raised"), ("ground", "ink")]
    pairs += [(name, f"{name}-soft") for name in ("accent", "good", "bad", "warn")]
    pairs += [("ink", "accent-soft"), ("faint", "accent-soft")]
    pairs += [("token-ink", f"p{step}") for step in range(8)]
    for ink, on in pairs:
        light, dark = sorted((_luminance(colours[ink]), _luminance(colours[on])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, on)
