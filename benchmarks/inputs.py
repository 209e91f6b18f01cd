"""Inputs of the benchmarks, made from the example's sentences, the same each time, and kept in .local/benchmarks."""

import csv
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

FOLDER = Path(".local/benchmarks")
RECIPE = b"""\
model: gpt-6-luna
system: Classify the sentiment of the review.
prompt: "{{ product }}: {{ text }}"
schema:
  sentiment: [positive, negative]
parameters: {reasoning_effort: none, max_completion_tokens: 500}
"""
SYSTEM = "Classify the sentiment of the review."
BODY = {
    "model": "gpt-6-luna",
    "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": ""}],
    "reasoning_effort": "none",
    "max_completion_tokens": 500,
    "response_format": {
        "type": "json_schema",
        "json_schema": {
            "name": "answer",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {"sentiment": {"type": "string", "enum": ["positive", "negative"]}},
                "required": ["sentiment"],
                "additionalProperties": False,
            },
        },
    },
    "prompt_cache_options": {"mode": "explicit"},
}
"""The body that the recipe builds from a row, without the user's message. The naive cases use it."""

TEXT_CHARACTERS = 470
DIFFERENT_TEXTS = 50_000
"""A row has about 500 bytes."""


def csv_drop(rows: int) -> Path:
    """Return a csv of `rows` rows; nearly all have a comma in their text, and so need quotes."""
    path = FOLDER / f"{rows}.csv"
    if not path.exists():
        with _whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "product", "text", "stars"])
            writer.writerows([n, f"product {n % 977}", text, n % 5] for n, text in enumerate(_texts(rows)))
    return path


def jsonl_drop(rows: int) -> Path:
    """Return the rows of `csv_drop` as JSON lines, as most programs write them: with ASCII only, and spaces."""
    path = FOLDER / f"{rows}-rows.jsonl"
    if not path.exists():
        source = csv_drop(rows)
        with _whole(path) as part, source.open(newline="", encoding="utf-8") as read, part.open("w") as file:
            file.writelines(json.dumps({**row, "id": int(row["id"])}) + "\n" for row in csv.DictReader(read))
    return path


def raw_drop(rows: int) -> Path:
    """Return a ready batch file of `rows` lines, each of about a kilobyte."""
    path = FOLDER / f"{rows}.jsonl"
    if not path.exists():
        with _whole(path) as part, part.open("w", encoding="utf-8") as file:
            for number, text in enumerate(_texts(rows)):
                system = "Classify the sentiment of the review. " * 8
                messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
                body = {"model": "gpt-6-luna", "messages": messages, "max_completion_tokens": 500}
                line = {"custom_id": f"row-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
                file.write(json.dumps(line) + "\n")
    return path


def many_rows(rows: int) -> Path:
    """Return a csv like that of `csv_drop`, which is made quickly. The products have numbers, so no row repeats."""
    path = FOLDER / f"{rows}-numbered-rows.csv"
    if not path.exists():
        texts = StringIO(newline="")
        csv.writer(texts).writerows([text] for text in _texts(min(rows, DIFFERENT_TEXTS)))
        quoted = texts.getvalue().removesuffix("\r\n").split("\r\n")
        with _whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            file.write("id,product,text,stars\r\n")
            file.writelines(f"{n},product {n},{quoted[n % len(quoted)]},{n % 5}\r\n" for n in range(rows))
    return path


def wide_drop(columns: int, rows: int) -> Path:
    """Return a csv of many columns, each with a short word. The recipe asks for the first two."""
    path = FOLDER / f"{rows}-rows-of-{columns}-columns.csv"
    if not path.exists():
        dice = random.Random(columns)
        words = [f"w{dice.getrandbits(32):08x}" for _ in range(columns + rows)]
        with _whole(path) as part, part.open("w", encoding="utf-8") as file:
            file.write(",".join(["product", "text", *(f"c{number}" for number in range(3, columns + 1))]) + "\n")
            file.writelines(",".join(words[row : row + columns]) + "\n" for row in range(rows))
    return path


def long_drop(row_bytes: int, rows: int) -> Path:
    """Return a csv whose rows have about `row_bytes` bytes each, nearly all of them in the text."""
    path = FOLDER / f"{rows}-rows-of-{row_bytes}-bytes.csv"
    if not path.exists():
        sentences = "".join(_texts(row_bytes // TEXT_CHARACTERS + 1))
        size = row_bytes - len("0,\r\n")
        with _whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["product", "text"])
            writer.writerows((row % 10, f"{row:06d} {sentences}"[:size]) for row in range(rows))
    return path


def _texts(count: int) -> Iterator[str]:
    with Path("examples/reviews/reviews.csv").open(newline="", encoding="utf-8") as file:
        sentences = [row["text"] for row in csv.DictReader(file)]
    dice = random.Random(1)
    for _ in range(count):
        text = ""
        while len(text) < TEXT_CHARACTERS:
            text += dice.choice(sentences) + " "
        yield text[:TEXT_CHARACTERS]


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yield a path to write to, and rename the file to `path` when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    yield part
    part.rename(path)
