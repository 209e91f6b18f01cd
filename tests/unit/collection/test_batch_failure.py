"""The kind of failure that the errors of a failed batch mean."""

import pytest

from dropbatch.batch_api.error_codes import ERROR_CODES, CodeKind, codes_about
from dropbatch.collection.batch_failure import Failure, classify_failure

FILE_TEXT = "Cannot find file file-1, or organization org does not have access to it."


@pytest.mark.parametrize(
    ("errors", "kind", "code", "lines"),
    [
        ([], Failure.OTHER, "batch_failed", []),
        ([("something_new", "?", None)], Failure.OTHER, "something_new", []),
        ([("invalid_request", FILE_TEXT, None)], Failure.FILE, "invalid_request", []),
        ([("invalid_request", "No such File object: file-1", None)], Failure.FILE, "invalid_request", []),
        ([("invalid_request", FILE_TEXT, 3)], Failure.ROWS, "invalid_request", [3]),
        ([("invalid_request", FILE_TEXT, 3), ("bad", "", 4)], Failure.ROWS, "invalid_request", [3, 4]),
        ([("invalid_request", FILE_TEXT, None), ("bad", "", 4)], Failure.ROWS, "invalid_request", [4]),
        ([("token_limit_exceeded", "Limit: 9", None)], Failure.TOKENS, "token_limit_exceeded", []),
        ([("bad", "", 2), ("insufficient_quota", "", None)], Failure.ACCOUNT, "insufficient_quota", []),
        # All rows of a batch have one account and one model: the line is only the first of them.
        ([("billing_hard_limit_reached", "", 1)], Failure.ACCOUNT, "billing_hard_limit_reached", []),
        ([("model_not_found", "", 1)], Failure.MODEL, "model_not_found", []),
        # But a row may name something that the key may not use.
        ([("insufficient_permissions", "", 2)], Failure.ROWS, "insufficient_permissions", [2]),
        ([("insufficient_permissions", "", None)], Failure.ACCOUNT, "insufficient_permissions", []),
        ([("model_mismatch", "", 2)], Failure.ROWS, "model_mismatch", [2]),
    ],
)
def test_the_kind_of_a_failure_follows_from_its_errors(
    errors: list[tuple[str, str, int | None]], kind: Failure, code: str, lines: list[int]
) -> None:
    failure = classify_failure(errors)
    assert (failure.kind, failure.code, sorted(failure.lines)) == (kind, code, lines)


def test_azures_codes_mean_what_openais_mean() -> None:
    for pair in (("invalid_url", "url_mismatch"), ("mismatched_model", "model_mismatch")):
        assert len({ERROR_CODES[code] for code in pair}) == 1
    assert codes_about(CodeKind.FILE) == {"empty_file", "too_many_tasks"}
