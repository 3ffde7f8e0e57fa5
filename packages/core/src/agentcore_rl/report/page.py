"""The page around what a report carries: shell, style, script, and the policy that lets nothing else run."""

from __future__ import annotations

import html
import re
from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.resources import files

__all__ = ["page_end", "page_script", "page_start"]

_STYLES = ("colours.css", "page.css", "overview.css", "table.css", "transcript.css", "places.css")
_SCRIPTS = (
    "dom.js",
    "rows.js",
    "address.js",
    "charts.js",
    "overview.js",
    "filters.js",
    "table.js",
    "timeline.js",
    "tokens.js",
    "turns.js",
    "transcript.js",
    "compare.js",
    "page.js",
)


def page_start(title: str) -> Iterator[bytes]:
    """Everything up to the blocks.

    Args:
        title: of the window; any text.
    """
    shell, style, script = _parts()
    # No source of anything but this script and this style; and no way from a text to markup
    # (https://www.w3.org/TR/CSP3/, https://www.w3.org/TR/trusted-types/).
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    readable = re.sub(r"[^\w .,:()/·-]", "�", title)
    head, _, rest = shell.partition("<!-- style -->")
    head = head.replace("{policy}", policy).replace("{title}", html.escape(readable))
    yield head.encode()
    yield f"<style>{style}</style>".encode()
    yield rest.partition("<!-- blocks -->")[0].encode()


def page_script() -> bytes:
    """The script. It stands behind the index and before the chunks, which it does not wait for."""
    return f"<script>{_parts()[2]}</script>\n".encode()


def page_end() -> bytes:
    """Everything behind the blocks."""
    return _parts()[0].partition("<!-- blocks -->")[2].encode()


@cache
def _parts() -> tuple[str, str, str]:
    """Shell, style and script, from the files beside this module."""
    folder = files("agentcore_rl.report").joinpath("page")
    style, scripts = (
        "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)
        for names in (_STYLES, _SCRIPTS)
    )
    script = f'(() => {{\n"use strict";\n{scripts}\n}})();'
    return (
        folder.joinpath("shell.html").read_text(encoding="utf-8"),
        style,
        script,
    )


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
