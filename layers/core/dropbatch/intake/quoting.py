"""Quotes a job that is about to start: its work is priced, and each of its batches gets its share."""

from collections.abc import Sequence

from dropbatch.batch_api.prompt_caching import takes_breakpoints
from dropbatch.batch_api.token_estimates import ExpectedTokens, TokenEstimate, estimate_tokens
from dropbatch.domain.batches import Batch
from dropbatch.domain.jobs import Job
from dropbatch.domain.quotes import Quote, QuotePart, Tokens, UsageHistory
from dropbatch.jobs.usage_history import histories, history_name
from dropbatch.money.prices import Prices, prices_of
from dropbatch.money.quote import Histories, Pair, Terms, Work, parts_of, quote_of
from dropbatch.recipes.compiled_recipe import CompiledRecipe
from dropbatch.storage.context import Context


def quote_batches(
    context: Context,
    job: Job,
    rows: int,
    batches: Sequence[Batch],
    expected: Sequence[ExpectedTokens],
    compiled: CompiledRecipe | None,
) -> Quote:
    """Return the quote of a job that sends these batches, with `expected` tokens each, and set the batches' prices."""
    works = [
        Work(batch.endpoint, batch.model, batch.requests, tokens)
        for batch, tokens in zip(batches, expected, strict=True)
    ]
    name = history_name(job, compiled.recipe.path if compiled else None)
    by_recipe: dict[Pair, UsageHistory] = {}
    by_model: dict[Pair, UsageHistory] = {}
    for part, own, general in histories(context.repository, name, parts_of(works)):
        pair = part.endpoint, part.model
        by_recipe[pair], by_model[pair] = own, general

    given = compiled.recipe.prices if compiled else None

    def prices(endpoint: str, model: str) -> Prices | None:
        return prices_of(model, endpoint=endpoint, base_url=context.openai_base_url, given=given)

    quote, priced = quote_of(rows, works, _terms(compiled), Histories(by_recipe, by_model), prices)
    for batch, one in zip(batches, priced, strict=True):
        if one.price is not None:
            batch.likely_usd, batch.high_usd = one.price.likely, one.price.high
    return quote


def _terms(compiled: CompiledRecipe | None) -> Terms:
    """Return what a recipe says about its requests. Ready requests are taken to leave OpenAI's cache as it is."""
    if compiled is None:
        return Terms(writes_rows=takes_breakpoints)
    return Terms(
        compiled.cached_prefix_tokens,
        takes_breakpoints if compiled.writes_rows_to_cache else lambda _: False,
        retries_invalid=compiled.recipe.retry_invalid,
    )


def expected_again(batch: Batch, former: Quote | None, compiled: CompiledRecipe | None) -> ExpectedTokens:
    """Return the tokens that a batch of a `.retry` is expected to have.

    Its requests are not built again for that. If the recipe does not decide their estimate alone, they count as the
    average of the former job's requests, or else as requests of which nothing is known.
    """
    estimate = compiled.expected_tokens if compiled else None
    part = next((part for part in former.parts if _is_of(part, batch)), None) if former else None
    if estimate is None and part is not None and part.requests:
        estimate = _average(part)
    if estimate is None:
        estimate = estimate_tokens(batch.endpoint, batch.model, b"{}")
    found = ExpectedTokens()
    found.add(estimate, batch.tokens, batch.requests)
    return found


def _is_of(part: QuotePart, batch: Batch) -> bool:
    return (part.endpoint, part.model) == (batch.endpoint, batch.model)


def _average(part: QuotePart) -> TokenEstimate:
    more = (part.input_tokens - part.tokens) // part.requests
    said = part.output_tokens
    output = Tokens(*(-(-count // part.requests) for count in (said.low, said.likely, said.high)))
    return TokenEstimate(Tokens(more, more, more), output, part.basis, part.schema, frozenset(part.notes))
