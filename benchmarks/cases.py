"""Cases to measure. Each runs as a process, `python -m benchmarks.cases <case> <rows>`, that prints its peak in MB.

The naive cases work as a tutorial does: all data in memory, a dictionary for each row, the standard library.
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.inputs import BODY, FOLDER, RECIPE, SYSTEM, csv_drop, jsonl_drop, raw_drop

if TYPE_CHECKING:
    from dropbatch.formats.reading import DropReader
    from dropbatch.formats.records import Chunk
    from dropbatch.rows.request_builder import RequestBuilder


def build(rows: int) -> None:
    """Build the lines of batch files from a csv, with the code that submits them."""
    build_into(Path("/dev/null"), csv_drop(rows))


def build_jsonl(rows: int) -> None:
    """Do the same from JSON lines."""
    build_into(Path("/dev/null"), jsonl_drop(rows))


def build_into(to: Path, drop: Path) -> None:
    from dropbatch.gc_tuning import tune_gc
    from dropbatch.rows.request_builder import RequestBuilder

    asker = RequestBuilder(_recipe())
    tune_gc()  # as every function does when it is connected
    with to.open("wb") as out:
        for chunk in _drop(drop).chunks():
            out.write(lines_of(asker, chunk))


def lines_of(builder: "RequestBuilder", chunk: "Chunk") -> bytes:
    """Return the lines of a batch file, as a process that submits makes them."""
    requests = builder.requests(chunk)
    if requests is not None:
        return requests.lines()
    records = chunk.records()
    asked = [(record, builder.request(record)) for record in records]
    lines = [request.line(str(record.number)) for record, request in asked if request is not None]
    assert len(lines) == len(records)
    return b"".join(lines)


def build_csv_reader(rows: int) -> None:
    """Read the csv, and do nothing else: the lower bound of `build`."""
    with csv_drop(rows).open(newline="", encoding="utf-8") as file:
        for _ in csv.reader(file):
            pass


def build_jsonl_floor(rows: int) -> None:
    """Decode the JSON lines, and do nothing else: the lower bound of `build_jsonl`."""
    import orjson

    with jsonl_drop(rows).open("rb") as file:
        for line in file:
            orjson.loads(line)


def build_naive(rows: int) -> None:
    """Build the lines as OpenAI's cookbook does: a list of rows, a list of tasks, then the JSON of each task."""
    with csv_drop(rows).open(newline="", encoding="utf-8") as file:
        _build_naive(list(csv.DictReader(file)))


def build_jsonl_naive(rows: int) -> None:
    with jsonl_drop(rows).open(encoding="utf-8") as file:
        _build_naive([json.loads(line) for line in file])


def _build_naive(table: Sequence[Mapping[str, Any]]) -> None:
    tasks = []
    for number, row in enumerate(table, 1):
        content = f"{row['product']}: {row['text']}"
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]
        body = {**BODY, "messages": messages}
        tasks.append({"custom_id": f"task-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body})
    with Path("/dev/null").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(task) + "\n" for task in tasks)


def validate(rows: int) -> None:
    """Check each line of a raw drop as strictly as the intake does, except that ids are unique (see `unique_ids`)."""
    from dropbatch.formats.jsonl.fast_line_template import RawChunk
    from dropbatch.formats.jsonl.raw_request import raw_request
    from dropbatch.gc_tuning import tune_gc

    tune_gc()  # as above
    for chunk in _drop(raw_drop(rows)).chunks():
        if not isinstance(chunk, RawChunk):
            for record in chunk.records():
                raw_request(record)


def validate_orjson(rows: int) -> None:
    """Check, as many programs do, only that each line is JSON and has its members."""
    import orjson

    with raw_drop(rows).open("rb") as file:
        for line in file:
            request = orjson.loads(line)
            assert request["custom_id"]
            assert request["body"]["model"]


def _answers(folder: Path) -> dict[str, Any]:
    """Return all answers of a job by `custom_id`."""
    answers = {}
    for path in sorted((folder / "openai").iterdir()):
        with path.open(encoding="utf-8") as file:
            for line in file:
                answer = json.loads(line)
                answers[answer["custom_id"]] = answer
    return answers


def collect_naive(rows: int) -> None:
    """Collect answers: parse and hold everything, order it by a dictionary, write it again."""
    folder = FOLDER / f"chat-{rows}"  # made by `benchmarks.collecting`
    answers = _answers(folder)
    with csv_drop(rows).open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names = [*(reader.fieldnames or ()), "sentiment", "reason", "_status", "_error"]
        table = list(reader)
    with (folder / "naive.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for number, row in enumerate(table, 1):
            message = answers[str(number)]["response"]["body"]["choices"][0]["message"]
            writer.writerow({**row, **json.loads(message["content"]), "_status": "ok", "_error": ""})
    _write_lines(folder / "naive.jsonl", (answers[str(number)] for number in range(1, rows + 1)))


def collect_jsonl_naive(rows: int) -> None:
    folder = FOLDER / f"jsonl-{rows}"
    answers = _answers(folder)
    with jsonl_drop(rows).open(encoding="utf-8") as file:
        table = [json.loads(line) for line in file]
    for number, row in enumerate(table, 1):
        message = answers[str(number)]["response"]["body"]["choices"][0]["message"]
        row |= {**json.loads(message["content"]), "_status": "ok", "_error": ""}
    _write_lines(folder / "naive-rows.jsonl", table)
    _write_lines(folder / "naive.jsonl", (answers[str(number)] for number in range(1, rows + 1)))


def _write_lines(path: Path, members: Iterable[Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for each in members:
            file.write(json.dumps(each) + "\n")


def unique_ids(rows: int) -> None:
    from dropbatch.storage.unique_ids import UniqueIds

    ids = UniqueIds()
    for start in range(0, rows, 100):
        assert ids.add_all([b"request-%d" % number for number in range(start, start + 100)])


def _recipe() -> Any:
    from dropbatch.recipes.compiler import compile_recipe
    from dropbatch.recipes.parser import parse_recipe

    return compile_recipe(parse_recipe(RECIPE, "recipe.yaml"), {}, checked=True)  # as a job has kept it


def recipe_body() -> Any:
    """Return the body that the recipe builds from a row, without the user's message."""
    request = _recipe().request({"id": "", "product": "", "text": "", "stars": ""})
    body = json.loads(request.body)
    body["messages"][1]["content"] = ""
    return body


def _drop(path: Path) -> "DropReader":
    from dropbatch.batch_api.limits import Limits
    from dropbatch.formats.file_types import file_type
    from dropbatch.formats.reading import read_drop

    def blocks() -> Iterator[bytes]:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                yield block

    return read_drop(blocks(), file_type(path.name), encoding=None, limits=Limits())


CASES = {
    case.__name__: case
    for case in (
        build,
        build_csv_reader,
        build_naive,
        build_jsonl,
        build_jsonl_floor,
        build_jsonl_naive,
        validate,
        validate_orjson,
        unique_ids,
        collect_naive,
        collect_jsonl_naive,
    )
}


def peak_mb() -> float:
    """Return this process's peak of memory, as the kernel counts it. `ru_maxrss` of a child includes its parent's."""
    return memory_mb("VmHWM")


def memory_mb(name: str) -> float:
    """Return a count of this process's memory, by the kernel's name for it."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(name)).split()[1]) / 1024


if __name__ == "__main__":
    if sys.argv[1] not in CASES:
        from benchmarks import collecting, repeating  # import what they measure, and so only where it is asked for

        CASES.update({**collecting.CASES, **repeating.CASES})
    CASES[sys.argv[1]](int(sys.argv[2]))
    print(peak_mb())  # `runs.measure` reads it
