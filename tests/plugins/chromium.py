"""A Chromium that opens pages as their readers do; without one, tests are skipped with a sentence."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

__all__ = ["FLAGS", "chromium_path", "running_chromium"]

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium_path() -> str | None:
    """The browser's program: CHROMIUM of the environment, else the first that is installed."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def running_chromium() -> Iterator[Any]:
    """A browser of playwright's; it ends with the block."""
    path = chromium_path()
    if path is None:
        pytest.skip("No Chromium is installed here (set CHROMIUM to its program): pages are not opened.")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pages are not opened."
    )
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
