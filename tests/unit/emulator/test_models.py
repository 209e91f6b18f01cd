"""The models that the emulator has, by its clock."""

from datetime import UTC, datetime, timedelta

import pytest

from dropbatch.batch_api.deprecations import find_shutdown
from local.openai_emulator import retired
from local.openai_emulator.retired import is_retired


@pytest.mark.parametrize("model", ["gpt-5-mini", "gpt-5-mini-2025-08-07", "ft:gpt-5-mini-2025-08-07:org::id"])
def test_a_model_is_retired_at_midnight_of_its_day(model: str) -> None:
    midnight = datetime(2026, 12, 11, tzinfo=UTC).timestamp()
    assert (is_retired(model, midnight - 1), is_retired(model, midnight)) == (False, True)


@pytest.mark.parametrize("model", ["gpt-6-luna", "gpt-5.6-sol", "gpt-4o", "my-own", "ft:broken", "ft:mine:org::id"])
def test_other_models_stay(model: str) -> None:
    assert not is_retired(model, datetime(2026, 12, 31, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("model", retired._RETIRED_AT)
def test_the_emulator_and_dropbatch_agree_on_the_day(model: str) -> None:
    shutdown = find_shutdown(model)
    assert shutdown is not None
    midnight = datetime.combine(shutdown.day, datetime.min.time(), UTC)
    assert is_retired(model, midnight.timestamp())
    assert not is_retired(model, (midnight - timedelta(seconds=1)).timestamp())
