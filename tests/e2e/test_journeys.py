"""The journeys of four people on the deployed stack, from the first mistake to the result, with every message."""

import csv
import importlib.util
import io
import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest

from tests.e2e.conftest import WAIT_SECONDS, Embedded, wait_for

BETWEEN_POLLS = 0.5  # seconds: a machine that answers polls all the time does nothing else
QUIET_SECONDS = 3
"""After this time without a message none is on its way: the waits of the stack are shorter."""


@dataclass
class Person:
    """A user of one folder and those below it, who reads every message about it once."""

    embedded: Embedded
    folder: str
    messages: list[dict[str, Any]] = field(default_factory=list)  # all that came, as SNS delivers them
    seen: int = 0

    def uploads(self, name: str, text: str | bytes = "", **labels: str) -> str:
        """Put a file, or a console folder if the key ends in a slash. Return its version."""
        data = text.encode() if isinstance(text, str) else text
        return self.embedded.drop(f"{self.folder}/{name}", data, **labels)

    def hears(self, *subjects: str) -> list[str]:
        """Wait for messages with these subjects and no others. Return their texts in this order."""
        wanted = sorted(f"{self.folder}/{subject}" for subject in subjects)
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline and len(self._unread()) < len(wanted):
            self.embedded.tick()
            time.sleep(BETWEEN_POLLS)
        new = self._unread()
        assert sorted(message["Subject"] for message in new) == wanted
        self.seen = len(self.messages)
        texts = {message["Subject"]: message["Message"] for message in new}
        return [texts[f"{self.folder}/{subject}"] for subject in subjects]

    def hears_nothing(self) -> None:
        """Wait until no message is on its way. Fail if one came."""
        began = time.monotonic()
        while time.monotonic() - began < QUIET_SECONDS:
            self.embedded.tick()
            time.sleep(BETWEEN_POLLS)
            assert [message["Subject"] for message in self._unread()] == []

    def hears_of_all(self, names: Sequence[str], verdict: str) -> list[str]:
        """Wait until messages of this verdict, single or combined, name all these files. Return their subjects."""

        def are_named() -> list[str]:
            self.embedded.tick()
            texts = [f"{each['Subject']}\n{each['Message']}" for each in self._unread() if verdict in each["Subject"]]
            return texts if all(any(name in text for text in texts) for name in names) else []

        return [text.splitlines()[0] for text in wait_for(are_named, f"no messages say that all are {verdict}")]

    def _unread(self) -> list[dict[str, Any]]:
        self.embedded.read_mail()
        self.messages = [
            message
            for message in self.embedded.read
            if f"{message['MessageAttributes']['folder']['Value']}/".startswith(f"{self.folder}/")
        ]
        return self.messages[self.seen :]

    def latest(self, name: str) -> dict[str, Any]:
        """Return the content of `latest.json` of a file."""
        return dict(json.loads(self._result(f"{self.folder}/{name}/latest.json")))

    def answers(self, name: str) -> list[dict[str, str]]:
        """Return the rows of the answers file of a csv's newest run."""
        summary = json.loads(self._result(self.latest(name)["results"]["prefix"] + "summary.json"))
        text = self._result(summary["objects"]["answers"]).decode("utf-8-sig")
        return list(csv.DictReader(io.StringIO(text), delimiter=";" if ";" in text else ","))

    def results(self, prefix: str) -> list[str]:
        """Return the keys in the results bucket below a prefix."""
        s3, bucket = self.embedded.client("s3"), self.embedded.names["RESULTS_BUCKET"]
        return [found["Key"] for found in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]

    def fetches(self, prefix: str, to: Path) -> None:
        """Download all results below a prefix, as `aws s3 cp --recursive` does."""
        for key in self.results(prefix):
            path = to / key.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._result(key))

    def _result(self, key: str) -> bytes:
        s3, bucket = self.embedded.client("s3"), self.embedded.names["RESULTS_BUCKET"]
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


@contextmanager
def slow(embedded: Embedded) -> Iterator[None]:
    """Slow OpenAI down, so that each batch takes some time."""
    before = embedded.control("GET", "/delays")
    embedded.control("POST", "/delays", in_progress=600)
    try:
        yield
    finally:
        embedded.control("POST", "/delays", **before)


# An analyst, with Excel and the S3 console


COMMENTS = "Nr;Kommentar;Note (1-5)\r\n1;zu teuer;2\r\n2;prima;5\r\n3;na ja;3\r\n".encode("utf-8-sig")
MOOD = """\
model: gpt-6-luna
prompt: "{{ Kommentar }} ({{ row['Note (1-5)'] }})"
schema:
  stimmung: [positiv, negativ]
"""
MISSPELT = MOOD.replace("Kommentar", "Kommentare")


def test_an_analyst_gets_from_a_misnamed_recipe_to_two_runs_that_she_can_compare(healthy: Embedded) -> None:
    ann, archive = Person(healthy, "umfrage"), Person(healthy, "rezepte")

    ann.uploads("rezept.yaml", MOOD)
    (named,) = ann.hears("rezept.yaml: rejected, 1 problem")
    assert "only recipe.yaml is read as one; name it recipe.yaml" in named

    archive.uploads("recipe.yaml", MISSPELT)
    (alone,) = archive.hears("recipe.yaml: usable")
    assert "There is no file in its folder yet. Upload files into the folder `rezepte/`." in alone
    ann.uploads("Umfrage Q4.csv", COMMENTS)
    (lost,) = ann.hears("Umfrage Q4.csv: rejected, 1 problem")
    assert "A recipe was dropped into `rezepte/` a moment ago; to use it for this file, put it into `umfrage/`" in lost

    ann.uploads("recipe.yaml", MISSPELT)
    usable, rejected = ann.hears(
        "recipe.yaml: usable, 1 file is read again", "Umfrage Q4.csv, run 2: rejected, 1 problem"
    )
    assert "1 file that waited for it is read again with it: `Umfrage Q4.csv`." in usable
    assert "there is no column 'Kommentare'; did you mean {{ Kommentar }}?" in rejected
    assert "Correct the recipe and upload it; the file is then read again automatically" in rejected

    ann.uploads("recipe.yaml", MOOD)
    usable, accepted, ended = ann.hears(
        "recipe.yaml: usable, 1 file is read again",
        "Umfrage Q4.csv, run 3: accepted, 3 rows",
        "Umfrage Q4.csv, run 3: 3 of 3 answered",
    )
    assert "- Columns it uses: Kommentar, Note (1-5)" in usable
    assert "- Columns it adds: stimmung (positiv, negativ), _status, _error" in usable
    assert "in the S3 console, make a folder `Umfrage Q4.csv.cancel` beside the file" in accepted
    assert "Paid under a cent" in ended
    assert [row["stimmung"] in ("positiv", "negativ") for row in ann.answers("Umfrage Q4.csv")] == [True] * 3

    ann.uploads("Umfrage Q4.rerun/")
    (unknown,) = ann.hears("Umfrage Q4.rerun: there is no file Umfrage Q4 here")
    assert "Did you mean `Umfrage Q4.csv`? Then make a folder `Umfrage Q4.csv.rerun` beside the file" in unknown

    ann.uploads("recipe.yaml", MOOD.replace("negativ]", "negativ, gemischt]"))
    ann.hears("recipe.yaml: usable")
    ann.uploads("Umfrage Q4.csv.rerun/")
    again, second = ann.hears("Umfrage Q4.csv, run 4: accepted, 3 rows", "Umfrage Q4.csv, run 4: 3 of 3 answered")
    assert "Asked for by Umfrage Q4.csv.rerun" in again
    assert re.search(r"^Compared with run 3: .*`stimmung` can be gemischt now\.$", second, re.MULTILINE)

    ann.uploads("Umfrage Q4.csv.rerun2/")
    (held,) = ann.hears("Umfrage Q4.csv, run 5: waits for your approval, answered before")
    assert "the same 3 rows with the same recipe were answered by run 4. That cost under a cent" in held
    ann.uploads("Umfrage Q4.csv.cancel/")
    stopped, _ = ann.hears("Umfrage Q4.csv, run 5: is being cancelled", "Umfrage Q4.csv, run 5: 0 of 3 answered")
    assert "Nothing of it was sent to OpenAI, and nothing is billed." in stopped

    for left_over in ("Thumbs.db", "desktop.ini", "~$Umfrage.xlsx"):
        ann.uploads(left_over, "x")
    ann.hears_nothing()
    runs = {key.split("/")[2] for key in ann.results("umfrage/Umfrage Q4.csv/2")}
    assert len(runs) == 5
    assert ann.latest("Umfrage Q4.csv")["job_id"] == max(runs), "folders sort as the runs began"
    kept = [key for key in ann.results("umfrage/Umfrage Q4.csv/2") if key.endswith("/recipe/recipe.yaml")]
    assert len(kept) == 4, "the first run had no recipe"


# A platform engineer, whose program consumes the events


@pytest.fixture
def queue(healthy: Embedded) -> Iterator[str]:
    """Yield a queue with the subscription of `examples/consumer/README.md`, except for its folder."""
    text = Path("examples/consumer/README.md").read_text()
    attributes = json.loads(re.search(r"--attributes '(.*?)'", text, re.DOTALL)[1].replace("reviews", "platform"))  # type: ignore[index]  # it is there
    sqs, sns = healthy.client("sqs"), healthy.client("sns")
    url = sqs.create_queue(QueueName="consumer")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = healthy.names["EVENTS_TOPIC_ARN"]
    policy = re.search(r"```json\n(.*?)```", text, re.DOTALL)[1]  # type: ignore[index]  # it is there
    filled = policy.replace("<the queue's ARN>", arn).replace("<EventsTopicArn>", topic)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": filled})
    made = sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes, ReturnSubscriptionArn=True
    )
    yield url
    sns.unsubscribe(SubscriptionArn=made["SubscriptionArn"])
    sqs.delete_queue(QueueUrl=url)


def loaded(path: str) -> Any:
    """Load a program from a file."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


def test_a_platform_engineers_program_gets_events_of_waiting_jobs_and_fetches_the_answers(
    healthy: Embedded, queue: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bob = Person(healthy, "platform")
    consumer = loaded("examples/consumer/consumer.py")
    sqs, s3 = healthy.client("sqs"), healthy.client("s3")
    seen: list[str] = []

    def consume(until: str) -> None:
        """Run the program on incoming events until it prints this."""

        def has_said() -> bool:
            healthy.tick()
            for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", []):
                consumer.handle(json.loads(message["Body"]), s3, str(tmp_path))
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            seen.extend(capsys.readouterr().out.splitlines())
            return any(until in line for line in seen)

        wait_for(has_said, f"the program never said {until}")

    bob.uploads("recipe.yaml", 'model: gpt-6-luna\nprompt: "{{ text }}"\nnotify: [problems]\nbudget_usd: 0.01\n')
    bob.hears("recipe.yaml: usable")
    version = bob.uploads("large.txt", "hello\n" * 5_001, team="payments")
    consume("Somebody is needed: held cost")
    bob.hears("large.txt: waits for your approval, 5,001 rows")
    bob.uploads("large.txt.approve")
    bob.hears("large.txt: approved")
    consume("ended succeeded platform/large.txt")
    assert [line for line in seen if line.startswith("accepted")] == [], "the filter leaves it out"
    (fetched,) = tmp_path.iterdir()
    assert len(fetched.read_bytes().splitlines()) == 5_002
    bob.hears_nothing()  # it succeeded, and the recipe requests messages about problems only

    sensor = re.search(r"```python\n(.*?)```", Path("docs/events/README.md").read_text(), re.DOTALL)[1]  # type: ignore[index]  # it is there
    names: dict[str, Any] = {"json": json}
    exec(sensor, names)
    results = healthy.names["RESULTS_BUCKET"]
    assert names["ended"](s3, results, "platform/large.txt", version)["status"] == "succeeded"
    assert names["ended"](s3, results, "platform/large.txt", "another version") is None
    assert names["ended"](s3, results, "platform/nothing.txt", version) is None
    assert healthy.event(version, "ended")["labels"] == {"team": "payments"}


# A data engineer, with a nightly job of many parts


def test_a_data_engineers_parts_are_one_table_and_a_corrected_one_replaces_the_old(
    healthy: Embedded, tmp_path: Path
) -> None:
    lake = Person(healthy, "lake")
    day, names = "reviews/dt=2026-11-27", [f"part-{number:04d}.jsonl" for number in range(6)]
    lake.uploads(
        "reviews/recipe.yaml",
        'model: gpt-6-luna\nprompt: "{{ file.dt }}: {{ text }}"\nschema:\n  sentiment: [positive, negative]\n'
        "mirror: true\nreplace: cancel\n",
    )
    (usable,) = lake.hears("reviews/recipe.yaml: usable")
    assert "- Columns it uses: text, file.dt" in usable

    lake.uploads(f"{day}/_temporary/0/task_1/part-0000.jsonl", '{"text": "half"}\n')
    lake.uploads(f"{day}/_SUCCESS")
    versions = [
        lake.uploads(f"{day}/{name}", "".join(f'{{"text": "{name} {row}"}}\n' for row in range(10)), run="nightly-7")
        for name in names
    ]
    subjects = lake.hears_of_all(names, "accepted") + lake.hears_of_all(names, "answered")
    assert all(subject.startswith(f"lake/{day}") for subject in subjects)
    lake.seen = len(lake.messages)
    for version in versions:
        ended = healthy.event(version, "ended")
        assert (ended["status"], ended["recipe_folder"], ended["labels"]) == (
            "succeeded", "lake/reviews", {"run": "nightly-7"},
        )  # fmt: skip  # one comparison to a line

    with slow(healthy):
        old = lake.uploads(f"{day}/{names[0]}", '{"text": "wrong"}\n' * 3)
        lake.hears(f"{day}/{names[0]}, run 2: accepted, 3 rows")
        first = healthy.event(old, "accepted")
        wait_for(lambda: (healthy.tick(), healthy.openai_batches(first["job_id"]))[1], "it was never sent")
        new = lake.uploads(f"{day}/{names[0]}", '{"text": "right"}\n' * 4)
        accepted, _ = lake.hears(
            f"{day}/{names[0]}, run 3: accepted, 4 rows",
            f"{day}/{names[0]}, run 2: 0 of 3 answered, older version",
        )
        assert "Run 2, of an older version of the file, is" in accepted
        assert healthy.event(old, "ended")["status"] == "cancelled"
        lake.uploads(f"{day}/{names[0]}.cancel")
        lake.hears(f"{day}/{names[0]}, run 3: is being cancelled", f"{day}/{names[0]}, run 3: 0 of 4 answered")
    assert healthy.event(new, "ended")["status"] == "cancelled"
    lake.uploads(f"{day}/{names[0]}.rerun")
    lake.hears(f"{day}/{names[0]}, run 4: accepted, 4 rows", f"{day}/{names[0]}, run 4: 4 of 4 answered")
    lake.hears_nothing()

    lake.fetches("_answers/lake/reviews/", tmp_path)
    table = pyarrow.dataset.dataset(tmp_path, format="json", partitioning="hive").to_table()
    assert table.num_rows == 5 * 10 + 4
    assert set(table["dt"].to_pylist()) == {"2026-11-27"}
    assert table["text"].to_pylist().count("right") == 4
    assert set(table["_status"].to_pylist()) == {"ok"}


# A prompt engineer, who tries before she pays


SLIPS = """\
model: gpt-6-luna
prompt: "{{ text }}"
budget: 5
schema:
  score: int
  sentiment: positive, negative
"""
LIMITED = """\
model: gpt-6-luna
prompt: "{{ text }}"
schema:
  score: integer
  sentiment: [positive, negative]
limit: 10
"""
REVIEWS = "text\n" + "".join(f"review {number}\n" for number in range(300))


def test_a_prompt_engineer_gets_questions_about_slips_and_tries_a_few_rows_first(healthy: Embedded) -> None:
    eve = Person(healthy, "tries")

    eve.uploads("one/recipe.yaml", SLIPS)
    eve.uploads("one/reviews.csv", REVIEWS)
    (rejected,) = eve.hears("one/reviews.csv: rejected, 3 problems")
    assert "key budget: there is no such key; did you mean budget_usd?" in rejected
    assert "write `score: integer`" in rejected
    assert "write `sentiment: [positive, negative]`" in rejected

    eve.uploads("one/recipe.yaml", LIMITED)
    usable, accepted, ended = eve.hears(
        "one/recipe.yaml: usable, 1 file is read again",
        "one/reviews.csv, run 2: accepted, 10 of 300 rows",
        "one/reviews.csv, run 2: 10 of 10 answered",
    )
    assert "- Columns it adds: score (integer), sentiment (positive, negative), _status, _error" in usable
    assert "- Rows it asks: the first 10 rows (limit)" in usable
    assert "the first 10 of 300 rows (`limit`)" in accepted
    assert "all of them would cost" in ended

    eve.uploads("one/recipe.yaml", LIMITED.replace("limit: 10", "limit: {rows: 20, sample: true}"))
    eve.hears("one/recipe.yaml: usable")
    eve.uploads("one/reviews.csv.rerun")
    accepted, _ = eve.hears(
        "one/reviews.csv, run 3: accepted, 20 of 300 rows", "one/reviews.csv, run 3: 20 of 20 answered"
    )
    assert "20 of 300 rows, drawn at random (`limit`, seed 1)" in accepted
    drawn = [row["text"] for row in eve.answers("one/reviews.csv")]
    assert len(set(drawn)) == 20
    assert drawn == sorted(drawn, key=lambda text: int(text.split()[1])), "in the file's order"
    assert drawn != [f"review {number}" for number in range(20)]

    eve.uploads("two/recipe.yaml", LIMITED.replace("limit: 10\n", "").replace("gpt-6-luna", "gpt-6-sol"))
    eve.uploads("two/reviews.csv", "text\nreview 1\n")
    *_, ended = eve.hears(
        "two/recipe.yaml: usable", "two/reviews.csv: accepted, 1 row", "two/reviews.csv: 1 of 1 answered"
    )
    assert "Run 1 of reviews.csv, model gpt-6-sol, recipe tries/two/recipe.yaml" in ended
    eve.hears_nothing()
