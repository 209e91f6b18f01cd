"""Quotas of the account at OpenAI: what is known of a model's token limit, and how many batches were created."""

from dataclasses import dataclass

from dropbatch.domain.items import Item


@dataclass(slots=True)
class ModelLimit(Item):
    """How many tokens may be enqueued for a model, as far as that is known, and how well its tokens are estimated."""

    model: str
    tokens: int | None = None  # learned from OpenAI's refusals; None while there was none
    changed_at: int = 0
    halvings: int = 0  # how often it was halved since batches were refused that should have fitted
    estimated: int = 0  # tokens that were estimated for rows that were answered, and those that OpenAI counted
    counted: int = 0

    @property
    def factor(self) -> float:
        """By what estimates are multiplied; a few answers prove little, and none is off by more than four."""
        if self.estimated < 10_000 or not self.counted:
            return 1.0
        return min(4.0, max(0.25, self.counted / self.estimated))


@dataclass(slots=True)
class CreateCount(Item):
    """How many batches were created in the hour of the clock in which one was last."""

    hour: int = 0
    count: int = 0
