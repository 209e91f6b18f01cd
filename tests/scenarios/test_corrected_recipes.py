"""A recipe that comes late, is corrected, or gets a file that it names: Dropbatch reads the waiting files again.

Each test follows one person from a mistake to the answers, with every message.
"""

import hashlib
import pickle
import shlex
from pathlib import Path

import pytest

from dropbatch.domain.states import JobState
from dropbatch.polling.poll import poll
from dropbatch.ports import Notification
from tests.driving import RECIPE, deliver, drop, jobs, pass_time, result, result_json, rows, run
from tests.fakes import INBOX, RESULTS, FakeContext, Killer, answer_ok
from tests.schedules.invariants import check

COMMENTS = b"Kommentar\nzu teuer\nprima\n"
RIGHT = b'model: gpt-6-luna\nprompt: "{{ Kommentar }}"\n'
WRONG = b'model: gpt-6-luna\nprompt: "{{ Kommentare }}"\n'


def subjects(fake: FakeContext) -> list[str]:
    return [message.subject for message in fake.topics.people]


def mail(fake: FakeContext, start: str) -> Notification:
    """Return the last message whose subject contains this text."""
    return [message for message in fake.topics.people if start in message.subject][-1]


def lines(message: Notification) -> list[str]:
    return [line for line in message.text.splitlines() if not line.startswith("Run ")]


def states(fake: FakeContext) -> list[JobState]:
    return [job.state for job in jobs(fake)]


def run_until_quiet(fake: FakeContext) -> None:
    run(fake)
    fake.clock.sleep(60)


def test_a_corrected_recipe_rereads_the_file_that_was_rejected_because_of_it(fake: FakeContext) -> None:
    drop(fake, "umfrage/recipe.yaml", WRONG)
    drop(fake, "umfrage/Umfrage Q4.csv", COMMENTS)
    run_until_quiet(fake)
    rejected = mail(fake, "Umfrage Q4.csv: rejected")
    assert rejected.subject == "umfrage/Umfrage Q4.csv: rejected, 1 problem"
    assert lines(rejected)[1] == (
        "- Line 2 of umfrage/recipe.yaml, key prompt: there is no column 'Kommentare'; did you mean {{ Kommentar }}?"
    )
    assert lines(rejected)[-2:] == [
        "Correct the recipe and upload it; the file is then read again automatically: aws s3 cp recipe.yaml "
        f"s3://{INBOX}/umfrage/recipe.yaml",
        "  or, in the S3 console, upload it into the folder `umfrage/`",
    ]

    drop(fake, "umfrage/recipe.yaml", RIGHT)
    run_until_quiet(fake)
    usable = mail(fake, "recipe.yaml: usable")
    assert usable.subject == "umfrage/recipe.yaml: usable, 1 file is read again"
    assert lines(usable)[-3:] == [
        "1 file that waited for it is read again with it: `Umfrage Q4.csv`. Nothing was paid for them before.",
        f"To stop it: echo | aws s3 cp - 's3://{INBOX}/umfrage/Umfrage Q4.csv.cancel'",
        "  or, in the S3 console, make a folder `Umfrage Q4.csv.cancel` beside the file",
    ]
    assert usable.detail["files"] == {"count": 1, "first": ["umfrage/Umfrage Q4.csv"]}
    assert states(fake) == [JobState.REJECTED, JobState.SUCCEEDED]
    assert subjects(fake) == [
        "umfrage/recipe.yaml: usable",
        "umfrage/Umfrage Q4.csv: rejected, 1 problem",
        "umfrage/recipe.yaml: usable, 1 file is read again",
        "umfrage/Umfrage Q4.csv, run 2: accepted, 2 rows",
        "umfrage/Umfrage Q4.csv, run 2: 2 of 2 answered",
    ]
    check(fake)


def test_the_same_recipe_again_rereads_no_file(fake: FakeContext) -> None:
    drop(fake, "recipe.yaml", WRONG)
    drop(fake, "a.csv", COMMENTS)
    run_until_quiet(fake)
    drop(fake, "recipe.yaml", WRONG)
    run_until_quiet(fake)
    assert states(fake) == [JobState.REJECTED]
    assert subjects(fake)[-1] == "recipe.yaml: usable"


def test_a_recipe_rereads_the_files_below_it_that_have_no_nearer_one(fake: FakeContext) -> None:
    fake.objects.drop("near/recipe.yaml", RECIPE)
    drop(fake, "deep/down/a.csv", rows(1))
    drop(fake, "near/b.csv", b"other\nx\n")
    drop(fake, "c.csv", rows(1))
    for _ in range(4):
        run_until_quiet(fake)
    assert states(fake) == [JobState.REJECTED] * 3
    drop(fake, "recipe.yaml", RECIPE)
    run_until_quiet(fake)
    assert lines(mail(fake, "recipe.yaml"))[-3] == (
        "2 files that waited for it are read again with it: `c.csv`, `deep/down/a.csv`. Nothing was paid for "
        "them before."
    )
    done = {job.drop.key for job in jobs(fake) if job.state is JobState.SUCCEEDED}
    assert done == {"deep/down/a.csv", "c.csv"}
    check(fake)


def test_five_files_are_named_and_the_others_counted(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", WRONG)
    for number in range(8):
        drop(fake, f"f{number}.csv", COMMENTS)
    run_until_quiet(fake)
    drop(fake, "recipe.yaml", RIGHT)
    run_until_quiet(fake)
    assert lines(mail(fake, "recipe.yaml"))[-3] == (
        "8 files that waited for it are read again with it: `f0.csv`, `f1.csv`, `f2.csv`, `f3.csv`, `f4.csv` and 3 "
        "more. Nothing was paid for them before."
    )
    assert states(fake).count(JobState.SUCCEEDED) == 8


def test_the_next_invocations_reread_the_files_that_one_could_not(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", WRONG)
    for number in range(9):
        drop(fake, f"f{number}.csv", COMMENTS)
    run_until_quiet(fake)
    looks = iter(range(10_000))
    drop(fake, "recipe.yaml", RIGHT)
    deliver(fake)
    fake.clock.sleep(10)
    poll(fake.context)
    fake.seconds_left = lambda: 300.0 if next(looks) % 4 < 2 else 5.0
    deliver(fake)
    fake.seconds_left = lambda: 300.0
    run_until_quiet(fake)
    run_until_quiet(fake)
    assert states(fake).count(JobState.SUCCEEDED) == 9
    message = [subject for subject in subjects(fake) if subject.startswith("recipe.yaml")]
    assert message == ["recipe.yaml: usable, 9 files are read again"]
    check(fake)


def test_a_waiting_file_continues_at_once_when_its_recipe_comes(fake: FakeContext) -> None:
    drop(fake, "a.csv", rows(1))
    deliver(fake)
    fake.clock.sleep(3)
    drop(fake, "recipe.yaml", RECIPE)
    deliver(fake)
    assert [job.state for job in jobs(fake)] == [JobState.RUNNING]
    run(fake)
    assert subjects(fake) == [
        "recipe.yaml: usable, 1 file is read again",
        "a.csv: accepted, 1 row",
        "a.csv: 1 of 1 answered",
    ]


def test_messages_of_a_recipe_and_a_file_in_another_folder_name_each_other(fake: FakeContext) -> None:
    drop(fake, "rezepte/recipe.yaml", RIGHT)
    run_until_quiet(fake)
    assert lines(mail(fake, "recipe.yaml"))[-1] == (
        "There is no file in its folder yet. Upload files into the folder `rezepte/`."
    )
    drop(fake, "umfrage/Umfrage Q4.csv", COMMENTS)
    for _ in range(3):
        run_until_quiet(fake)
    rejected = mail(fake, "Umfrage Q4.csv")
    assert rejected.subject == "umfrage/Umfrage Q4.csv: rejected, 1 problem"
    draft = result_json(fake, "rejected.json")["draft"]
    assert lines(rejected)[-6:] == [
        "A recipe was dropped into `rezepte/` 3 minutes ago; to use it for this file, put it into `umfrage/`: "
        f"aws s3 cp s3://{INBOX}/rezepte/recipe.yaml s3://{INBOX}/umfrage/recipe.yaml",
        "  or, in the S3 console, copy `rezepte/recipe.yaml` into the folder `umfrage/`",
        "A recipe is drafted for this file. Download it, and edit it, above all its question: aws s3 cp "
        f"{shlex.quote(f's3://{RESULTS}/{draft}')} recipe.yaml",
        "  or, in the S3 console, open `recipe.yaml` in the folder of the results",
        "Upload the recipe; the file is then read again automatically: aws s3 cp recipe.yaml "
        f"s3://{INBOX}/umfrage/recipe.yaml",
        "  or, in the S3 console, upload it into the folder `umfrage/`",
    ]
    drop(fake, "rezepte/recipe.yaml", RIGHT + b"# once more\n")
    run_until_quiet(fake)
    assert lines(mail(fake, "recipe.yaml"))[-3:] == [
        "There is no file in its folder yet. Upload files into the folder `rezepte/`.",
        "`umfrage/Umfrage Q4.csv` waits for a recipe; to use this one, put it into `umfrage/`: "
        f"aws s3 cp s3://{INBOX}/rezepte/recipe.yaml s3://{INBOX}/umfrage/recipe.yaml",
        "  or, in the S3 console, copy `rezepte/recipe.yaml` into the folder `umfrage/`",
    ]
    source, target = shlex.split(lines(mail(fake, "recipe.yaml"))[-2].partition("aws s3 cp ")[2])
    content = fake.objects.content(INBOX, source.removeprefix(f"s3://{INBOX}/"))
    drop(fake, target.removeprefix(f"s3://{INBOX}/"), content)
    run_until_quiet(fake)
    assert states(fake) == [JobState.REJECTED, JobState.SUCCEEDED]
    assert mail(fake, "recipe.yaml").subject == "umfrage/recipe.yaml: usable, 1 file is read again"


def test_a_recipe_of_another_folder_is_copied_with_the_files_that_it_names(fake: FakeContext) -> None:
    recipe = b"model: gpt-6-luna\nprompt: file://ask.md\nsystem: file://parts/system.md\n"
    for name, text in (("recipe.yaml", recipe), ("ask.md", b"{{ Kommentar }}"), ("parts/system.md", b"Be brief.")):
        drop(fake, f"rezepte/{name}", text)
    run_until_quiet(fake)
    drop(fake, "umfrage/a.csv", COMMENTS)
    for _ in range(3):
        run_until_quiet(fake)
    command = " && ".join(
        f"aws s3 cp s3://{INBOX}/rezepte/{name} s3://{INBOX}/umfrage/{name}"
        for name in ("recipe.yaml", "parts/system.md", "ask.md")
    )
    console = (
        "  or, in the S3 console, copy `rezepte/recipe.yaml`, `rezepte/ask.md` into the folder `umfrage/`; copy "
        "`rezepte/parts/system.md` into the folder `umfrage/parts/`"
    )
    first, second = lines(mail(fake, "a.csv"))[-6:-4]
    assert first.endswith(f"put it into `umfrage/`: {command}")
    assert second == console
    drop(fake, "rezepte/recipe.yaml", recipe + b"# once more\n")
    run_until_quiet(fake)
    first, second = lines(mail(fake, "recipe.yaml"))[-2:]
    assert first.endswith(f"put it into `umfrage/`: {command}")
    assert second == console


def test_a_late_file_of_a_recipe_rechecks_it_and_rereads_the_drop(fake: FakeContext) -> None:
    drop(fake, "recipe.yaml", b"model: gpt-6-luna\nprompt: file://prompts/ask.md\n")
    drop(fake, "a.csv", COMMENTS)
    for _ in range(4):
        run_until_quiet(fake)
    rejected = mail(fake, "a.csv: rejected")
    assert "the file prompts/ask.md is not in the recipe's folder" in rejected.text
    assert states(fake) == [JobState.REJECTED]
    drop(fake, "prompts/ask.md", b"{{ Kommentar }}")
    run_until_quiet(fake)
    assert mail(fake, "recipe.yaml").subject == "recipe.yaml: usable, 1 file is read again"
    assert states(fake) == [JobState.REJECTED, JobState.SUCCEEDED]
    check(fake)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ask.txt", "ask.md", "ask.j2", "ask.prompt", "ask"])
def test_a_file_of_a_recipe_may_have_any_name_and_is_not_a_drop(fake: FakeContext, name: str) -> None:
    fake.objects.drop("recipe.yaml", f"model: gpt-6-luna\nprompt: file://{name}\n".encode())
    fake.objects.drop(name, b"{{ Kommentare }}")
    drop(fake, "a.csv", COMMENTS)
    run_until_quiet(fake)
    assert lines(mail(fake, "a.csv"))[-2] == (
        f"Correct {name} and upload it; the file is then read again automatically: aws s3 cp {name} s3://{INBOX}/{name}"
    )
    drop(fake, name, b"{{ Kommentar }}")
    run_until_quiet(fake)
    assert states(fake) == [JobState.REJECTED, JobState.SUCCEEDED]
    assert subjects(fake)[1:2] == ["recipe.yaml: usable, 1 file is read again"]


def test_a_file_that_came_before_its_recipe_is_not_answered(fake: FakeContext) -> None:
    drop(fake, "ask.txt", b"{{ text }}\n")
    deliver(fake)
    drop(fake, "a.csv", rows(1))
    drop(fake, "recipe.yaml", b"model: gpt-6-luna\nprompt: file://ask.txt\n")
    run_until_quiet(fake)
    assert subjects(fake) == ["recipe.yaml: usable", "a.csv: accepted, 1 row", "a.csv: 1 of 1 answered"]
    assert len(fake.openai.batches) == 1


def test_a_recipe_and_its_files_that_come_together_are_reported_once(fake: FakeContext) -> None:
    recipe, part = b"model: gpt-6-luna\nsystem: file://system.md\nprompt: file://ask.md\n", b"{{ text }}"
    for order in (("recipe.yaml", "system.md", "ask.md"), ("ask.md", "recipe.yaml", "system.md")):
        for name in order:
            drop(fake, name, recipe if name == "recipe.yaml" else part)
        run_until_quiet(fake)
        assert subjects(fake) == ["recipe.yaml: usable"]
        fake.topics.people.clear()
        part = b"{{ text }}!"
        fake.clock.sleep(600)


@pytest.mark.parametrize("order", [("ask.md", "recipe.yaml"), ("recipe.yaml", "ask.md"), ("ask.md", "system.md")])
def test_rereading_waits_until_an_upload_is_complete(fake: FakeContext, order: tuple[str, str]) -> None:
    before = {"recipe.yaml": b"model: gpt-6-luna\nprompt: file://ask.md\nsystem: file://system.md\n"}
    before |= {"ask.md": b"{{ Kommentare }}", "system.md": b"Old."}
    after = {
        "recipe.yaml": before["recipe.yaml"] + b"prefix: new_\n",
        "ask.md": b"{{ Kommentar }}",
        "system.md": b"New.",
    }
    for name, text in before.items():
        fake.objects.drop(name, text)
    drop(fake, "a.csv", COMMENTS)
    run_until_quiet(fake)
    for name in order:
        drop(fake, name, after[name])
        deliver(fake)
        fake.clock.sleep(6)
        poll(fake.context)
        deliver(fake)
    run_until_quiet(fake)
    assert subjects(fake)[1:] == [
        "recipe.yaml: usable, 1 file is read again",
        "a.csv, run 2: accepted, 2 rows",
        "a.csv, run 2: 2 of 2 answered",
    ]
    assert (
        mail(fake, "accepted").detail["recipe_sha256"]
        == hashlib.sha256(
            b"\0".join(
                [
                    (after if "recipe.yaml" in order else before)["recipe.yaml"],
                    *(
                        b"ask.md",
                        after["ask.md"],
                        b"system.md",
                        (after if "system.md" in order else before)["system.md"],
                    ),
                ]
            )
        ).hexdigest()
    )


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "said"), [(b"", "usable"), (b"schema: 3\n", "cannot be used, 1 problem")])
def test_a_recipe_and_files_that_a_sweep_finds_are_reported_once(fake: FakeContext, recipe: bytes, said: str) -> None:
    run(fake, ticks=1)
    drop(fake, "recipe.yaml", b"model: gpt-6-luna\nprompt: file://ask.txt\n" + recipe)
    drop(fake, "ask.txt", b"{{ text }}")
    pass_time(fake, 4 * 86_400, step=600)
    assert subjects(fake) == [f"recipe.yaml: {said}"]
    fake.objects.drop("ask.txt", b"{{ text }}!")  # its event is lost
    pass_time(fake, 3 * 86_400, step=600)
    assert subjects(fake) == [f"recipe.yaml: {said}"] * 2


def test_a_broken_recipe_and_the_file_beside_it_are_one_mail(fake: FakeContext) -> None:
    drop(fake, "recipe.yaml", RIGHT + b"limt: 3\n")
    drop(fake, "a.csv", b"Kommentare\nx\n")
    run_until_quiet(fake)
    assert subjects(fake) == ["a.csv: rejected, 2 problems"]
    rejected = mail(fake, "a.csv")
    assert lines(rejected)[:3] == [
        "a.csv was rejected because of its recipe: 2 problems. Nothing was sent to OpenAI, and nothing is billed.",
        "- Line 3 of recipe.yaml, key limt: there is no such key; did you mean limit?",
        "- Line 2 of recipe.yaml, key prompt: there is no column 'Kommentar'; did you mean {{ Kommentare }}?",
    ]
    assert fake.topics.events() == ["rejected", "recipe"]
    (broken,) = [message for message in fake.topics.published if message.event == "recipe"]
    assert broken.status == "invalid"


def test_a_broken_recipe_is_notified_to_people_each_time(fake: FakeContext) -> None:
    for count in (1, 2):
        drop(fake, "recipe.yaml", RIGHT + b"limt: 3\n")
        run_until_quiet(fake)
        assert subjects(fake) == ["recipe.yaml: cannot be used, 1 problem"] * count
    assert lines(mail(fake, "recipe.yaml"))[-2:] == [
        "Correct the recipe and upload it; files that wait for it are then read automatically: aws s3 cp recipe.yaml "
        f"s3://{INBOX}/recipe.yaml",
        "  or, in the S3 console, upload it into the bucket itself, into no folder",
    ]


def test_a_replaced_or_deleted_file_is_not_reread(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", WRONG)
    for name in ("replaced.csv", "deleted.csv"):
        drop(fake, name, COMMENTS)
    run_until_quiet(fake)
    fake.objects.drop("replaced.csv", COMMENTS + b"neu\n")  # its event comes later
    fake.objects.remove(INBOX, "deleted.csv")
    drop(fake, "recipe.yaml", RIGHT)
    run_until_quiet(fake)
    assert states(fake) == [JobState.REJECTED] * 2
    assert mail(fake, "recipe.yaml").subject == "recipe.yaml: usable"


def test_a_file_that_was_corrected_first_is_answered_once(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", WRONG)
    drop(fake, "a.csv", COMMENTS)
    run_until_quiet(fake)
    drop(fake, "a.csv", b"Kommentare\nx\n")
    run_until_quiet(fake)
    drop(fake, "recipe.yaml", RIGHT)
    run_until_quiet(fake)
    assert states(fake) == [JobState.REJECTED, JobState.SUCCEEDED]
    assert mail(fake, "recipe.yaml").subject == "recipe.yaml: usable"


def test_a_recipe_that_reads_files_as_before_does_not_reread_a_file_with_faults_of_its_own(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RIGHT)
    drop(fake, "a.csv", b"nr,Kommentar\n1\n2,gut\n")
    run_until_quiet(fake)
    drop(fake, "recipe.yaml", RIGHT + b"system: Be brief.\n")
    run_until_quiet(fake)
    assert subjects(fake) == ["a.csv: rejected, 1 problem", "recipe.yaml: usable"]
    drop(fake, "recipe.yaml", RIGHT + b"bad_rows: skip\n")
    run_until_quiet(fake)
    assert subjects(fake)[2] == "recipe.yaml: usable, 1 file is read again"
    assert states(fake) == [JobState.REJECTED, JobState.SUCCEEDED]


def test_a_file_that_was_rejected_weeks_ago_is_not_reread(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", WRONG)
    drop(fake, "a.csv", COMMENTS)
    run_until_quiet(fake)
    fake.clock.sleep(14 * 86_400)
    drop(fake, "recipe.yaml", RIGHT)
    run_until_quiet(fake)
    assert subjects(fake)[1:] == ["recipe.yaml: usable"]


def test_a_cancelled_rejected_file_is_not_reread(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", WRONG)
    drop(fake, "a.csv", COMMENTS)
    run_until_quiet(fake)
    drop(fake, "a.csv.cancel", b"")
    run_until_quiet(fake)
    drop(fake, "recipe.yaml", RIGHT)
    run_until_quiet(fake)
    assert subjects(fake)[1:] == ["a.csv: is not read again automatically", "recipe.yaml: usable"]
    assert states(fake) == [JobState.REJECTED]
    drop(fake, "a.csv.rerun", b"")
    run_until_quiet(fake)
    assert states(fake) == [JobState.REJECTED, JobState.SUCCEEDED]


def test_a_cancel_stops_the_job_of_a_reread_file(fake: FakeContext) -> None:
    fake.openai.ending = None
    fake.openai.answer = lambda _request: None
    fake.objects.drop("recipe.yaml", WRONG)
    drop(fake, "a.csv", COMMENTS)
    run_until_quiet(fake)
    drop(fake, "recipe.yaml", RIGHT)
    run(fake, ticks=2)
    assert [(job.state, job.cancel_requested) for job in jobs(fake)][1:] == [(JobState.RUNNING, False)]
    drop(fake, "a.csv.cancel", b"")
    run(fake)
    assert states(fake) == [JobState.REJECTED, JobState.CANCELLED]


def test_a_rejected_retry_is_reread_as_a_retry(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RECIPE)
    fake.openai.answer = lambda _request: None
    drop(fake, "a.csv", rows(2))
    run(fake, step=1200)
    fake.objects.drop("recipe.yaml", RECIPE + b"limt: 1\n")
    fake.clock.sleep(60)
    drop(fake, "a.csv.retry", b"")
    run_until_quiet(fake)
    assert lines(mail(fake, "a.csv"))[-2].startswith(
        "Correct the recipe and upload it; the failed rows are then retried automatically: aws s3 cp recipe.yaml"
    )
    fake.openai.answer = answer_ok
    drop(fake, "recipe.yaml", RECIPE + b"attempts: 2\n")
    run_until_quiet(fake)
    first, second, third = jobs(fake)
    assert (second.state, third.state) == (JobState.REJECTED, JobState.SUCCEEDED)
    assert (second.retry_of, third.retry_of) == (first.id, first.id)


def test_a_recipe_that_is_corrected_while_its_file_is_being_rejected_rereads_it(fake: FakeContext) -> None:
    """The event of the recipe is processed before the file is known to wait."""
    fake.objects.drop("recipe.yaml", WRONG)
    drop(fake, "a.csv", COMMENTS)
    put = fake.table.insert

    def insert(item: object) -> None:
        put(item)  # type: ignore[arg-type]  # as it is called
        if isinstance(item, dict) and item["pk"].startswith("waiting#"):
            fake.objects.drop("recipe.yaml", RIGHT)

    fake.table.insert = insert  # type: ignore[method-assign]  # what happens between two calls
    run_until_quiet(fake)
    assert states(fake) == [JobState.REJECTED, JobState.SUCCEEDED]
    assert subjects(fake) == ["a.csv, run 2: accepted, 2 rows", "a.csv, run 2: 2 of 2 answered"]
    assert sorted(fake.topics.events()) == ["accepted", "ended", "rejected"]


def test_events_that_come_twice_and_in_any_order_reread_a_file_once(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", WRONG)
    drop(fake, "a.csv", COMMENTS)
    run_until_quiet(fake)
    version = fake.objects.drop("recipe.yaml", RIGHT)
    event = fake.objects.event(INBOX, "recipe.yaml", version)
    for _ in range(3):
        fake.intake.send(event)
    run_until_quiet(fake)
    fake.intake.send(event)
    run_until_quiet(fake)
    assert states(fake) == [JobState.REJECTED, JobState.SUCCEEDED]
    assert set(fake.openai.paid_answers().values()) == {1}


def rejected_files(folder: Path) -> bytes:
    """Return the pickled fakes after two files were rejected."""
    fake = FakeContext(folder, killer=Killer())
    fake.objects.drop("recipe.yaml", WRONG)
    drop(fake, "a.csv", COMMENTS)
    drop(fake, "b.csv", COMMENTS)
    run(fake)
    return pickle.dumps(fake)


def reread_files(rejected: bytes, point: int | None = None) -> tuple[FakeContext, list[int]]:
    """Return the fakes after a corrected recipe rereads two files, killed at a point; and all points after it came."""
    fake: FakeContext = pickle.loads(rejected)
    assert fake.killer is not None
    before = len(fake.killer.calls)
    fake.killer.points = set() if point is None else {2 * before + point}
    drop(fake, "recipe.yaml", RIGHT)
    for _ in range(3):
        run(fake, ticks=200)
    return fake, [known - 2 * before for known in fake.killer.all_points() if known >= 2 * before]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_a_kill_at_any_call_misses_no_file_and_pays_once(part: int, tmp_path: Path) -> None:
    rejected = rejected_files(tmp_path)
    _, points = reread_files(rejected)
    for point in points[part::3]:
        fake, _ = reread_files(rejected, point)
        succeeded = [job for job in jobs(fake) if job.state is JobState.SUCCEEDED]
        assert sorted(job.drop.key for job in succeeded) == ["a.csv", "b.csv"], point
        assert set(fake.openai.paid_answers().values()) == {1}, point
        assert any(message.event == "recipe" for message in fake.topics.published), point
        check(fake)


def test_a_rejection_names_its_recipe_and_counts_causes(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", WRONG)
    data = "Kommentar\n" + "".join(f"größer {number}\n" for number in range(263))
    drop(fake, "a.csv", data.encode("cp1252"))
    run_until_quiet(fake)
    rejected = mail(fake, "a.csv")
    assert rejected.subject == "a.csv: rejected, 2 problems"
    assert lines(rejected)[2].startswith("- 263 lines, the first are 2, 3 and 4: Line 2, byte 3 (0xf6) is not UTF-8")
    page = result(fake, "report.html").decode()
    assert '<p class="verdict">rejected, 2 problems</p>' in page
    assert page.count('data-label="what"') == 2
    assert '<td class="n" data-label="lines">263</td>' in page
    assert '<td class="n" data-label="first lines">2, 3 and 4</td>' in page
    kept = result_json(fake, "rejected.json")
    assert [(group["code"], group["count"]) for group in kept["problems"]["groups"]] == [
        ("undefined_name", 1),
        ("invalid_utf8", 263),
    ]
    assert kept["recipe_sha256"]


def test_each_column_that_a_prompt_misspells_is_a_problem(fake: FakeContext) -> None:
    fake.objects.drop("w/recipe.yaml", b'model: gpt-6-luna\nprompt: "{{ txt }} of {{ lable }} and {{ stars }}"\n')
    drop(fake, "w/a.csv", b"text,label\nx,1\n")
    run_until_quiet(fake)
    rejected = mail(fake, "a.csv")
    assert rejected.subject == "w/a.csv: rejected, 3 problems"
    assert lines(rejected)[1:4] == [
        "- Line 2 of w/recipe.yaml, key prompt: there is no column 'txt'; did you mean {{ text }}?",
        "- Line 2 of w/recipe.yaml, key prompt: there is no column 'lable'; did you mean {{ label }}?",
        "- Line 2 of w/recipe.yaml, key prompt: there is no column 'stars'; the columns are text, label.",
    ]


def test_rows_with_too_few_values_and_with_too_many_are_two_causes(fake: FakeContext) -> None:
    fake.objects.drop("w/recipe.yaml", RIGHT)
    drop(fake, "w/a.csv", b"Kommentar,b\nx,1\ny\nz,1,2,3\nz,1,2\n")
    run_until_quiet(fake)
    rejected = mail(fake, "a.csv")
    assert rejected.subject == "w/a.csv: rejected, 2 problems"
    assert lines(rejected)[1:3] == [
        "- Line 3 has 1 value where the header has 2 columns; add what is missing after a comma.",
        "- 2 lines (4 and 5): Line 4 has 4 values where the header has 2 columns; put values that hold a comma into "
        "double quotes.",
    ]


def test_a_name_that_several_rows_lack_is_a_fault_of_the_recipe(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", WRONG)
    drop(fake, "a.jsonl", b'{"Kommentar": "x"}\n' * 4)
    run_until_quiet(fake)
    drop(fake, "b.jsonl", b'{"Kommentare": "x"}\n' * 4 + b'{"other": 1}\n')
    run_until_quiet(fake)
    assert lines(mail(fake, "a.jsonl"))[-4:] == [
        "Correct the recipe and upload it; the file is then read again automatically: aws s3 cp recipe.yaml "
        f"s3://{INBOX}/recipe.yaml",
        "  or, in the S3 console, upload it into the bucket itself, into no folder",
        f"Or correct the file, then: aws s3 cp a.jsonl s3://{INBOX}/a.jsonl",
        "  or, in the S3 console, upload it into the bucket itself, into no folder",
    ]
    assert lines(mail(fake, "b.jsonl"))[-3].startswith("Correct the file, then: ")


@pytest.mark.slow
def test_causes_are_counted_over_all_invocations_that_read_a_file(fake: FakeContext) -> None:
    fake.objects.drop("recipe.yaml", RIGHT)
    data = b"nr,Kommentar\n" + b"".join(b"%d\n" % number if number % 2 else b"1,x\n" for number in range(100_000))
    fake.seconds_left = lambda: 5.0
    drop(fake, "a.csv", data)
    deliver(fake)
    fake.seconds_left = lambda: 300.0
    run_until_quiet(fake)
    (group,) = mail(fake, "a.csv").detail["problems"]["groups"]
    assert (group["code"], group["count"], group["lines"]) == ("ragged_row", 50_000, [3, 5, 7])
