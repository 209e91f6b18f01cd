"""The documents name tests, figures, files and filters that exist."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import dropbatch
from dropbatch.domain.outcomes import Outcome
from dropbatch.formats.file_types import KINDS
from tests.infra.reading import Loader, Template, of_type, references

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "maintainers"


def test_every_test_named_for_a_failure_exists() -> None:
    text = (PAGES / "failures.md").read_text()
    named = re.findall(r"`((?:[a-z0-9_]+/)+test_\w+\.py)(?:::(\w+))?`", text)
    named += [("schedules/test_outages.py", function) for function in re.findall(r"`(test_\w+)`", text)]
    assert len(named) > 120
    for file, function in named:
        source = (ROOT / "tests" / file).read_text()
        assert not function or f"def {function}(" in source, f"{file}::{function}"


def test_every_documented_filter_passes_events_that_wait_for_a_person() -> None:
    """Without `held`, a program waits for a job that waits for a person, and nobody knows."""
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    shown = [found for file in files for found in re.findall(r'event\\?": ?\[(.*?)\]', file.read_text())]
    assert shown
    assert [policy for policy in shown if "held" not in policy] == []


def test_every_filter_of_the_operators_page_is_json() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    attributes = re.findall(r"--attributes '(\{.*?\})'", text, re.DOTALL)
    policies = [json.loads(json.loads(found)["FilterPolicy"]) for found in attributes]
    assert len(policies) == 2
    assert all(policy["folder"] == ["lake", {"prefix": "lake/"}] for policy in policies)


def test_the_address_for_the_results_fits_the_template(written: Template) -> None:
    """The snippets of the operators' page, put into the template as the page says."""
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text[text.index("## An address for the results") : text.index("## Now and then")]
    added, statement = (
        yaml.load(found, Loader=Loader) for found in re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    )
    assert set(of_type(added, "AWS::CloudFront::Distribution")) == {"ResultsSite"}
    assert not added.keys() & written["Resources"].keys()
    known = {*written["Resources"], *added, "AWS::StackName", "AWS::Partition", "AWS::AccountId"}
    assert references([added, statement]) <= known
    (allowed,) = statement
    assert (allowed["Effect"], allowed["Action"]) == ("Allow", "s3:GetObject")
    assert "ResultsSite" in references(allowed["Condition"]), "no other distribution may read"
    config = added["ResultsSite"]["Properties"]["DistributionConfig"]
    assert config["WebACLId"]
    assert config["DefaultRootObject"] == "index.html"


@pytest.mark.parametrize("page", ["docs/use.md", "docs/glossary.md"])
def test_each_outcome_is_explained(page: str) -> None:
    assert set(Outcome) <= set(re.findall(r"`(\w+)`", (ROOT / page).read_text()))


def test_each_extension_is_named() -> None:
    assert set(KINDS) <= set(re.findall(r"`(\w+)`", (ROOT / "docs" / "use.md").read_text()))


LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
"""The target of a link or a picture of a page, without its anchor."""


def test_every_link_to_a_file_has_a_target() -> None:
    pages = [*Path().glob("*.md"), *Path("docs").rglob("*.md"), *Path("examples").rglob("*.md")]
    found = [(page, link) for page in pages for link in LINK.findall(page.read_text()) if "://" not in link]
    assert len(found) > 40
    assert [(str(page), link) for page, link in found if not (page.parent / link).exists()] == []


def test_the_changelog_begins_with_the_version_of_the_code() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    releases = re.findall(r"^## \[(.+?)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert releases[0] == project["version"] == dropbatch.__version__
    assert [package["version"] for package in locked if package["name"] == project["name"]] == [releases[0]]


PLACES = (ROOT, ROOT / "layers" / "core" / "dropbatch", ROOT / "local" / "openai_emulator", ROOT / "tests")
"""The folders below which the pages for developers name files."""


DEVELOPERS = ["CONTRIBUTING.md", "SECURITY.md", "docs/architecture.md", "docs/glossary.md"]
DEVELOPERS += [f"docs/maintainers/{page.name}" for page in PAGES.glob("*.md")]

UNTRACKED = {"deploy.toml", "ends/", "a/b"}
"""A file of the owner, a folder of the work bucket, and a value of a recipe: what looks like a file and is none."""


@pytest.mark.parametrize("page", DEVELOPERS)
def test_every_file_that_a_page_for_developers_names_exists(page: str) -> None:
    named = re.findall(r"`([\w./-]+/[\w.*-]*|[\w-]+\.(?:py|toml|lock))`", (ROOT / page).read_text())
    named = [name for name in named if name[0] not in "/." and name not in UNTRACKED]  # `/v1/…`, `.local/…`
    assert named
    assert [name for name in named if not any(any(place.glob(name)) for place in PLACES)] == []
