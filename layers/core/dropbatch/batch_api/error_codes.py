"""The error codes of the Batch API, and the kind of each.

OpenAI publishes no list. These codes occurred in the answers to calls, in a failed batch's `errors` and in error files.
Azure's names for the same faults are beside OpenAI's. Dropbatch does not act on a code that is not in the table.
"""

import re
from enum import StrEnum
from types import MappingProxyType


class CodeKind(StrEnum):
    """The subject of an error code, which decides which rows it concerns."""

    KEY = "key"  # the API key is wrong, or was revoked
    PERMISSION = "permission"  # the key may not do this
    REGION = "region"  # OpenAI does not serve the country that the call came from; no key changes that
    BILLING = "billing"  # the account has no credit left, or is closed
    TOKENS = "tokens"  # the account may not enqueue this number of tokens at once; it is temporary
    RATE = "rate"  # too many calls a minute, or batches an hour; it is temporary
    MODEL = "model"  # there is no such model, or not for this account
    FILE = "file"  # the whole batch file is wrong: empty, too large, or with too many lines
    LINE = "line"  # one line of the batch file is wrong
    CONTENT = "content"  # OpenAI, or Azure's filter, declines the row's request, and would decline it again
    LENGTH = "length"  # the row is longer than the model, or a member of the request, takes


MODEL_NOT_FOUND = "model_not_found"
"""The code of OpenAI's answer about a model that does not exist, or that the key's project may not use."""

ERROR_CODES = MappingProxyType(
    {
        "invalid_api_key": CodeKind.KEY,
        "permission_denied": CodeKind.PERMISSION,
        "insufficient_permissions": CodeKind.PERMISSION,
        "unsupported_country_region_territory": CodeKind.REGION,
        "billing_hard_limit_reached": CodeKind.BILLING,
        "billing_limit_reached": CodeKind.BILLING,
        "billing_not_active": CodeKind.BILLING,
        "insufficient_quota": CodeKind.BILLING,
        "account_deactivated": CodeKind.BILLING,
        "organization_deactivated": CodeKind.BILLING,
        "access_terminated": CodeKind.BILLING,
        "token_limit_exceeded": CodeKind.TOKENS,
        "rate_limit_exceeded": CodeKind.RATE,
        MODEL_NOT_FOUND: CodeKind.MODEL,
        "model_not_available": CodeKind.MODEL,
        "invalid_model": CodeKind.MODEL,
        "unsupported_model": CodeKind.MODEL,
        "model_not_supported": CodeKind.MODEL,
        "empty_file": CodeKind.FILE,
        "too_many_tasks": CodeKind.FILE,  # Azure's
        "invalid_json_line": CodeKind.LINE,
        "missing_required_parameter": CodeKind.LINE,
        "invalid_url": CodeKind.LINE,
        "url_mismatch": CodeKind.LINE,  # Azure's invalid_url
        "mismatched_model": CodeKind.LINE,
        "model_mismatch": CodeKind.LINE,  # Azure's mismatched_model
        "duplicate_custom_id": CodeKind.LINE,
        "streaming_unsupported": CodeKind.LINE,
        "content_filter": CodeKind.CONTENT,  # Azure's, with status 400
        "contentFilter": CodeKind.CONTENT,  # Azure's, of images
        "ResponsibleAIPolicyViolation": CodeKind.CONTENT,  # Azure's, within `innererror`
        "content_policy_violation": CodeKind.CONTENT,
        "image_content_policy_violation": CodeKind.CONTENT,
        "moderation_blocked": CodeKind.CONTENT,
        "invalid_prompt": CodeKind.CONTENT,
        "bio_policy": CodeKind.CONTENT,
        "cyber_policy": CodeKind.CONTENT,
        "misalignment_policy_violation": CodeKind.CONTENT,
        "context_length_exceeded": CodeKind.LENGTH,
        "string_above_max_length": CodeKind.LENGTH,
        "array_above_max_length": CodeKind.LENGTH,
    }
)


def codes_about(*kinds: CodeKind) -> frozenset[str]:
    """Return the codes of these kinds."""
    return frozenset(code for code, kind in ERROR_CODES.items() if kind in kinds)


CONTEXT_LENGTH = "context_length_exceeded"
"""The code of rows that are too long for their model, even if a server uses another code."""

APPROVAL_REQUIRED = "approval_required"
"""Dropbatch's own code of rows whose answer only asks whether a tool may be called."""

TEMPORARY_STATUSES = frozenset({408, 409, 429})
"""The HTTP statuses below 500 of faults that pass, so that another try may succeed."""

TEMPORARY_CODES = frozenset(
    {"server_error", "internal_error", "internal_server_error", "service_unavailable", "timeout", "rate_limit_exceeded"}
)
"""The codes of such faults in rows that have no status, because they were not run."""

BILLING_CODES = codes_about(CodeKind.BILLING)
CONTENT_CODES = codes_about(CodeKind.CONTENT)
LENGTH_CODES = codes_about(CodeKind.LENGTH)
MODEL_CODES = codes_about(CodeKind.MODEL)
PERMISSION_CODES = codes_about(CodeKind.PERMISSION)
REGION_CODES = codes_about(CodeKind.REGION)
TOKEN_CODES = codes_about(CodeKind.TOKENS)

_TOO_LONG = re.compile(
    "(maximum|model's) (context|input) length|context length exceeded|input tokens exceed", re.IGNORECASE
)
"""Servers' messages for a row that is too long for its model, if they give no code. OpenAI's embeddings do so."""


def implied_code(message: str) -> str | None:
    """Return the code that the wording of an error without a code implies; None if it implies none."""
    return CONTEXT_LENGTH if _TOO_LONG.search(message) else None
