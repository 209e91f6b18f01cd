"""Every folder of `examples/`, used as its README says: uploaded completely, with every row answered."""

import csv
import io
import json
from pathlib import Path

import pytest

from dropbatch.domain.drops import ObjectKind, kind_of_object
from tests.e2e.conftest import Embedded
from tools.capacity.quotes import folders

COLUMNS = {
    "captions": ["caption", "colours"],
    "embeddings": ["embedding"],
    "facts": ["product", "fault", "praised", "would_buy_again"],
    "moderation": ["flagged", "categories", "violence"],
    "nightly-report": ["headline", "report", "to_do"],
    "raw": [],
    "reviews": ["sentiment"],
}
"""The columns that each example adds to its rows."""

SKIPPED = {"nightly-report": 1}
"""The number of rows of each example that the recipe's `when` leaves out."""


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_an_example_folder_is_answered_unchanged(folder: Path, healthy: Embedded) -> None:
    files = {f"examples/{folder.name}/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}
    versions = {key: healthy.drop(key, data) for key, data in files.items()}
    (key,) = [key for key in files if kind_of_object(key) is ObjectKind.DROP]
    recipes = [key for key in files if kind_of_object(key) is ObjectKind.RECIPE]
    for recipe in recipes:
        assert healthy.event(versions[recipe], "recipe")["status"] == "usable"

    event = healthy.event(versions[key])

    assert event["status"] == "succeeded"
    rows = event["rows"]
    assert rows["skipped"] == SKIPPED.get(folder.name, 0)
    assert rows["ok"] + rows["skipped"] == rows["total"] > rows["skipped"]
    results = healthy.results(event)
    assert len(results["responses.jsonl"].splitlines()) == rows["total"]
    if not recipes:
        return
    (name,) = [name for name in results if ".answers." in name]
    before, after = records(key, files[key]), records(name, results[name])
    assert [dict(list(row.items())[: len(old)]) for row, old in zip(after, before, strict=True)] == before
    for row, old in zip(after, before, strict=True):
        assert list(row)[len(old) :] == [*COLUMNS[folder.name], "_status", "_error"]
        assert row["_status"] == "skipped" or all(row[column] not in (None, "") for column in COLUMNS[folder.name])


def records(name: str, data: bytes) -> list[dict[str, object]]:
    """Return the rows of a file of any type. A line of plain text is the column `text`."""
    text = data.decode()
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines()]
    if name.endswith(".txt"):
        return [{"text": line} for line in text.split("\n")[:-1]]
    delimiter = "\t" if name.endswith(".tsv") else ","
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
