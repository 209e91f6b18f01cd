"""The models that take cache breakpoints."""

import pytest

from dropbatch.batch_api.prompt_caching import takes_breakpoints


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-5.6", "gpt-5.6-luna", "gpt-5.10-sol", "gpt-6-luna", "gpt-6-sol-2026-09-01", "gpt-6.1-terra", "gpt-7"),
        *("ft:gpt-6-luna:acme::x1", "ft:gpt-5.6-luna-2026-06-01:acme:mine:x1"),
    ],
)
def test_gpt_5_6_and_later_models_take_breakpoints(model: str) -> None:
    assert takes_breakpoints(model)


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-5.5", "gpt-5.5-pro", "gpt-5.4-mini-2026-03-17", "gpt-5.2", "gpt-5-any", "gpt-4x", "o9"),
        *("ft:gpt-5.4:acme::x1", "ft:acme", "gpt-oss-120b", "gpt-35-turbo", "openai/gpt-6-luna", "llama-6", "mine"),
        *("gpt-6luna", "gpt-", ""),
    ],
)
def test_other_models_are_not_known_to(model: str) -> None:
    assert not takes_breakpoints(model)
