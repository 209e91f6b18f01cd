"""The answers of `/v1/moderations`: whether each input is flagged, and the categories that it is flagged for."""

from collections.abc import Mapping
from typing import Any

from dropbatch.answers.choices import ChoiceReader
from dropbatch.answers.json_answers import EMPTY, Choice
from dropbatch.answers.raw_json import mappings
from dropbatch.json_encoding import as_mapping


def read_moderations(response: Mapping[str, Any], reader: ChoiceReader) -> Choice:
    """Return the two columns of the moderated inputs."""
    results = mappings(response.get("results"))
    if not results or not all(isinstance(result.get("flagged"), bool) for result in results):
        return EMPTY
    flagged = [result["flagged"] for result in results]
    categories = [[name for name, hit in as_mapping(r.get("categories")).items() if hit is True] for r in results]
    return reader.read_lists(flagged, categories)
