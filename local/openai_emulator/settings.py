"""The settings: where to listen, where to keep state, which keys may call, how long the phases take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class SettingsError(ValueError):
    """An environment variable cannot be used; the text names it."""


@dataclass(slots=True)
class Delays:
    """Seconds a batch spends in each phase, at least. Changed while running by `POST /_emulator/delays`."""

    validating: float = 0.2
    in_progress: float = 0.5
    finalizing: float = 0.2
    cancelling: float = 0.2


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The service's limits of one batch (Batch API guide). Tests set them small."""

    requests: int = 50_000
    file_bytes: int = 209_715_200
    embedding_inputs: int = 50_000
    created_an_hour: int = 2_000
    upload_bytes: int = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Upstream:
    """Another OpenAI-compatible server that answers instead; `base_url` ends where `/chat/completions` would follow."""

    base_url: str
    api_key: str = ""
    concurrency: int = 8
    timeout_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """One emulator. `keys` maps an API key to its project; `models` empty means that every model exists."""

    directory: Path
    host: str = "127.0.0.1"
    port: int = 4580
    keys: Mapping[str, str] = field(default_factory=lambda: {"sk-emulated": "default"})
    models: tuple[str, ...] = ()
    token_limits: Mapping[str, int] = field(default_factory=dict)
    delays: Delays = field(default_factory=Delays)
    limits: BatchLimits = field(default_factory=BatchLimits)
    upstream: Upstream | None = None
    only_jsonl: bool = False  # refuse an upload whose name does not end in `.jsonl`


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables (the README lists them); raise SettingsError naming the bad one."""
    upstream = None
    if base_url := environment.get("UPSTREAM_BASE_URL"):
        upstream = Upstream(
            base_url.rstrip("/"),
            environment.get("UPSTREAM_API_KEY", ""),
            int(_number(environment, "UPSTREAM_CONCURRENCY", 8, minimum=1)),
        )
    delays = Delays()
    return Settings(
        directory=Path(environment.get("OPENAI_EMULATOR_DIR") or ".local/openai"),
        host=environment.get("OPENAI_EMULATOR_HOST") or "127.0.0.1",
        port=int(_number(environment, "OPENAI_PORT", 4580)),
        keys=_keys(environment.get("OPENAI_EMULATOR_KEY") or "sk-emulated"),
        models=tuple(_items(environment.get("OPENAI_EMULATOR_MODELS", ""))),
        token_limits=_token_limits(environment.get("OPENAI_EMULATOR_TOKEN_LIMITS", "")),
        delays=Delays(
            validating=_number(environment, "OPENAI_EMULATOR_VALIDATING_SECONDS", delays.validating),
            in_progress=_number(environment, "OPENAI_EMULATOR_IN_PROGRESS_SECONDS", delays.in_progress),
            finalizing=_number(environment, "OPENAI_EMULATOR_FINALIZING_SECONDS", delays.finalizing),
            cancelling=_number(environment, "OPENAI_EMULATOR_CANCELLING_SECONDS", delays.cancelling),
        ),
        upstream=upstream,
        only_jsonl=environment.get("OPENAI_EMULATOR_ONLY_JSONL") == "1",
    )


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _keys(text: str) -> dict[str, str]:
    """Read each key's project: `sk-a,sk-b` are keys of one project, `sk-a=p1,sk-b=p2` of two."""
    return {key.strip(): project.strip() or "default" for key, _, project in (i.partition("=") for i in _items(text))}


def _token_limits(text: str) -> dict[str, int]:
    limits = {}
    for item in _items(text):
        model, _, tokens = item.rpartition("=")
        if not model or not tokens.isdecimal():
            raise SettingsError("OPENAI_EMULATOR_TOKEN_LIMITS must read like gpt-6-luna=2000000,gpt-5.6*=500000.")
        limits[model] = int(tokens)
    return limits


def _number(environment: Mapping[str, str], name: str, default: float, *, minimum: float = 0) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        number = float(text)
    except ValueError as error:
        raise SettingsError(f"{name} must be a number.") from error
    if not minimum <= number < float("inf"):
        raise SettingsError(f"{name} must be at least {minimum}.")
    return number
