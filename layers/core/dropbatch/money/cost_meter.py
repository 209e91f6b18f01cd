"""The cost of the answers of one batch: tokens are added up as they come, and priced once at the end."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal

from dropbatch.answers.answer import UNREADABLE, Answer
from dropbatch.answers.cost import Cost
from dropbatch.answers.tool_calls import ToolCalls
from dropbatch.answers.usage import NO_USAGE, Usage, sum_columns, sum_usages
from dropbatch.batch_api.endpoints import CHAT, endpoint_at
from dropbatch.batch_api.tool_fees import BLOCK_TOKENS, charges_blocks, search_model_kind
from dropbatch.domain.outcomes import ANSWERED
from dropbatch.money.prices import Tariff, prices_of, tokens_by_kind
from dropbatch.recipes.money_values import GivenPrices

_ZERO = Decimal(0)


class CostMeter:
    """The cost of all answers of one model.

    Tokens are added up by the rates that apply to their request: a request with a long context has higher ones.
    `at_once` says that the requests were not in a batch.
    """

    def __init__(
        self,
        model: str,
        endpoint: str,
        *,
        base_url: str = "",
        given: GivenPrices | None = None,
        at_once: bool = False,
    ) -> None:
        self._model = model or endpoint_at(endpoint).default_model or ""
        prices = prices_of(self._model, endpoint=endpoint, base_url=base_url, given=given)
        self._prices = prices.at_once if prices is not None and at_once else prices
        self._is_free = self._prices is not None and self._prices.is_free
        self._starts = self._prices.batch.starts if self._prices else ()
        self._usages = [NO_USAGE] * (len(self._starts) + 1)  # of text alone
        self._tokens: list[Counter[str]] = [Counter() for _ in self._usages]  # the priced ones of all others
        self._others = NO_USAGE
        self._requests = 0
        self._priced = 0
        self._unpriced = 0
        self._unread = 0
        self._search = search_model_kind(self._model) if endpoint == CHAT else None
        self._calls: Counter[str] = Counter()
        self._blocks = 0

    def add(self, usages: Sequence[Usage]) -> Usage:
        """Add the tokens of requests, of which there is at least one, and return their sum."""
        columns = list(zip(*usages, strict=True))
        total = sum_columns(columns)
        self._requests += len(usages)
        self._count_searches(len(usages))
        if self._prices is None:
            self._unpriced += len(usages)
            self._others = sum_usages((self._others, total))
            return total
        unpriced = 0
        if 0 in columns[0] and not self._is_free:  # a usage of no tokens at all does not count any
            unpriced = sum(not usage.input_tokens and not usage.output_tokens for usage in usages)
        if total.media is not None or self._prices.makes_images:
            known = [usage for usage in usages if self._prices.covers(usage)]
            unpriced += len(usages) - len(known)
            for usage in known:
                self._tokens[self._step(usage)].update(tokens_by_kind(usage))
            self._others = sum_usages((self._others, total))
        elif not self._starts or max(columns[0]) <= self._starts[0]:
            self._usages[0] = sum_usages((self._usages[0], total))
        else:
            for usage in usages:
                step = self._step(usage)
                self._usages[step] = sum_usages((self._usages[step], usage))
        self._unpriced += unpriced
        self._priced += len(usages) - unpriced
        return total

    def add_without_usage(self, answers: Sequence[Answer]) -> None:
        """Count the answers that were paid for but do not say how many tokens they took."""
        without_usage = [answer for answer in answers if answer.usage is None]
        answered = sum(answer.outcome in ANSWERED and not answer.failed for answer in without_usage)
        self._requests += answered
        if not self._is_free:
            self._unpriced += answered
            self._count_searches(answered)
        self.add_unread(sum(answer.code == UNREADABLE for answer in without_usage))

    def add_calls(self, answers: Iterable[Answer]) -> None:
        """Add the calls to tools in these answers."""
        for answer in answers:
            calls: ToolCalls = answer.tools or {}
            if self._search is None:  # else each answer counts as one search
                self._calls.update(calls)
            for kind, count in calls.items():
                # OpenAI does not say whether the usage includes the block. A smaller usage cannot.
                if charges_blocks(kind, self._model) and not _holds(answer.usage, count * BLOCK_TOKENS):
                    self._blocks += count

    def _count_searches(self, answers: int) -> None:
        """Count the searches of a model that searches once for each answer."""
        if self._search:
            self._calls[self._search] += answers

    def add_unread(self, count: int) -> None:
        """Count requests that may have been paid for, but whose answers could not be collected."""
        if not self._is_free:
            self._unread += count

    def total(self) -> Cost:
        """Return the cost of everything that was added."""
        calls = dict(+self._calls)
        counted = Cost(
            unpriced=self._unpriced,
            unread=self._unread,
            tool_calls=calls,
            model=self._model,
            requests=self._requests,
            usage=sum_usages((self._others, *self._usages)),
        )
        if self._prices is None:
            return counted._replace(unpriced_tool_calls=sum(calls.values()))
        fees = {kind: self._prices.fee(kind, self._model) for kind in calls}
        fees_usd = sum((count * (fees[kind] or _ZERO) for kind, count in calls.items()), _ZERO)
        usd = fees_usd + self._price(self._prices.batch)
        standard = self._prices.standard
        return counted._replace(
            usd=usd,
            standard_usd=usd if standard is None else fees_usd + self._price(standard),
            fees_usd=fees_usd,
            unpriced_tool_calls=sum(count for kind, count in calls.items() if fees[kind] is None),
            without_standard=self._priced if standard is None else 0,
            source=self._prices.source,
            notes=self._prices.notes,
        )

    def _price(self, tariff: Tariff) -> Decimal:
        blocks = tariff.price_of({"input": self._blocks * BLOCK_TOKENS}, 0)
        texts = [tariff.price_of(tokens_by_kind(usage), step) for step, usage in enumerate(self._usages)]
        return sum((tariff.price_of(tokens, step) for step, tokens in enumerate(self._tokens)), sum(texts, blocks))

    def _step(self, usage: Usage) -> int:
        return bisect_left(self._starts, usage.input_tokens)


def _holds(usage: Usage | None, tokens: int) -> bool:
    return usage is not None and usage.input_tokens >= tokens
