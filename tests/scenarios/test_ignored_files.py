"""Files that programs and systems create beside data: they are ignored without a message; over fakes."""

from pathlib import Path

import pytest

from dropbatch.domain.drops import LEFT_OVER_FOLDERS, LEFT_OVER_NAMES, ObjectKind, kind_of_object
from dropbatch.domain.states import JobState
from dropbatch.messages import IntakeMessage
from tests.driving import RECIPE, drop, jobs, object_created, only_job, pass_time, rows, run
from tests.fakes import INBOX, FakeContext

NO_DROPS = [
    "lake/_temporary/0/task_1/part-0004.jsonl",
    "lake/_SUCCESS",
    "lake/_committed_4711",
    "lake/.part-0000.jsonl.crc",
    "lake/part-0000.jsonl.crc",
    "lake/.spark-staging/part-0000.csv",
    "lake/_delta_log/00000000000000000000.json",
    "lake/part-0000.jsonl._COPYING_",
    "lake/reviews_$folder$",
    "a/__MACOSX/reviews.csv",
    "a/._reviews.csv",
    "a/.DS_Store",
    "a/Icon\r",
    "a/.Trashes/501/reviews.csv",
    "a/Thumbs.db",
    "a/thumbs.db",
    "a/ehthumbs.db",
    "a/ehthumbs_vista.db",
    "a/desktop.ini",
    "a/Desktop.ini",
    "$RECYCLE.BIN/S-1-5/reviews.csv",
    "System Volume Information/WPSettings.csv",
    "a/~$Umfrage.xlsx",
    "a/.~lock.reviews.csv#",
    "a/reviews.csv~",
    "a/@eaDir/reviews.csv/thumb.txt",
    "a/#recycle/reviews.csv",
    "lost+found/1.csv",
    "a/reviews.csv.part",
    "a/reviews.csv.partial",
    "a/reviews.csv.filepart",
    "a/reviews.csv.crdownload",
    "a/reviews.csv.opdownload",
    "a/reviews.csv.tmp",
    "a/~WRL0001.tmp",
    "a/",
    "a/b/",
    "a/README.md",
    "a/prompt.j2",
]

DROPS = [
    "a.csv",
    "a/part-0000.snappy.parquet",
    "dt=2026-11-27/part-0001.jsonl",
    "a_b/c_.csv",
    "a.b/c.csv",
    "a//b.csv",
    "x.tmp/a.csv",
    "Thumbs.db.csv",
    "desktop.ini/a.csv",
    "~a.csv",
    "$a.csv",
    "a.cpart",
    "a.csv.bak",
    "recipe.yaml~",
    "recipe (1).yaml",
]


@pytest.fixture
def fake(tmp_path: Path) -> FakeContext:
    fake = FakeContext(tmp_path)
    fake.objects.drop("recipe.yaml", RECIPE)
    return fake


@pytest.mark.parametrize("key", NO_DROPS)
def test_files_of_programs_and_systems_are_ignored(key: str) -> None:
    assert kind_of_object(key) is ObjectKind.IGNORED


@pytest.mark.parametrize("key", DROPS)
def test_a_file_with_a_similar_name_is_a_drop(key: str) -> None:
    assert kind_of_object(key) is ObjectKind.DROP


@pytest.mark.parametrize("name", ["recipe.yaml", "recipe.yml", "a.csv.cancel", "a.csv.rertry", "a.csv.rerun/"])
@pytest.mark.parametrize("folder", ["_work", ".hidden", "_work/deeper", "__MACOSX"])
def test_recipes_and_markers_in_a_hidden_folder_are_ignored(folder: str, name: str) -> None:
    assert kind_of_object(f"lake/{folder}/{name}") is ObjectKind.IGNORED


def test_an_upload_of_a_whole_folder_is_answered_without_other_messages(fake: FakeContext) -> None:
    drop(fake, "a/reviews.csv", rows(2))
    for key in NO_DROPS:
        drop(fake, key, b"text\nx\n")
    run(fake)
    assert only_job(fake).drop.key == "a/reviews.csv"
    assert [told.subject.partition(":")[2] for told in fake.topics.people] == [
        " accepted, 2 rows",
        " 2 of 2 answered",
    ]


def test_output_of_spark_is_sent_once_under_its_final_name(fake: FakeContext) -> None:
    drop(fake, "lake/_temporary/0/task_1/part-0004.csv", rows(2))
    run(fake)
    drop(fake, "lake/part-0004.csv", rows(2))
    drop(fake, "lake/_SUCCESS", b"")
    run(fake)
    assert [job.drop.key for job in jobs(fake)] == ["lake/part-0004.csv"]
    assert fake.topics.events() == ["accepted", "ended"]


def test_a_recipe_in_a_hidden_folder_is_neither_checked_nor_used(fake: FakeContext) -> None:
    drop(fake, "lake/_old/recipe.yaml", b"no recipe at all")
    drop(fake, "lake/a.csv", rows(1))
    run(fake)
    assert only_job(fake).state is JobState.SUCCEEDED
    assert "recipe" not in fake.topics.events()


def test_a_sweep_skips_ignored_files(fake: FakeContext) -> None:
    for key in NO_DROPS:
        fake.objects.drop(key, b"text\nx\n")
    pass_time(fake, 2 * 3600)
    assert jobs(fake) == []
    assert fake.topics.published == []


@pytest.mark.slow
def test_a_dead_letter_about_an_ignored_file_is_deleted_without_a_message(fake: FakeContext) -> None:
    """It may have waited for a day already under a release that did not ignore the file."""
    version = fake.objects.drop("lake/_temporary/a.csv", rows(1))
    fake.objects.forbidden.add("lake/_temporary/a.csv")
    fake.dead_letters["drop_events"].put(object_created(fake, "lake/_temporary/a.csv", version, 1))
    fake.intake.send(IntakeMessage(INBOX, "lake/_temporary/a.csv", version).to_json())
    pass_time(fake, 2 * 86_400, step=600)
    assert fake.topics.published == []
    assert not any("pending#" in text for text in fake.table.texts())


def test_the_reference_names_every_ignored_file() -> None:
    reference = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    for pattern in {**LEFT_OVER_FOLDERS, **LEFT_OVER_NAMES}:
        assert f"`{pattern.rstrip()}`" in reference, f"{pattern!r} is not named"
