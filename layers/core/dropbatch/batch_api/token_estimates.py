"""Estimates of the tokens of a request: those of its prompt beside a quarter of its bytes, and those of its answers.

For a recipe the estimate is made once, for a ready request from the members that matter. What differs from row to row
is texts, and a quarter of a request's bytes counts them. The rest of its bytes, the names and settings around the
texts, is taken off again, because a model does not read it.
"""

from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from dropbatch.batch_api.answer_tokens import answer_estimate
from dropbatch.batch_api.endpoints import CHAT, COMPLETIONS, RESPONSES
from dropbatch.batch_api.estimates import BYTES_PER_TOKEN
from dropbatch.batch_api.prompt_sizes import ABSENT, UNREADABLE, PromptSize, count_texts
from dropbatch.domain.quotes import FILE, IMAGE, NONE, TYPICAL, Tokens

MESSAGE_TOKENS, REQUEST_TOKENS = 4, 3
"""The tokens around a message, and around all of them."""


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """The tokens of a request: `more_input` is what its prompt has beside a quarter of its bytes, and may be negative.

    `form` is a hash of what decides the form of its answers, `basis` where their estimate comes from. `cap` is the
    maximum of their tokens, 0 if it has none.
    """

    more_input: Tokens
    output: Tokens
    basis: str = NONE
    form: str = ""
    notes: frozenset[str] = frozenset()
    cap: int = 0

    @property
    def has_media(self) -> bool:
        """True if its bytes may be those of images, files or sounds: a row of the same form may have others."""
        return not self.notes.isdisjoint((IMAGE, FILE))


@dataclass(slots=True)
class ExpectedTokens:
    """The sum of the estimates of requests to one model. The output has the notes and the form of the first."""

    tokens: int = 0  # a quarter of their bytes
    more_input: Tokens = field(default_factory=Tokens)
    output: Tokens = field(default_factory=Tokens)
    basis: str = ""
    form: str = ""
    notes: set[str] = field(default_factory=set)
    caps: int = 0  # the sum of the caps of those that have one
    uncapped: int = 0  # the number of requests without a cap

    def add(self, estimate: TokenEstimate, tokens: int, requests: int = 1) -> None:
        """Add requests that have the same estimate. `tokens` are a quarter of their bytes."""
        self.tokens += tokens
        self.more_input.add(estimate.more_input, requests)
        self.output.add(estimate.output, requests)
        if estimate.notes:
            self.notes |= estimate.notes
        if estimate.cap:
            self.caps += estimate.cap * requests
        else:
            self.uncapped += requests
        if not self.basis or estimate.basis == TYPICAL:
            self.basis = estimate.basis
        self.form = self.form or estimate.form

    def take(self, requests: int, of: int, tokens: int) -> "ExpectedTokens":
        """Remove the share of some of the requests, whose bytes make `tokens`, and return it."""
        taken = replace(
            self,
            tokens=tokens,
            more_input=self.more_input.take(requests, of),
            output=self.output.take(requests, of),
            notes=set(self.notes),
            caps=self.caps * requests // of,
            uncapped=-(-self.uncapped * requests // of),
        )
        self.tokens -= tokens
        self.caps -= taken.caps
        self.uncapped -= taken.uncapped
        return taken

    @property
    def input(self) -> Tokens:
        """The estimated tokens of all prompts."""
        more = self.more_input
        return Tokens(*(max(0, self.tokens + each) for each in (more.low, more.likely, more.high)))


class _Members(msgspec.Struct, gc=False):
    """The members of a body that the estimate depends on. Their types are the sender's business."""

    messages: msgspec.Raw = ABSENT
    input: msgspec.Raw = ABSENT
    instructions: msgspec.Raw = ABSENT
    prompt: msgspec.Raw = ABSENT
    tools: msgspec.Raw = ABSENT
    response_format: msgspec.Raw = ABSENT
    text: msgspec.Raw = ABSENT
    reasoning: msgspec.Raw = ABSENT
    reasoning_effort: msgspec.Raw = ABSENT
    max_tokens: msgspec.Raw = ABSENT
    max_completion_tokens: msgspec.Raw = ABSENT
    max_output_tokens: msgspec.Raw = ABSENT
    n: msgspec.Raw = ABSENT
    quality: msgspec.Raw = ABSENT

    @property
    def prompts(self) -> tuple[bytes, ...]:
        """The members that hold what the model reads."""
        return bytes(self.messages), bytes(self.input), bytes(self.instructions), bytes(self.prompt)

    @property
    def settings(self) -> tuple[bytes, ...]:
        """The members that are the same for most requests of a job, in the order that `answer_tokens` reads."""
        return tuple(
            map(
                bytes,
                (
                    *(self.tools, self.response_format, self.text, self.reasoning, self.reasoning_effort),
                    *(self.max_completion_tokens, self.max_output_tokens, self.max_tokens, self.n, self.quality),
                ),
            )
        )


ROW_MEMBERS: Final = frozenset({"messages", "input", "instructions", "prompt"})
"""The members that count by their length. If a row decides another one of `TOKEN_MEMBERS`, its request has an estimate
of its own."""

TOKEN_MEMBERS: Final = frozenset(_Members.__struct_fields__)
"""The names of the members of a body that the estimate depends on."""

_members = msgspec.json.Decoder(_Members)


def estimate_tokens(endpoint: str, model: str, body: bytes, unread_bytes: int = 0) -> TokenEstimate:
    """Return the estimate of a request with this body; one that cannot be read counts as its bytes say.

    `unread_bytes` of the body do not count in the quarter of its bytes.
    """
    prompt = PromptSize(model)
    try:
        members = _members.decode(body)
        for raw in members.prompts:
            prompt.read(raw)
    except UNREADABLE:
        members, prompt = _Members(), PromptSize(model)
        prompt.bytes = len(body)
    said = answer_estimate(endpoint, model, members.settings)
    around = 0
    if endpoint in (CHAT, RESPONSES):
        around = MESSAGE_TOKENS * max(1, prompt.messages) + REQUEST_TOKENS
    more = around - (len(body) - unread_bytes - prompt.bytes - said.bytes) // BYTES_PER_TOKEN
    low, likely, high = prompt.media
    output, cap = said.output, said.cap
    if endpoint == COMPLETIONS:
        inputs = count_texts(bytes(members.prompt))
        output, cap = Tokens(output.low * inputs, output.likely * inputs, output.high * inputs), cap * inputs
    notes = said.notes | prompt.notes if prompt.notes else said.notes
    more_input = Tokens(more + low, more + likely, more + high)
    return TokenEstimate(more_input, output, said.basis, said.form, notes, cap)
