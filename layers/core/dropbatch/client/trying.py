"""A trial: the first rows of a file are answered at once, at OpenAI's full price, by the synchronous API."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from dropbatch.answers.reader import read_answer
from dropbatch.client.errors import NotReachableError, WrongUseError
from dropbatch.client.local.inbox import local_inbox, open_local, records_of
from dropbatch.client.recipes import LocalRecipe
from dropbatch.domain.drops import Drop
from dropbatch.domain.errors import DropRejectedError, OpenAIAuthError, OpenAIError, RowRejectedError
from dropbatch.domain.outcomes import Outcome
from dropbatch.formats.records import Record
from dropbatch.intake.drop_recipe import compile_for
from dropbatch.json_encoding import to_json
from dropbatch.ports import Answering
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.rows.request_builder import RequestBuilder

MAX_ROWS = 100
"""How many rows are tried at most: more are a job, at half the price."""

_LINE = b'{"custom_id":"1","response":{"status_code":%d,"body":%b},"error":null}\n'


@dataclass(frozen=True, slots=True)
class Tried:
    """One row with its answer. `answers` has the columns that the recipe adds, as JSON has them."""

    number: int
    row: Mapping[str, Any]
    outcome: str
    answers: Mapping[str, Any]
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        members = {"row": self.number, "values": dict(self.row), "outcome": self.outcome, "answers": dict(self.answers)}
        return {**members, **({"error": self.error} if self.error else {})}


@dataclass(frozen=True, slots=True)
class Trial:
    """The first rows of a file, and a recipe that fits them."""

    records: list[Record]
    compiled: CompiledRecipe

    def run(self, openai: Answering) -> Iterator[Tried]:
        """Ask about the rows one after another, and yield each with its answer."""
        builder = RequestBuilder(self.compiled)
        for record in self.records:
            yield self._try(openai, builder, record)

    def _try(self, openai: Answering, builder: RequestBuilder, record: Record) -> Tried:
        values = record.values or {}
        try:
            request = builder.request(record)
        except RowRejectedError as error:
            return Tried(record.number, values, str(Outcome.SKIPPED), {}, error.problems[0].message)
        if request is None:
            return Tried(record.number, values, str(Outcome.SKIPPED), {}, builder.skip_code(record))
        try:
            response = openai.ask(request.endpoint, request.body)
        except OpenAIAuthError as error:
            raise NotReachableError("OpenAI does not accept the API key: set OPENAI_API_KEY to another one.") from error
        except OpenAIError as error:
            raise NotReachableError(f"OpenAI did not answer row {record.number:,}: {error.code}.") from error
        answer = read_answer(_LINE % (response.status, response.body), self.compiled, request.endpoint)
        names = self.compiled.columns
        found = dict(zip(names, (json.loads(to_json(value)) for value in answer.values or ()), strict=False))
        message = "" if answer.outcome is Outcome.OK else str(answer.code or answer.outcome)
        return Tried(record.number, values, str(answer.outcome), found, message)


def prepare(file: Path, key: str, recipe: LocalRecipe, rows: int) -> Trial:
    """Read the first rows of a file, and check the recipe against them. Nothing is asked yet."""
    if not 0 < rows <= MAX_ROWS:
        raise WrongUseError(
            f"Between 1 and {MAX_ROWS} rows can be tried; `dropbatch put` answers more at half the price."
        )
    with local_inbox(file, key, recipe) as context:
        try:
            reader, text = open_local(context, key)
            if text is None:
                raise WrongUseError("A file of ready requests has no recipe to try.")
            columns = reader.layout.columns
            compiled = compile_for(Drop(context.buckets.inbox, key, "", 0), text, columns)
            problems = compiled.check_columns(columns) if columns else []
            if problems:
                raise WrongUseError(problems[0].message)
            return Trial(list(islice(records_of(reader), rows)), compiled)
        except DropRejectedError as error:
            raise WrongUseError(" ".join(problem.message for problem in error.problems.kept[:5])) from error

