"""The kinds of faults: everything that the real service, or a server like it, has been seen to do wrong.

Each fault is a small model with a `kind`. It applies to models that match the glob `model`, and strikes at most `times`
times (any number of times if None). What one time is depends on the kind: a row, a batch, or a call.
"""

import hashlib
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Fault(BaseModel):
    """The members that all faults share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    model: str = "*"
    times: int | None = Field(default=None, ge=1)


class RowFault(Fault):
    """Strikes rows: those on which *all* the selectors that are given agree, or every row if none is given."""

    every: int | None = Field(default=None, ge=1, description="the k-th, 2k-th, … line of the batch file")
    fraction: float | None = Field(default=None, ge=0, le=1, description="this share, the same rows each time")
    contains: str | None = Field(default=None, description="lines that hold this text")
    custom_ids: list[str] | None = None
    each: int | None = Field(default=None, ge=1, description="how often each body is struck at most")

    def selects(self, number: int, custom_id: str, line: bytes, body: bytes) -> bool:
        """Return whether the fault strikes the row on 1-based line `number`; `fraction` hashes the `body`."""
        if self.every is not None and number % self.every:
            return False
        if self.custom_ids is not None and custom_id not in self.custom_ids:
            return False
        if self.contains is not None and self.contains.encode() not in line:
            return False
        if self.fraction is not None:
            share = int.from_bytes(hashlib.blake2b(body, digest_size=4).digest(), "big") / 2**32
            return share < self.fraction
        return True


class FailRows(RowFault):
    """Rows go to the error file. With no selector every row fails, and the batch has no output file.

    `shape`: `http` (a response with `status` and an error body), `status_zero` (`status_code: 0`, empty body),
    `not_run` (`response: null`, the top-level `error` has `code`), `no_response_member` (the same without `response`).
    """

    kind: Literal["fail_rows"]
    shape: Literal["http", "status_zero", "not_run", "no_response_member"] = "http"
    status: int = 500
    code: str = "server_error"
    message: str = "The server had an error while processing your request. (emulated fault)"
    uncounted: bool = Field(default=False, description="`request_counts` counts them as completed")


class MissingRows(RowFault):
    """Rows are answered and counted, but are in neither file; with `uncounted` they are not counted either."""

    kind: Literal["missing_rows"]
    uncounted: bool = False


class DuplicateRows(RowFault):
    """Rows are in their file twice."""

    kind: Literal["duplicate_rows"]


class StringBodies(RowFault):
    """`response.body` is a string that holds JSON."""

    kind: Literal["string_bodies"]


Spoiling = Literal["refusal", "content_filter", "empty", "schema", "not_json", "truncated"]


class SpoilAnswers(RowFault):
    """Rows are answered with 200, but badly.

    `how`: a refusal, a content filter, no text (`empty`), a violated schema (`schema`), text instead of JSON
    (`not_json`), or text that is cut at the token cap (`truncated`).
    """

    kind: Literal["spoil_answers"]
    how: Spoiling = "schema"


PROMPT = "{{prompt}}"
"""The placeholder, in an answer that a fault gives, for the text that the row asks about."""


class AnswerRows(RowFault):
    """Rows are answered with this status and body, word for word, in place of the emulator's own answer.

    A text within the body that is PROMPT is replaced by the text of the row's last message or input.
    """

    kind: Literal["answer_rows"]
    status: int = Field(default=200, ge=100, le=599)
    body: dict[str, Any]


class BatchFault(Fault):
    """Strikes batches: once struck, a batch stays struck."""


class ExpireAfterRows(BatchFault):
    """The batch expires when `rows` rows have been run."""

    kind: Literal["expire_after_rows"]
    rows: int = Field(ge=0)


class EmptyErrorFile(BatchFault):
    """An error file is there although no row failed."""

    kind: Literal["empty_error_file"]


class BlankErrorFileId(BatchFault):
    """`error_file_id` is an empty string when it would be null."""

    kind: Literal["blank_error_file_id"]


class LateOutputId(BatchFault):
    """`output_file_id` appears only `seconds` after the batch has completed."""

    kind: Literal["late_output_id"]
    seconds: float = Field(ge=0)


class ListLag(BatchFault):
    """A created batch is not listed for `seconds` (retrieving it by id works)."""

    kind: Literal["list_lag"]
    seconds: float = Field(ge=0)


class StaleRetrieve(BatchFault):
    """Retrieving the batch by id shows it as it was `seconds` ago, while the list shows it as it is."""

    kind: Literal["stale_retrieve"]
    seconds: float = Field(ge=0)


class NoMetadata(BatchFault):
    """The batch is shown without its metadata: everywhere, or only in the list."""

    kind: Literal["no_metadata"]
    at: Literal["list", "everywhere"] = "everywhere"


class StuckUntilRetrieved(BatchFault):
    """The batch moves on only when it is retrieved by id, never when it is only listed."""

    kind: Literal["stuck_until_retrieved"]


class Delay(BatchFault):
    """The batch stays in `phase` for `seconds` instead of the usual time (slow answers: `in_progress`)."""

    kind: Literal["delay"]
    phase: Literal["validating", "in_progress", "finalizing", "cancelling"]
    seconds: float = Field(ge=0)


class RenameStatus(BatchFault):
    """The batch says `name` when it would say `status`: an unknown word, or the American `canceled`."""

    kind: Literal["rename_status"]
    status: str
    name: str


class FileNotFound(BatchFault):
    """A file younger than `seconds` is not found when a batch is validated (or already when it is created)."""

    kind: Literal["file_not_found"]
    seconds: float = Field(ge=0)
    at: Literal["validation", "create"] = "validation"


class FailBatch(BatchFault):
    """The batch fails validation with this error."""

    kind: Literal["fail_batch"]
    code: str = "invalid_request"
    message: str = "The batch could not be processed. (emulated fault)"
    line: int | None = None
    param: str | None = None


class TokenLimit(BatchFault):
    """Each model that matches has at most `tokens` enqueued; `times` does not apply."""

    kind: Literal["token_limit"]
    tokens: int = Field(ge=0)


class CreateAnswerLost(BatchFault):
    """Creating takes effect, but the connection is dropped without an answer, or answered with 500."""

    kind: Literal["create_answer_lost"]
    how: Literal["drop", "500"] = "drop"


class CallFault(Fault):
    """Strikes calls of the API: `method` and `path` are globs (`GET`, `/v1/files/*/content`). `model` is ignored."""

    method: str = "*"
    path: str = "*"

    def selects(self, method: str, path: str) -> bool:
        return fnmatchcase(method, self.method.upper()) and fnmatchcase(path, self.path)


class HttpError(CallFault):
    """The call is answered with an error and has no effect; `drop` closes the connection instead."""

    kind: Literal["http_error"]
    status: int = Field(default=500, ge=400, le=599)
    code: str | None = None
    message: str = "Emulated fault."
    retry_after: float | None = Field(default=None, ge=0, description="seconds, sent as Retry-After")
    drop: bool = False


class SlowCall(CallFault):
    """The call takes `seconds` longer, in real time."""

    kind: Literal["slow_call"]
    seconds: float = Field(ge=0)


class TruncatedDownload(CallFault):
    """A file's content breaks off after `after_bytes`, with the full length announced; a Range is respected."""

    kind: Literal["truncated_download"]
    after_bytes: int = Field(default=100, ge=0)


class IgnoreRange(CallFault):
    """A Range is ignored: the whole file is answered with 200."""

    kind: Literal["ignore_range"]


AnyFault = Annotated[
    FailRows
    | MissingRows
    | DuplicateRows
    | StringBodies
    | SpoilAnswers
    | AnswerRows
    | ExpireAfterRows
    | EmptyErrorFile
    | BlankErrorFileId
    | LateOutputId
    | ListLag
    | StaleRetrieve
    | NoMetadata
    | StuckUntilRetrieved
    | Delay
    | RenameStatus
    | FileNotFound
    | FailBatch
    | TokenLimit
    | CreateAnswerLost
    | HttpError
    | SlowCall
    | TruncatedDownload
    | IgnoreRange,
    Field(discriminator="kind"),
]
