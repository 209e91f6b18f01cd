"""No file names a model that will be shut down soon: the table of published dates fails this test months before."""

import re
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from dropbatch.batch_api.deprecations import find_shutdown
from dropbatch.batch_api.models import base_of
from tests.unit.money.test_cost_meter import ENDING

ROOT = Path(__file__).parents[2]

NOTICE_DAYS = 92
"""Three months: long enough to choose another model, and to publish a version that names it."""

FACTS = ("billing", "deprecations", "media_tokens", "models", "tool_fees")
TABLES = {f"layers/core/dropbatch/batch_api/{name}.py" for name in FACTS}
TABLES.add("local/openai_emulator/retired.py")
TESTS = {
    "tests/unit/money/openai_prices.csv",
    "tests/unit/money/test_prices.py",
    "tests/unit/batch_api/test_deprecations.py",
    "tests/unit/batch_api/test_models.py",
    "tests/unit/batch_api/test_tool_fees.py",
    "tests/scenarios/test_model_check.py",
    "tests/scenarios/test_model_notices.py",
    "tests/unit/emulator/test_models.py",
    "tests/unit/recipes/test_refused_by_model.py",
    "tests/infra/test_models_named.py",
}
EXEMPT = {*TABLES, *TESTS, "uv.lock", "LICENSE"}
"""Tables of facts about models and their tests, and files that name no models."""

ALLOWED = {
    "tests/unit/money/test_cost_meter.py": {model for models in ENDING.values() for model in models},
    "tests/scenarios/test_digest.py": {"gpt-5-mini"},
    "tests/contract/test_openai.py": {"o1"},
}
"""Names that a file may contain once: its tests need a model with an end."""

NAME = re.compile(r"(?<![\w./:*-])(?>(?:ft:)?(?:[a-z]+\d*(?:[-.][a-z0-9.]+)+|o[134])(?:::?[\w-]+)*)(?![\w*/-])")
"""A text that may be the name of a model, fine-tuned or not."""


def named(text: str) -> Iterator[tuple[int, str]]:
    """Yield the names in a text that may be models, each with its place."""
    for match in NAME.finditer(text):
        yield match.start(), match[0].rstrip(".")


def ending(texts: Iterable[tuple[str, str]], today: date) -> list[str]:
    """Return the models in these texts, each with its path, that end within three months after this day or earlier."""
    found = []
    for path, text in texts:
        allowed = set(ALLOWED.get(path, ()))
        for place, name in named(text):
            shutdown = find_shutdown(name)
            if shutdown is None or shutdown.day > today + timedelta(NOTICE_DAYS):
                continue
            if name in allowed:
                allowed.remove(name)
                continue
            line = text.count("\n", 0, place) + 1
            found.append(f"{path}:{line} names {name}, which ends on {shutdown.day}")
    return found


def tracked() -> Iterator[tuple[str, str]]:
    """Yield all text files that are tracked or not ignored, without the exempt ones."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for path in listed.split("\0"):
        if path and path not in EXEMPT and (ROOT / path).is_file():
            try:
                yield path, (ROOT / path).read_text()
            except UnicodeDecodeError:
                continue


def test_no_file_names_a_model_that_ends_within_three_months() -> None:
    texts = list(tracked())
    assert {"README.md", "docs/recipes.md", "template.yaml", "local/openai_emulator/routers/models.py"} <= dict(
        texts
    ).keys()
    found = ending(texts, datetime.now(UTC).date())
    assert not found, "name another model:\n" + "\n".join(found)


def test_the_models_that_the_project_names_are_found() -> None:
    names = {name for _, text in tracked() for _, name in named(text)}
    assert {"gpt-6-luna", "gpt-5.6-luna", "text-embedding-3-small", "omni-moderation-latest"} <= names
    assert all(base_of(model) in {base_of(name) for name in names} for models in ENDING.values() for model in models)


END = date(2026, 12, 11)


@pytest.mark.parametrize(
    "text",
    [
        *("model: gpt-5-mini", "`gpt-5-mini`", '{"model":"gpt-5-mini"}', "a\ngpt-5-mini.", "gpt-5-mini=2000000,x*=5"),
        *("gpt-5-mini-2025-08-07", "ft:gpt-5-mini-2025-08-07:org::id", "(o3, batch)", '"o3"', "gpt-5"),
    ],
)
def test_a_model_is_found_three_months_before_its_end_and_not_a_day_sooner(text: str) -> None:
    first_day = END - timedelta(NOTICE_DAYS)
    assert ending([("a.md", text)], first_day - timedelta(1)) == []
    (found,) = ending([("a.md", text)], first_day)
    assert re.fullmatch(r"a\.md:[12] names (ft:)?(gpt-5|o3).*, which ends on 2026-12-11", found)
    assert ending([("a.md", text)], END + timedelta(1000)) == [found]


@pytest.mark.parametrize("text", ["gpt-6-luna", "gpt-5-mini-deployment", "openai/gpt-5-mini", "gpt-5*", "go3", "o3d"])
def test_other_names_are_accepted(text: str) -> None:
    assert ending([("a.md", text)], END) == []


def test_an_allowed_name_is_allowed_once_and_in_its_file_only() -> None:
    assert ending([("tests/unit/money/test_cost_meter.py", "gpt-5-mini")], END) == []
    assert len(ending([("tests/unit/money/test_cost_meter.py", "gpt-5-mini gpt-5-mini")], END)) == 1
    assert len(ending([("tests/unit/test_other.py", "gpt-5-mini")], END)) == 1
