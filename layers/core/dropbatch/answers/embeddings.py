"""The answers of `/v1/embeddings`: vectors as they came, whose numbers are never parsed."""

from collections.abc import Mapping

from dropbatch.answers.choices import ChoiceReader
from dropbatch.answers.failures import error_code
from dropbatch.answers.json_answers import EMPTY, Choice
from dropbatch.answers.raw_json import decode_items, decode_member, decode_members, exact_value
from dropbatch.answers.usage import Usage, read_usage
from dropbatch.domain.outcomes import Outcome

_NO_VECTOR = frozenset({b"null", b"[]", b'""'})


def read_embeddings(body: bytes, reader: ChoiceReader) -> tuple[Choice, Usage | None]:
    """Return the vectors, in the order of their indexes, and the tokens that they took."""
    members = decode_members(body)
    usage = read_usage(decode_member(members.get("usage")))
    error = decode_member(members.get("error"))
    data = bytes(members.get("data", b"null"))
    rows = [decode_members(row) for row in decode_items(data)] if data.startswith(b"[") else []
    if not rows and isinstance(error, Mapping):
        return Choice(Outcome.ERROR, error_code(error, "error"), None), usage
    indexes = [decode_member(row.get("index")) for row in rows]
    if all(isinstance(index, int) for index in indexes):
        rows = [row for _, row in sorted(zip(indexes, rows, strict=True), key=lambda pair: pair[0])]
    vectors = [exact_value(row["embedding"]) for row in rows if bytes(row.get("embedding", b"null")) not in _NO_VECTOR]
    if not vectors or len(vectors) < len(rows):
        return EMPTY, usage
    return reader.read_lists(vectors), usage
