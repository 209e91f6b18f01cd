"""The pages for people in a real browser: they fit, a screen reader can read them, and nothing of a row runs."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, expect

from dropbatch.reporting.report_page import MAX_BYTES
from tests.pages.browser import NoBrowserError, chromium, install, opened
from tests.pages.made_pages import ARABIC, PAGES

pytestmark = pytest.mark.slow


def install_or_leave_out() -> None:
    """Install the browser. Without one these tests are left out, but never by continuous integration."""
    try:
        install()
    except NoBrowserError as error:
        if os.environ.get("CI"):
            raise
        # These tests need Chromium, which not everybody may install; the end of `make test` says why they are missing.
        pytest.skip(f"the page tests are left out: {error}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run one browser for all tests."""
    install_or_leave_out()
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Make each page once, as a file."""
    folder = tmp_path_factory.mktemp("pages")
    for name, make in PAGES.items():
        (folder / f"{name}.html").write_bytes(make(folder))
    return {name: folder / f"{name}.html" for name in PAGES}


@pytest.mark.parametrize("width", [400, 1_400])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_reaches_beyond_the_window(browser: Browser, pages: Mapping[str, Path], name: str, width: int) -> None:
    with opened(browser, pages[name], width=width) as found:
        assert not found.too_wide()
        found.open_details()
        assert not found.too_wide()
        assert not found.complaints
        assert not found.requests


@pytest.mark.parametrize("name", [name for name in PAGES if name != "million_rows"])
def test_axe_finds_nothing_in_light_and_in_dark(browser: Browser, pages: Mapping[str, Path], name: str) -> None:
    with opened(browser, pages[name], width=1_000) as found:
        found.open_details()
        assert not found.violations()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_any_job_is_small(pages: Mapping[str, Path], name: str) -> None:
    assert pages[name].stat().st_size <= MAX_BYTES


@pytest.mark.parametrize("name", ["succeeded", "partly_failed", "million_rows"])
def test_the_verdict_and_four_numbers_are_seen_at_once(browser: Browser, pages: Mapping[str, Path], name: str) -> None:
    with opened(browser, pages[name], width=400) as found:
        assert found.page.locator(".figures dd").count() == 4
        box = found.page.locator(".figures").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 700


@pytest.mark.parametrize("name", ["succeeded", "partly_failed", "rejected", "held"])
def test_it_prints_on_one_sheet(browser: Browser, pages: Mapping[str, Path], name: str) -> None:
    with opened(browser, pages[name]) as found:
        pdf = found.page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type /Page\b(?!s)", pdf)) == 1


def test_no_script_of_a_row_runs_and_nothing_is_fetched(browser: Browser, pages: Mapping[str, Path]) -> None:
    with opened(browser, pages["hostile"]) as found:
        found.open_details()
        found.page.locator("#search").fill("script")
        found.page.wait_for_timeout(200)
        assert found.page.evaluate("window.stolen") is None
        assert not found.requests
        assert not found.complaints
        assert found.page.locator("main script, main img, main iframe, main base, main link, main meta").count() == 0
        expect(found.page.locator("h1")).to_have_text("<img src=x onerror=alert(1)>.jsonl")


def test_the_policy_would_stop_what_was_not_escaped(browser: Browser, pages: Mapping[str, Path]) -> None:
    with opened(browser, pages["hostile"]) as found:
        found.page.evaluate(
            """() => {
              const script = document.createElement("script");
              script.textContent = "window.stolen = 1";
              document.body.append(script);
              document.body.insertAdjacentHTML("beforeend",
                "<img src='https://attacker.example/x.png'><img src='data:x' onerror='window.stolen = 2'>");
            }"""
        )
        found.page.wait_for_timeout(200)
        assert found.page.evaluate("window.stolen") is None
        assert len(found.complaints) >= 3, "each of the three is refused"
        with pytest.raises(Error, match=r"Failed to fetch|NetworkError|Content Security"):
            found.page.evaluate("fetch('https://attacker.example/')")


def test_the_menu_chooses_a_cross_table(browser: Browser, pages: Mapping[str, Path]) -> None:
    with opened(browser, pages["succeeded"]) as found:
        tables, menu = found.page.locator("[data-choice]"), found.page.locator("#menu")
        assert tables.count() > 3
        expect(tables.nth(0)).to_be_visible()
        expect(tables.nth(1)).to_be_hidden()
        menu.select_option(index=1)
        expect(tables.nth(0)).to_be_hidden()
        expect(tables.nth(1)).to_be_visible()
        expect(tables.nth(1)).to_contain_text("North")


def test_the_search_finds_rows(browser: Browser, pages: Mapping[str, Path]) -> None:
    with opened(browser, pages["succeeded"]) as found:
        found.page.get_by_text("The first 200 of 400 rows").click()
        rows = found.page.locator("#rows tbody tr")
        expect(rows).to_have_count(200)
        found.page.get_by_label("Find").fill("DELIVERED TO the neighbour")
        shown = found.page.locator("#rows tbody tr:visible")
        assert 0 < shown.count() < 200
        expect(found.page.locator("#found")).to_have_text(f"{shown.count()} of 200 rows")
        expect(shown.first).to_contain_text("Delivered to the neighbour")


def test_without_scripts_all_is_there_but_the_choices(browser: Browser, pages: Mapping[str, Path]) -> None:
    with opened(browser, pages["succeeded"], scripts=False) as found:
        expect(found.page.locator("[data-choice]").nth(0)).to_be_visible()
        expect(found.page.locator("#menu")).to_be_hidden()
        expect(found.page.locator("#search")).to_be_hidden()
        expect(found.page.locator("time").first).to_contain_text("UTC")


@pytest.mark.parametrize("name", ["succeeded", "arabic_and_emoji"])
def test_each_chart_can_be_read_as_text(browser: Browser, pages: Mapping[str, Path], name: str) -> None:
    with opened(browser, pages[name]) as found:
        for chart in found.page.locator("figure").all():
            assert chart.locator("h3").inner_text()
            if chart.locator("svg[role=img]").count():
                label = chart.locator("svg[role=img]").get_attribute("aria-label") or ""
                assert re.search(r"\d: [\d,]+;|\S+: [\d,]+", label)
            elif chart.locator("table").count():
                assert chart.locator("td.n").first.inner_text()


def test_arabic_runs_from_right_to_left(browser: Browser, pages: Mapping[str, Path]) -> None:
    with opened(browser, pages["arabic_and_emoji"]) as found:
        found.open_details()
        cell = found.page.locator("#rows td.text", has_text=ARABIC[0]).first
        edges = cell.evaluate(
            """cell => {
              const range = document.createRange();
              range.selectNodeContents(cell);
              const text = range.getBoundingClientRect(), box = cell.getBoundingClientRect();
              return [text.left - box.left, box.right - text.right];
            }"""
        )
        assert edges[1] <= 24, "its text begins at the right edge, behind the space between two columns"


@pytest.mark.parametrize(("in_ci", "outcome"), [(True, NoBrowserError), (False, pytest.skip.Exception)])
def test_only_a_developer_may_leave_the_page_tests_out(
    monkeypatch: pytest.MonkeyPatch, in_ci: bool, outcome: type[BaseException]
) -> None:
    def missing() -> None:
        raise NoBrowserError("there is no Chromium")

    monkeypatch.setattr(sys.modules[__name__], "install", missing)
    monkeypatch.setenv("CI", "true") if in_ci else monkeypatch.delenv("CI", raising=False)
    with pytest.raises(outcome, match="there is no Chromium"):
        install_or_leave_out()
