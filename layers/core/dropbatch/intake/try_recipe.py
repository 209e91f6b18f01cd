"""The trial of a recipe: the rows of its `try` are answered at once, through OpenAI's endpoints and not in a batch.

Each request is sent once. Its hash is in the table, and its answer in the work bucket. So an event that comes twice
asks nothing again, nor does a change of the recipe that leaves the requests as they are.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dropbatch.answers.answer import Answer
from dropbatch.answers.reader import read_answer
from dropbatch.answers.usage import NO_USAGE
from dropbatch.batch_api.request import Request
from dropbatch.batch_api.token_estimates import ExpectedTokens
from dropbatch.domain.deadlines import RETENTION_SECONDS
from dropbatch.domain.drops import Drop
from dropbatch.domain.errors import (
    DropRejectedError,
    OpenAIAuthError,
    OpenAIBillingError,
    OpenAIError,
    OpenAIOutcomeUnknownError,
    OpenAIPermissionError,
    OpenAIRateLimitError,
    RowRejectedError,
)
from dropbatch.domain.inbox import TriedRecipe
from dropbatch.domain.outcomes import Outcome
from dropbatch.domain.quotes import Dollars
from dropbatch.domain.spending import NOTHING
from dropbatch.jobs.lease import leased, release, update_own
from dropbatch.jobs.trial_spending import TrialSpending, reserve, settle
from dropbatch.money.cost_meter import CostMeter
from dropbatch.money.prices import prices_of
from dropbatch.money.quote import Histories, Terms, Work, estimate_work, price_work
from dropbatch.ports import HTML, Response
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.recipes.expectations import text_of
from dropbatch.recipes.key_values import MAX_TRIED_ROWS, TriedRow
from dropbatch.recipes.summary import comparers
from dropbatch.reporting.phrases import object_link
from dropbatch.reporting.trial import Trial, TrialRow
from dropbatch.reporting.try_page import page_key, try_page
from dropbatch.storage.context import Context
from dropbatch.storage.item_keys import answers_key
from dropbatch.storage.trial_answers import TrialAnswers

MIN_SECONDS = 75
"""With less time left, no other row is asked: a request may take a minute, and the message must still be sent."""

MAX_SHOWN = 2_000
"""How many characters of a value the page shows: an embedding has 30,000."""

DISABLED = "the stack's parameter `TryAtOnce` is disabled"
NO_TIME = "the time of the function was over"
NO_PRICE = "the price of its model is not known, and the stack has a monthly limit (`MaxMonthlyCost`)"
NO_BUDGET = "the monthly limit of the stack (`MaxMonthlyCost`) is reached"
TOO_MANY = f"{MAX_TRIED_ROWS} requests were sent for this version of the recipe"
NO_ANSWER = "OpenAI did not answer in time"

_STOPS: Mapping[type[OpenAIError], str] = {
    OpenAIAuthError: "there is no API key, or OpenAI does not accept it",
    OpenAIPermissionError: "the API key may not ask this",
    OpenAIBillingError: "OpenAI takes no work from the account",
    OpenAIRateLimitError: "OpenAI is busy",
}
"""Errors that the next row would get, too, in words."""

_LINE = b'{"custom_id":"","response":{"status_code":%d,"body":%b},"error":null}'


@dataclass(slots=True)
class _Row:
    """A row with its request, and the price of that; `reason` says why it has no answer."""

    number: int
    row: TriedRow
    request: Request | None = None
    digest: str = ""
    reason: str = ""
    price: Dollars | None = None

    @property
    def model(self) -> str:
        return self.request.model if self.request is not None else ""

    def ask(self, context: Context) -> Response:
        """Send the request. Raise an OpenAIError if it has no response."""
        if context.answering is None or self.request is None:
            raise AssertionError(f"row {self.number} is not to be asked")
        return context.answering.ask(self.request.endpoint, self.request.body)


def try_rows(context: Context, drop: Drop, compiled: CompiledRecipe, version: str) -> Trial | None:
    """Answer the rows of a recipe's `try`, and write their page. `version` is that of the object that came.

    Return None if another process does so now. A request that fails is a row that was not tried, never an error.
    """
    rows = [_row(number, row, compiled) for number, row in enumerate(compiled.tried, 1)]
    item = context.repository.tried_recipe(drop.bucket, drop.key)
    with leased(context, item, lambda _: True) as taken:
        if taken is None:
            return None
        answers = TrialAnswers(context, answers_key(taken))
        answers.load()
        if taken.reserved_usd is not None:
            _settle_lost(context, taken, drop, answers)
        if taken.version_id != version:
            taken.version_id, taken.sent = version, 0
        spent, sent = TrialSpending(), 0
        if context.answering is not None:
            spent, sent = _ask_new(context, taken, drop, compiled, rows, answers)
        else:
            _give_reason(rows, [row.digest for row in rows if row.request is not None], DISABLED)
        answers.keep_only(taken.digests)
        trial = _finish(context, drop, compiled, rows, answers, spent, sent)

        def over(current: TriedRecipe) -> None:
            current.came_further()
            current.expires_at = context.now() + RETENTION_SECONDS
            release(current)

        update_own(context.repository, taken, over)
        return trial


def _row(number: int, row: TriedRow, compiled: CompiledRecipe) -> _Row:
    """Return a row with its request, or with the reason why it has none."""
    values = dict(row.values)
    if compiled.recipe.id is not None:
        values.setdefault(compiled.recipe.id, str(number))  # it only labels rows
    try:
        request = compiled.request(values)
    except (RowRejectedError, DropRejectedError) as rejected:
        message = next(iter(rejected.problems)).message
        return _Row(number, row, reason=f"it cannot be sent: {message.rstrip('.')}")
    if request is None:
        return _Row(number, row, reason="`when` leaves it out")
    digest = hashlib.sha256(request.endpoint.encode() + b"\n" + request.body).hexdigest()
    return _Row(number, row, request, digest)


def _settle_lost(context: Context, item: TriedRecipe, drop: Drop, answers: TrialAnswers) -> None:
    """Settle a reservation whose process was killed: the answers that came are paid, and the others may be."""
    spent = TrialSpending()
    came = [digest for digest in item.pending if digest in answers.kept]
    for kept in map(answers.kept.__getitem__, came):
        spent.of(kept["model"]).count(None if kept["usd"] is None else Decimal(kept["usd"]))
    if len(came) < len(item.pending):
        spent.assumed = max(NOTHING, (item.reserved_usd or NOTHING) - spent.paid)
    settle(context, item, drop, spent, came)


def _ask_new(
    context: Context,
    item: TriedRecipe,
    drop: Drop,
    compiled: CompiledRecipe,
    rows: Sequence[_Row],
    answers: TrialAnswers,
) -> tuple[TrialSpending, int]:
    """Ask the rows whose requests have no answer yet, as far as money and time allow; return the cost, and how many."""
    spent = TrialSpending()
    wanted = _wanted(context, item, compiled, rows, answers)
    if not wanted:
        return spent, 0
    price = Dollars()
    for each in wanted.values():
        price.add(each.price or Dollars())
    if not reserve(context, item, price, list(wanted)):
        _give_reason(rows, wanted, NO_BUDGET)
        return spent, 0
    stop, unsent, came = "", 0, []
    for digest, each in wanted.items():
        stop = stop or (NO_TIME if context.seconds_left() < MIN_SECONDS else "")
        if stop:
            unsent += 1
            _give_reason(rows, [digest], stop)
            continue
        try:
            response = each.ask(context)
        except OpenAIOutcomeUnknownError:
            spent.assumed += each.price.high if each.price is not None else NOTHING
            _give_reason(rows, [digest], NO_ANSWER)
        except OpenAIError as error:
            stop = _STOPS.get(type(error), f"OpenAI refused the call ({error.code})")
            unsent += 1
            _give_reason(rows, [digest], stop)
        else:
            usd = _cost(context, compiled, each, response)
            spent.of(each.model).count(usd)
            answers.add(digest, response, each.model, usd)
            came.append(digest)
    settle(context, item, drop, spent, came, unsent)
    return spent, len(wanted) - unsent


def _wanted(
    context: Context, item: TriedRecipe, compiled: CompiledRecipe, rows: Sequence[_Row], answers: TrialAnswers
) -> dict[str, _Row]:
    """Return the rows to ask by the digests of their requests; the others get the reason why not."""
    room = MAX_TRIED_ROWS - item.sent
    known = set(item.digests) & answers.kept.keys()  # the work bucket keeps nothing for ever
    wanted: dict[str, _Row] = {}
    for row in rows:
        if row.request is None or row.digest in known or row.digest in wanted:
            continue
        row.price = _price(context, compiled, row.request)
        if row.price is None and context.max_month_usd is not None:
            row.reason = NO_PRICE
        elif len(wanted) >= room:
            row.reason = TOO_MANY
        else:
            wanted[row.digest] = row
    return wanted


def _give_reason(rows: Sequence[_Row], digests: Iterable[str], reason: str) -> None:
    """Give all rows with these requests the reason why they have no answer."""
    concerned = set(digests)
    for row in rows:
        if row.digest in concerned:
            row.reason = reason


def _price(context: Context, compiled: CompiledRecipe, request: Request) -> Dollars | None:
    """Return what a request likely costs, and the most, without a batch; None if no price is known."""
    expected = ExpectedTokens()
    expected.add(request.expected_tokens, request.estimated_input_tokens)
    work = Work(request.endpoint, request.model, 1, expected)
    given, url = compiled.recipe.prices, context.openai_base_url
    prices = prices_of(request.model, endpoint=request.endpoint, base_url=url, given=given)
    at_once = prices.at_once if prices is not None else None
    return price_work(work, estimate_work(work, Terms(), Histories()), at_once).price


def _cost(context: Context, compiled: CompiledRecipe, row: _Row, response: Response) -> Decimal | None:
    """Return what a response cost; None if that is not known."""
    if row.request is None:
        raise AssertionError(f"row {row.number} has a response, and no request")
    given, url = compiled.recipe.prices, context.openai_base_url
    meter = CostMeter(row.model, row.request.endpoint, base_url=url, given=given, at_once=True)
    answer = _read(compiled, row.request, response)
    if answer.usage is not None:
        meter.add([answer.usage])
    meter.add_without_usage([answer])
    meter.add_calls([answer])
    cost = meter.total()
    return None if cost.unpriced or cost.unpriced_tool_calls else cost.usd


def _read(compiled: CompiledRecipe, request: Request, response: Response) -> Answer:
    """Return the answer in a response, which is read as a line of a batch is."""
    line = _LINE % (response.status, response.body)
    return read_answer(line, compiled, request.endpoint, is_list=request.asks_for_list)


def _finish(
    context: Context,
    drop: Drop,
    compiled: CompiledRecipe,
    rows: Sequence[_Row],
    answers: TrialAnswers,
    spent: TrialSpending,
    sent: int,
) -> Trial:
    """Return the trial of these rows, and write its page."""
    shown = [_shown(compiled, row, answers) for row in rows]
    paid = None if spent.unpriced and not spent.paid else spent.paid
    bucket, page = context.buckets.results, page_key(drop)
    trial = Trial(shown, page, sent, paid, object_link(context.region, bucket, page))
    context.objects.put(bucket, page, try_page(drop, trial), HTML)
    return trial


def _shown(compiled: CompiledRecipe, row: _Row, answers: TrialAnswers) -> TrialRow:
    cells = {name: _cut(value) for name, value in row.row.values.items()}
    expected: Mapping[str, Any] = row.row.expect or {}
    known = {column: _cut(value) for column, value in expected.items()}
    response = answers.get(row.digest)
    if row.request is None or response is None:
        return TrialRow(row.number, cells, expected=known, reason=row.reason)
    answer = _read(compiled, row.request, response)
    is_good = answer.outcome is Outcome.OK
    values = dict(zip(compiled.columns, answer.values or (), strict=False))
    by_column = comparers(compiled)
    unmet = [
        column
        for column, value in expected.items()
        if by_column[column].canonical(value) != by_column[column].canonical(values.get(column))
    ]
    usage = answer.usage or NO_USAGE
    return TrialRow(
        row.number,
        cells,
        {column: _cut(value) for column, value in values.items()},
        known,
        not unmet if is_good and expected else None,
        str(answer.outcome),
        "" if is_good else f"its answer is {answer.outcome}" + (f" ({answer.code})" if answer.code else ""),
        usage.input_tokens,
        usage.output_tokens,
        answers.usd(row.digest),
        unmet if is_good else (),
    )


def _cut(value: Any) -> str:
    """Return a value as the page shows it."""
    text = text_of(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
