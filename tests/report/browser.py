"""A headless Chromium, where the distribution's and playwright are installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import sync_playwright


def executable() -> str | None:
    """The browser, None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


@contextmanager
def browser() -> Iterator[Any]:
    """A page of a browser; complaints of pages are in its list ``complaints``."""
    with sync_playwright() as driver:
        process = driver.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        page = process.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.set_default_timeout(60000)  # [ms]: other tests use the processors as well
        page.complaints = []
        page.on(
            "console",
            lambda said: said.type in {"error", "warning"} and page.complaints.append(said.text),
        )
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on(
            "requestfailed", lambda request: page.complaints.append(f"{request.url}: not loaded")
        )
        yield page
        process.close()
