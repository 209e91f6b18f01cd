"""Chromium for the tests of the pages, and what they ask of an open page."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request, sync_playwright

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome")


class NoBrowserError(Exception):
    """Chromium or axe-core is missing, and cannot be installed."""


def install() -> None:
    """Install Chromium and axe-core, unless they are there. Raise NoBrowserError if that fails."""
    done = subprocess.run(["/bin/sh", str(ROOT / "local/browser.sh")], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoBrowserError((done.stderr.strip() or "the installation failed").splitlines()[-1])


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's Chromium."""
    path = next(found for name in NAMES if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@dataclass
class Opened:
    """An open page, with what it requested beside itself, and what it complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open_details(self) -> None:
        self.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")

    def too_wide(self) -> list[str]:
        """Return the elements that reach beyond the window, except those in a box that scrolls."""
        found: list[str] = self.page.evaluate(_TOO_WIDE)
        return found

    def violations(self) -> list[str]:
        """Return what axe finds wrong for people who use a screen reader, and contrasts that are too low in the dark.

        Most of the first rows are removed before, because all are alike and axe looks at each.
        """
        self.page.evaluate("document.querySelectorAll('#rows tbody tr:nth-child(n + 9)').forEach(row => row.remove())")
        light: dict[str, Any] = self.page.evaluate(f"{_axe()}; axe.run({{resultTypes: ['violations']}})")
        self.page.emulate_media(color_scheme="dark")
        dark: dict[str, Any] = self.page.evaluate("axe.run({runOnly: ['color-contrast']})")
        found = [*light["violations"], *dark["violations"]]
        return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]


@contextmanager
def opened(browser: Browser, path: Path, *, width: int = 1_400, scripts: bool = True) -> Iterator[Opened]:
    """Open a page from a file. Requests for anything else are recorded, and fail."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="light", java_script_enabled=scripts
    )
    page = context.new_page()
    found = Opened(page)

    def requested(request: Request) -> None:
        if request.url != path.as_uri():
            found.requests.append(request.url)

    page.on("request", requested)
    page.on("console", lambda message: found.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.goto(path.as_uri())
    yield found
    context.close()


@cache
def _axe() -> str:
    return (ROOT / ".local/axe/node_modules/axe-core/axe.min.js").read_text()


_TOO_WIDE = """
() => {
  const wide = [...document.querySelectorAll("body *")].filter(each =>
    !each.closest(".scroll > *, .unseen, svg > *") && each.getBoundingClientRect().right > innerWidth + 1);
  const whole = document.documentElement.scrollWidth > innerWidth ? ["the page itself"] : [];
  return [...whole, ...wide.map(each => each.outerHTML.slice(0, 120))];
}
"""
