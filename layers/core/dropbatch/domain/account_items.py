"""Facts about the account at OpenAI: its quotas as far as they are known, its count of batches, and its models."""

from dataclasses import dataclass

from dropbatch.domain.items import Item


@dataclass(slots=True)
class ModelLimit(Item):
    """The known maximum of enqueued tokens for a model, and the accuracy of its estimates."""

    model: str
    tokens: int | None = None  # learned from OpenAI's refusals; None before the first one
    changed_at: int = 0
    halvings: int = 0  # how often it was halved, because batches were refused that should have fitted
    estimated: int = 0  # the estimated tokens of answered rows
    counted: int = 0  # the tokens of the same rows as OpenAI counted them

    @property
    def factor(self) -> float:
        """The factor for estimates: 1 after few answers, and never less than a quarter or more than four."""
        if self.estimated < 10_000 or not self.counted:
            return 1.0
        return min(4.0, max(0.25, self.counted / self.estimated))


@dataclass(slots=True)
class CreateCount(Item):
    """The number of batches that were created in the last clock hour with one."""

    hour: int = 0
    count: int = 0


ANY_MODEL = "*"
"""In place of a model's name: the server does not say which models it has. No model has this name."""


@dataclass(slots=True)
class KnownModel(Item):
    """A model that the server at `host` had when it was last asked; ANY_MODEL if the server cannot be asked."""

    host: str
    model: str
    seen_at: int = 0
