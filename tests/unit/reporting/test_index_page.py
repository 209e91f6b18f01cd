"""The index pages: their links reach the results from wherever they are, and nothing in a name is more than text."""

import base64
import hashlib
import json
import re
from decimal import Decimal
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from dropbatch.domain.pages import ListedJob, folders_of_pages, page_key, page_of_all
from dropbatch.domain.quotes import Dollars
from dropbatch.reporting.index_page import index_html, index_json
from tests.fakes import FakeContext

ID = "20261127T060000Z-0123456789ab"


def listed(key: str = "lake/a.csv", state: str = "succeeded", **members: Any) -> ListedJob:
    defaults: dict[str, Any] = {"version_id": "v1", "run": 1, "status": state, "dropped_at": 1_764_223_200}
    return ListedJob("", ID, key=key, state=state, **{**defaults, **members})


class Page(HTMLParser):
    """The links, the tags and the text of a page."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(tmp_path: Path) -> Any:
    context = FakeContext(tmp_path).context
    return lambda folder, *jobs: index_html(context, folder, jobs)


ENDED = listed(
    ended_at=1_764_226_800,
    changed_at=1_764_226_801,
    total=5,
    outcomes={"ok": 3, "error": 1, "skipped": 1},
    paid_usd=Decimal("1.234567"),
    saved_usd=Decimal("1.2"),
    quote_usd=Dollars(Decimal("0.5"), Decimal(1), Decimal(2)),
)


def test_index_json_has_all_that_is_known_of_a_job() -> None:
    assert json.loads(index_json([ENDED])) == {
        "schema_version": 1,
        "jobs": [
            {
                "job_id": ID,
                "key": "lake/a.csv",
                "folder": "lake",
                "version_id": "v1",
                "run": 1,
                "state": "succeeded",
                "status": "succeeded",
                "dropped_at": "2025-11-27T06:00:00Z",
                "changed_at": "2025-11-27T07:00:01Z",
                "ended_at": "2025-11-27T07:00:00Z",
                "rows": {"total": 5, "ok": 3, "error": 1, "skipped": 1},
                "paid_usd": 1.23457,
                "saved_usd": 1.2,
                "quote_usd": {"low": 0.5, "likely": 1.0, "high": 2.0},
                "results_prefix": f"lake/a.csv/{ID}/",
            }
        ],
    }


def test_what_is_not_known_is_absent() -> None:
    (found,) = json.loads(index_json([listed("a.csv", "held", held_reason="cost", run=0)]))["jobs"]
    assert found["held_reason"] == "cost"
    assert found["folder"] == "/"
    assert {"run", "ended_at", "paid_usd", "saved_usd", "quote_usd"}.isdisjoint(found)


def test_a_page_says_how_many_rows_what_they_cost_and_for_what_a_job_waits(page: Any) -> None:
    text = Page(page("", ENDED, listed(state="held", held_reason="openai_key"))).text
    for shown in ("3 of 4", "$1.23", "$1.20", "waits for an OpenAI API key", "27 Nov 2025, 06:00 UTC"):
        assert shown in text
    assert "waits for an approval" in Page(page("", listed(state="held", held_reason="cost"))).text
    assert "No file was dropped yet" in Page(page("")).text


def test_names_break_after_signs_and_not_within_words(page: Any) -> None:
    html = page("", listed("lake/month=2026-11/<b>a_long-name.csv")).decode()
    assert "&lt;b&gt;a_<wbr>long-<wbr>name.csv" in html
    assert "lake/<wbr>month=<wbr>2026-<wbr>11/" in html


UGLY = [
    "a b/ü😀/100%?#.csv",
    "//double//slashes.csv",
    "javascript:alert(1)/x.csv",
    'quo"te/<script>alert(1)</script>.csv',
    "a/b/c/d.csv",
    "plain.csv",
]


@pytest.mark.parametrize("key", UGLY)
@pytest.mark.parametrize("of_root", [True, False])
def test_links_lead_from_the_page_to_the_files_of_the_job(page: Any, key: str, of_root: bool) -> None:
    folder = "" if of_root else folders_of_pages(key)[-1]
    found = Page(page(folder, listed(key, total=1, outcomes={"ok": 1})))
    reached = {_reached(page_key(folder), link) for link in found.links}
    prefix = f"{key}/{ID}/"
    others = {page_key(own) for own in folders_of_pages(key)}
    assert {prefix + "report.html", prefix + "summary.json"} <= reached
    assert reached <= {prefix + "report.html", prefix + "summary.json", *others}
    assert found.tags.count("script") == 1, "its own, which its policy allows"


def _reached(page: str, link: str) -> str:
    """Return the key that a browser reaches from a page. Unlike Python's `urljoin`, it keeps empty folders."""
    assert not re.search("[?#:]", link), "nothing but a path"
    folders = page.split("/")[:-1]
    *steps, name = link.split("/")
    for step in steps:
        if step == "..":
            folders.pop()
        elif step != ".":
            folders.append(unquote(step))
    return "/".join([*folders, unquote(name)])


@pytest.mark.parametrize("key", ["a/../b.csv", "./c.csv", "../d.csv"])
def test_a_key_that_no_link_can_reach_has_none(page: Any, key: str) -> None:
    found = Page(page("", listed(key, outcomes={"ok": 1})))
    assert found.links == []
    assert key.rpartition("/")[2] in found.text


@pytest.mark.parametrize(
    ("job", "names"),
    [
        (ENDED, {"report.html", "summary.json"}),
        (listed(state="failed"), {"summary.json"}),
        (listed(state="rejected"), {"report.html", "rejected.json"}),
        (listed(state="rejected", status="duplicate"), set()),
        (listed(state="running"), {"status.json", "quote.json"}),
        (listed(state="held", held_reason="cost"), {"approval.html", "status.json"}),
        (listed(state="held", held_reason="canary"), {"canary.html", "status.json"}),
        (listed(state="held", held_reason="openai_key"), {"status.json", "quote.json"}),
    ],
)
def test_a_job_links_the_files_that_it_has(page: Any, job: ListedJob, names: set[str]) -> None:
    links = [link for link in Page(page("lake", job)).links if link != "../index.html"]
    assert {link.rpartition("/")[2] for link in links} == names


def test_the_policy_of_the_page_allows_its_own_style_and_script_and_nothing_else(page: Any) -> None:
    html = page("", listed()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', html)
    hashes = []
    for tag in ("style", "script"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        hashes.append(base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())
    style, script = hashes
    assert unescape(policy) == (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    assert {"img", "link", "iframe"}.isdisjoint(Page(html.encode()).tags)
    assert ' style="' not in html


@pytest.mark.parametrize(
    ("key", "folders"),
    [
        ("a.csv", [""]),
        ("a/b/c.csv", ["", "a/b"]),
        ("x" * 900 + "/a.csv", ["", "x" * 900]),
        ("ü" * 451 + "/a.csv", [""]),
    ],
)
def test_a_job_is_on_the_page_of_its_folder_and_on_that_of_all(key: str, folders: list[str]) -> None:
    assert folders_of_pages(key) == folders


@pytest.mark.parametrize(
    ("folders", "page"),
    [
        (["/"], "index.html"),
        (["a/b"], "a/b/index.html"),
        (["a", "b"], "index.html"),
        (["x" * 901], "index.html"),
    ],
)
def test_a_message_about_several_folders_links_the_page_of_all(folders: list[str], page: str) -> None:
    assert page_of_all(folders) == page
