"""The joining of a job's results."""

import pytest

from dropbatch.delivery.assemble_job import _content_type
from dropbatch.formats.file_types import KINDS


@pytest.mark.parametrize("extension", KINDS)
def test_a_result_has_the_content_type_of_its_extension(extension: str) -> None:
    is_json_lines = extension in ("jsonl", "ndjson")
    assert (_content_type(f"a.answers.{extension}") == "application/x-ndjson") == is_json_lines
    assert _content_type(f"a.answers.{extension}.gz") == "application/gzip"
