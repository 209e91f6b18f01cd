"""A trial: the first rows of a file are answered at once, at OpenAI's full price, by the synchronous API."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

from dropbatch.answers.answer import Answer
from dropbatch.answers.reader import read_answer
from dropbatch.batch_api.request import Request
from dropbatch.client.errors import NotReachableError, WrongUseError
from dropbatch.client.local.inbox import local_inbox, open_local, records_of
from dropbatch.client.recipes import LocalRecipe
from dropbatch.domain.drops import Drop
from dropbatch.domain.errors import DropRejectedError, OpenAIAuthError, OpenAIError, RowRejectedError
from dropbatch.domain.outcomes import Outcome
from dropbatch.formats.records import Record
from dropbatch.intake.drop_recipe import compile_for
from dropbatch.json_encoding import to_json
from dropbatch.money.prices import prices_of
from dropbatch.ports import Answering
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.reporting.phrases import dollars_or_null
from dropbatch.rows.request_builder import RequestBuilder

MAX_ROWS = 100
"""How many rows are tried at most: more are a job, at half the price."""

_LINE = b'{"custom_id":"1","response":{"status_code":%d,"body":%b},"error":null}\n'


@dataclass(frozen=True, slots=True)
class Tried:
    """One row with its answer. `answers` has the columns that the recipe adds, as JSON has them.

    `usd` is what the answer cost; None if nobody knows its price.
    """

    number: int
    row: Mapping[str, Any]
    outcome: str
    answers: Mapping[str, Any]
    error: str = ""
    usd: Decimal | None = Decimal(0)

    def to_json(self) -> dict[str, Any]:
        members = {"row": self.number, "values": dict(self.row), "outcome": self.outcome, "answers": dict(self.answers)}
        return {**members, "paid_usd": dollars_or_null(self.usd), **({"error": self.error} if self.error else {})}


@dataclass(frozen=True, slots=True)
class Trial:
    """The first rows of a file, and a recipe that fits them."""

    records: list[Record]
    compiled: CompiledRecipe

    def run(self, openai: Answering, base_url: str = "") -> Iterator[Tried]:
        """Ask about the rows one after another, and yield each with its answer. The server's address has its prices."""
        builder = RequestBuilder(self.compiled)
        for record in self.records:
            yield self._try(openai, builder, record, base_url)

    def _try(self, openai: Answering, builder: RequestBuilder, record: Record, base_url: str) -> Tried:
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
        line = _LINE % (response.status, _as_json(response.body))
        answer = read_answer(line, self.compiled, request.endpoint, is_list=request.asks_for_list)
        names = self.compiled.columns
        found = dict(zip(names, (json.loads(to_json(value)) for value in answer.values or ()), strict=False))
        message = "" if answer.outcome is Outcome.OK else str(answer.code or answer.outcome)
        paid = self._price(request, answer, base_url)
        return Tried(record.number, values, str(answer.outcome), found, message, paid)

    def _price(self, request: Request, answer: Answer, base_url: str) -> Decimal | None:
        """Return what an answer cost at the standard price; None if that is not known."""
        if answer.failed:
            return Decimal(0)
        prices = prices_of(
            request.model, endpoint=request.endpoint, base_url=base_url, given=self.compiled.recipe.prices
        )
        if prices is None or prices.standard is None or answer.usage is None or not prices.covers(answer.usage):
            return None
        return prices.standard.price(answer.usage)


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


def _as_json(body: bytes) -> bytes:
    """Return a body that is JSON; one that is not, as a server in between may send, becomes a text."""
    try:
        json.loads(body)
    except ValueError:
        return to_json(body.decode(errors="replace"))
    return body
