"""Pages of jobs of every kind, made by the use cases over fakes, for the page tests and for `docs/pictures`."""

import json
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from dropbatch.answers.agreement import Agreement
from dropbatch.answers.tally import Tally
from dropbatch.domain.drops import Drop
from dropbatch.domain.jobs import Job
from dropbatch.domain.outcomes import JobStatus, Outcome
from dropbatch.domain.states import JobState, OpenAIStatus
from dropbatch.reporting.event_members import Ended
from dropbatch.reporting.report_facts import ColumnNames, ReportFacts, ReportRows
from dropbatch.reporting.report_page import page
from dropbatch.reporting.timeline import Round
from tests.driving import drop, jobs, pass_time, result, run
from tests.fakes import INBOX, RESULTS, FakeContext
from tests.fakes.answers import response_line

SURVEY = b"""\
# What do our customers complain about?
model: gpt-6-luna
system: You read the comments of a customer survey.
prompt: "{{ comment }}"
schema:
  topic: [price, delivery, support, quality, other]
  mood: [pleased, neutral, angry]
  needs_reply: boolean
  urgency: integer
  keywords: {list: string}
  summary: One short sentence
"""

COMMENTS = {
    "price": ("Too expensive for what it does.", "The price went up twice this year, and nobody told us why."),
    "delivery": ("The parcel came three days late.", "Delivered to the neighbour, without a note."),
    "support": ("Nobody answers the phone.", "Your support solved it within an hour. Thank you!"),
    "quality": ("The handle broke after a week.", "Sturdy, well made, exactly as in the picture."),
    "other": ("All fine.", "Please offer it in green."),
}
REGIONS = ("North", "South", "East", "West")
PLANS = ("free", "team", "business")
WORDS = ("late", "broken", "friendly", "expensive", "refund", "colour", "phone", "parcel", "quick", "unclear")
HOUR = 3_600

Answer = tuple[str, Any] | None


def survey_rows(count: int, dice: random.Random) -> bytes:
    """Return a csv of comments."""
    lines = ["id,region,plan,comment"]
    for number in range(1, count + 1):
        topic = dice.choices(list(COMMENTS), (5, 4, 3, 3, 1))[0]
        region = dice.choices(REGIONS, (4, 3, 2, 2))[0]
        comment = f"{dice.choice(COMMENTS[topic])} Order {dice.randint(10_000, 99_999)}."
        lines.append(f'{number},{region},{dice.choice(PLANS)},"{comment}"')
    return "\n".join(lines).encode() + b"\n"


def survey_answers(dice: random.Random, failing: Callable[[int], str | None]) -> Callable[[dict[str, Any]], Answer]:
    """Return a function that answers a survey. `failing` names the error of a row; None if there is none."""

    def answer(request: dict[str, Any]) -> Answer:
        error = failing(int(request["custom_id"].rpartition("-")[2]))
        if error == "missing":
            return None
        if error is not None:
            message = "The server had an error." if error == "server_error" else "Unsupported parameter: 'effort'."
            body = {"error": {"code": error, "message": message}}
            return "error", response_line(request, 400 if error.startswith("invalid") else 500, body)
        asked = json.dumps(request["body"])
        topic = next(name for name, texts in COMMENTS.items() if any(text in asked for text in texts))
        mood = dice.choices(("pleased", "neutral", "angry"), (2, 3, 6) if topic != "other" else (4, 2, 1))[0]
        value = {
            "topic": topic,
            "mood": mood,
            "needs_reply": mood == "angry" or dice.random() < 0.1,
            "urgency": min(10, max(1, round(dice.gauss(6 if mood == "angry" else 3, 1.8)))),
            "keywords": dice.sample(WORDS, dice.randint(0, 3)),
            "summary": f"The customer is {mood} about the {topic}" + dice.choice((".", ", and asks for an answer.")),
        }
        return "output", completion(request, json.dumps(value), dice)

    return answer


def completion(request: dict[str, Any], text: str, dice: random.Random) -> dict[str, Any]:
    """Return the response line of a chat completion, or of a response, with some usage."""
    read, written = dice.randint(900, 1_600), dice.randint(300, 600)
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    message = {"role": "assistant", "content": text}
    body: dict[str, Any] = {"choices": [{"index": 0, "finish_reason": "stop", "message": message}], "usage": usage}
    return response_line(request, 200, body)


def succeeded(folder: Path, rows: int = 400) -> bytes:
    """Return the report of a survey of which a few rows were retried, and all were answered."""
    dice = random.Random(7)
    failed_once: set[int] = set()

    def failing(row: int) -> str | None:
        if row % 29 == 0 and row not in failed_once:
            failed_once.add(row)
            return "server_error"
        return None

    return _survey(folder, survey_rows(rows, dice), survey_answers(dice, failing), hours=(3, 1))


def partly_failed(folder: Path, rows: int = 300) -> bytes:
    """Return the report of a survey of which some rows have no good answer, each for its reason."""
    dice = random.Random(8)

    def failing(row: int) -> str | None:
        return "invalid_value" if row % 40 == 0 else "server_error" if row % 61 == 0 else None

    return _survey(folder, survey_rows(rows, dice), survey_answers(dice, failing), hours=(2, 1, 1))


def _survey(folder: Path, data: bytes, answer: Callable[[dict[str, Any]], Answer], hours: tuple[int, ...]) -> bytes:
    fake = FakeContext(folder)
    fake.clock.now = 1_795_800_000
    fake.openai.answer = answer
    fake.objects.drop("survey/recipe.yaml", SURVEY)
    drop(fake, "survey/comments.csv", data)
    for each in hours:
        fake.openai.ending = None
        pass_time(fake, each * HOUR, step=600)
        fake.openai.ending = OpenAIStatus.COMPLETED
        run(fake, ticks=2)
    run(fake, ticks=200, step=600)
    return result(fake, "report.html")


def rejected(folder: Path) -> bytes:
    """Return the page of a file that was rejected."""
    fake = FakeContext(folder)
    fake.objects.drop("survey/recipe.yaml", SURVEY)
    drop(fake, "survey/comments.csv", b"id,kommentar\n1,late\n2\n3,a,b,c\n")
    run(fake)
    return result(fake, "report.html")


def held(folder: Path) -> bytes:
    """Return the page of a job whose first rows were not good enough."""
    dice = random.Random(9)
    fake = FakeContext(folder)
    fake.openai.answer = survey_answers(dice, lambda row: "invalid_value" if row < 4 else None)
    fake.objects.drop("survey/recipe.yaml", SURVEY + b"canary: {rows: 10, min_ok: 0.9}\n")
    drop(fake, "survey/comments.csv", survey_rows(60, dice))
    run(fake, ticks=20)
    return result(fake, "canary.html")


def waiting(folder: Path) -> bytes:
    """Return the page of a job that waits until somebody approves its price."""
    fake = FakeContext(folder, max_job_usd=Decimal("0.01"))
    fake.objects.drop("survey/recipe.yaml", SURVEY)
    drop(fake, "survey/comments.csv", survey_rows(3_000, random.Random(9)))
    run(fake, ticks=3)
    return result(fake, "approval.html")


ARABIC = ("الخدمة ممتازة جدا", "وصل الطرد متأخرا ثلاثة أيام", "السعر مرتفع 👎", "شكرا لكم 🙏🏽", "👩‍👩‍👧‍👦 🇪🇬 🎉")


def arabic_and_emoji(folder: Path) -> bytes:
    """Return the report of a file whose names, rows and answers are Arabic texts and emoji."""
    dice = random.Random(10)
    fake = FakeContext(folder)

    def answer(request: dict[str, Any]) -> Answer:
        value = {"المزاج": dice.choice(("سعيد", "غاضب", "😐")), "ملخص": dice.choice(ARABIC) * dice.randint(1, 4)}
        return "output", completion(request, json.dumps(value), dice)

    fake.openai.answer = answer
    recipe = 'model: gpt-6-luna\nprompt: "{{ row.تعليق }}"\nschema:\n  المزاج: [سعيد, غاضب, 😐]\n  ملخص: جملة قصيرة\n'
    fake.objects.drop("استبيان/recipe.yaml", recipe.encode())
    lines = [f"{number},{dice.choice(('القاهرة', 'دبي'))},{dice.choice(ARABIC)}" for number in range(1, 61)]
    drop(fake, "استبيان/تعليقات 😀.csv", "\n".join(["رقم,مدينة,تعليق", *lines]).encode() + b"\n")
    run(fake)
    return result(fake, "report.html")


HOSTILE = (
    "<script>window.stolen = 1</script>",
    "<img src=x onerror='window.stolen = 1'>",
    '"><svg onload=window.stolen=1>',
    "</style><style>body{display:none}</style>",
    "<link rel=stylesheet href=https://attacker.example/x.css>",
    "<iframe src=https://attacker.example/></iframe>",
    "{{ 7 * 7 }} {% raw %}",
    "<meta http-equiv=refresh content='0;url=https://attacker.example/'>",
    "javascript:window.stolen=1",
    "</title></table></details></main><base href=https://attacker.example/>",
    "\u202egnp.exe \u0000\u0007",
)


def hostile(folder: Path) -> bytes:
    """Return the report of a file whose name, columns, rows, recipe and answers try to run scripts and fetch things."""
    dice = random.Random(11)
    fake = FakeContext(folder)
    count = len(HOSTILE)

    def answer(request: dict[str, Any]) -> Answer:
        row = int(request["custom_id"])
        if row % 5 == 0:
            error = {"code": HOSTILE[row % count], "message": HOSTILE[row % count]}
            return "error", response_line(request, 400, {"error": error})
        value = {
            "kind<b>": dice.choice(HOSTILE[:3]),
            "why": HOSTILE[row % count],
            "tags": [HOSTILE[row % count], "<b>"],
            HOSTILE[1]: row,
        }
        return "output", completion(request, json.dumps(value), dice)

    fake.openai.answer = answer
    schema = {
        "kind<b>": list(HOSTILE[:3]),
        "why": "a reason",
        "tags": {"list": "string"},
        HOSTILE[1]: "integer",
    }
    recipe = json.dumps({"model": "gpt-6-luna", "prompt": "{{ text }}", "schema": schema})
    fake.objects.drop("a<b>/recipe.yaml", recipe.encode() + b"\n# <script>window.stolen = 1</script>\n")
    lines = [json.dumps({"text": HOSTILE[n % count] + str(n), HOSTILE[0]: HOSTILE[n % 2]}) for n in range(60)]
    drop(fake, "a<b>/<img src=x onerror=alert(1)>.jsonl", "\n".join(lines).encode())
    run(fake)
    return result(fake, "report.html")


AGREEMENT: Agreement = {
    "mood": {
        "agreed": 900_000,
        "compared": 987_654,
        "pairs": {"good\0good": 500_000, "bad\0bad": 400_000, "good\0bad": 80_000, "bad\0<b>": 7_654},
        "disagreements": [{"row": 7, "expected": "good", "answered": "<b>"}],
    },
    "topic": {
        "agreed": 1,
        "compared": 400,
        "pairs": {f"topic {place}\0{'&' * 200}": 1 for place in range(400)},
        "disagreements": [{"row": 7, "expected": "x" * 200, "answered": "&" * 200} for _ in range(10)],
    },
}


def wide(folder: Path, columns: int = 500, rows: int = 60) -> bytes:
    """Return the report of a second run with very many columns, known answers, long names and long texts."""
    dice = random.Random(15)
    fake = FakeContext(folder)
    names = [f"is_the_customer_satisfied_with_{number}" for number in range(columns)]

    def answer(request: dict[str, Any]) -> Answer:
        return "output", completion(request, json.dumps({name: dice.random() < 0.5 for name in names}), dice)

    fake.openai.answer = answer
    schema = "".join(f"  {name}: boolean\n" for name in names)
    expect = "".join(f"  {name}: known_{name}\n" for name in names)
    recipe = f"model: gpt-6-luna\nprompt: '{{{{ text }}}}'\nschema:\n{schema}expect:\n{expect}"
    fake.objects.drop("survey/recipe.yaml", recipe.encode())
    head = ["text", *(f"known_{name}" for name in names), *(f"column_{number}" for number in range(9_500))]
    lines = [
        ",".join(
            [
                f"row {row} " * (60_000 if row < 2 else 1),
                *(dice.choice(("true", "false")) for _ in names),
                *["a value"] * 9_500,
            ]
        )
        for row in range(rows)
    ]
    drop(fake, "survey/wide.csv", "\n".join([",".join(head), *lines]).encode())
    run(fake, ticks=40, step=600)
    fake.objects.drop("survey/recipe.yaml", recipe.replace("{{ text }}", "{{ text }}?").encode())
    drop(fake, "survey/wide.csv.rerun", b"")
    run(fake, ticks=40, step=600)
    return result(fake, "report.html", max(jobs(fake), key=lambda job: job.run))


def of_a_million_rows(folder: Path) -> bytes:
    """Return the report of a job of a million rows, out of sums that are as large as sums can be."""
    dice = random.Random(12)
    rows, columns = 1_000_000, 300
    tally = Tally(agreement=AGREEMENT)
    tally.outcomes.update({Outcome.OK: rows - 12_345, Outcome.ERROR: 12_000, Outcome.EXPIRED: 345})
    for number in range(60):
        tally.count(number + 1, Outcome.ERROR, f"code_{number}" + "x" * 80, "It failed, says the server. " * 12)
    for place in range(columns):
        name = f"column {place} " + "n" * 60
        tally.categories[name] = _counter(dice, 40)
    shown = []
    for number in range(1, 201):
        cells = {f"field {place}": "<&>\"'" * 32 for place in range(8)}
        shown.append([number, cells, ["<&>\"'" * 80] * 8, "ok", None])
    for part in range(3):
        other = Tally()
        _add_distributions(other, dice, part)
        tally.merge(Tally.from_json(json.loads(json.dumps(other.to_json()))))
    tally.usd, tally.standard_usd = Decimal("812.40"), Decimal("1624.80")
    job = Job("the-job", Drop(INBOX, "lake/events.csv", "1", 1_795_800_000), 1_795_800_000, JobState.ASSEMBLING)
    job.rows, job.models = rows, ["gpt-6-luna"]
    end = Ended(job, JobStatus.PARTIAL, tally, {"answers": "lake/events.answers.csv"}, job.created_at + 14 * HOUR)
    started = job.created_at + 600
    rounds = [
        Round(number, started + (number - 1) * HOUR, started + (number + 3) * HOUR, 20, rows >> number, 1_000)
        for number in range(1, 13)
    ]
    names = ColumnNames([f"field {place}" for place in range(8)], list(tally.categories))
    recipe = [("recipe.yaml", b'"' * 200_000)] * 9
    facts = ReportFacts(ReportRows(shown, shown[:80]), names, recipe, rounds)
    return page(FakeContext(folder).context, end, facts)


def _counter(dice: random.Random, values: int) -> Any:
    from collections import Counter

    return Counter({f"value {value} " + "&" * 40: dice.randint(1, 50_000) for value in range(values)})


def _add_distributions(tally: Tally, dice: random.Random, part: int) -> None:
    from dropbatch.answers.distributions import Column

    for place in range(5):
        column = tally.distributions.columns[f"numbers {place}"] = Column()
        column.add([dice.lognormvariate(3, place / 4) for _ in range(1_000)])
        column = tally.distributions.columns[f"lists {place}"] = Column()
        column.add([[f"tag {int(dice.paretovariate(0.6))}" for _ in range(3)] for _ in range(300)])
        column = tally.distributions.columns[f"texts {place}"] = Column()
        column.add(["x" * dice.randint(0, 4_000) for _ in range(300)])
    for _ in range(part and 10):
        dropped = {
            f"field {place}": [f"{place} {dice.randint(1, 20)} " + "&" * 30 for _ in range(100)] for place in range(6)
        }
        answered = {f"answer {place}": [f"{place} {dice.randint(1, 12)} <>" for _ in range(100)] for place in range(4)}
        tally.cross_tables.add(dropped, answered)


def index(folder: Path) -> bytes:
    """Return the index page of all jobs: some are done, one is rejected, one waits, one runs; names are odd."""
    dice = random.Random(13)
    fake = FakeContext(folder)
    fake.clock.now = 1_795_800_000
    fake.openai.answer = survey_answers(dice, lambda row: "invalid_value" if row % 40 == 0 else None)
    fake.objects.drop("survey/recipe.yaml", SURVEY)
    fake.objects.drop("survey/approval/recipe.yaml", SURVEY + b"hold: true\n")
    for month in ("2026-09", "2026-10", "2026-11"):
        drop(fake, f"survey/month={month}/comments.csv", survey_rows(dice.randint(300, 900), dice))
        pass_time(fake, HOUR)
    drop(fake, "survey/approval/comments of all years.csv", survey_rows(50, dice))
    drop(fake, "survey/تعليقات <b>😀</b>.csv", survey_rows(30, dice))
    drop(fake, "survey/" + "a_long_name_without_a_space" * 4 + ".csv", survey_rows(20, dice))
    drop(fake, "survey/no-such-column.csv", b"id,kommentar\n1,late\n")
    pass_time(fake, HOUR)
    fake.openai.ending = None
    drop(fake, "survey/running.csv", survey_rows(120, dice))
    pass_time(fake, 600)
    return fake.objects.content(RESULTS, "index.html")


def trial(folder: Path) -> bytes:
    """Return the page of the rows under `try` of a recipe."""
    fake = FakeContext(folder)
    fake.openai.answer = survey_answers(random.Random(14), lambda row: "invalid_value" if row == 2 else None)
    rows = "".join(
        f"  - {{comment: {json.dumps(COMMENTS[topic][0])}, expect: {{topic: {expected}}}}}\n"
        for topic, expected in (("price", "price"), ("delivery", "support"), ("support", "support"))
    )
    drop(fake, "survey/recipe.yaml", SURVEY + f"try:\n{rows}".encode())
    run(fake, ticks=4, step=15)
    return fake.objects.content(RESULTS, "survey/recipe.yaml/try.html")


PAGES: dict[str, Callable[[Path], bytes]] = {
    "succeeded": succeeded,
    "partly_failed": partly_failed,
    "rejected": rejected,
    "held": held,
    "waiting": waiting,
    "arabic_and_emoji": arabic_and_emoji,
    "hostile": hostile,
    "wide": wide,
    "million_rows": of_a_million_rows,
    "index": index,
    "trial": trial,
}
