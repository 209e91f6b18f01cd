"""Settings of the stack, read from the environment once. An error names all missing ones at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Self

from dropbatch.batch_api.models import EXAMPLE_MODEL

_SWITCH = {"enabled": True, "disabled": False}


class SettingsIncompleteError(RuntimeError):
    """The environment lacks settings, or holds some that cannot be read."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The functions' environment; each member is the variable of the same name in capitals."""

    inbox_bucket: str
    results_bucket: str
    work_bucket: str
    table: str
    intake_queue_url: str
    dispatch_queue_url: str
    collect_queue_url: str
    intake_dead_letters_url: str
    dispatch_dead_letters_url: str
    collect_dead_letters_url: str
    drop_event_dead_letters_url: str
    notifications_topic_arn: str
    events_topic_arn: str
    alarms_topic_arn: str
    openai_secret_arn: str
    openai_base_url: str
    openai_file_days: int
    absence_confirmation_seconds: int
    recipe_wait_seconds: int
    max_job_cost: Decimal  # US dollars; 0: no limit
    max_monthly_cost: Decimal
    max_drop_gigabytes: int
    max_line_megabytes: int  # of 2**20 bytes
    try_at_once: bool  # "enabled" or "disabled": whether the rows of a recipe's `try` are answered
    time_zone: str  # of the times in messages to people: an IANA name
    aws_region: str  # set by Lambda itself
    token_limits: Mapping[str, int] = field(default_factory=dict)  # `<model>=<tokens>`, by commas; may be empty

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        needed = [member for member in fields(cls) if member.name != "token_limits"]
        missing = [member.name.upper() for member in needed if not environment.get(member.name.upper())]
        if missing:
            raise SettingsIncompleteError(f"these environment variables are not set: {', '.join(missing)}")
        values: dict[str, str | int | Decimal] = {}
        for member in needed:
            value = environment[member.name.upper()]
            if member.type is int:
                if not value.isdecimal():
                    raise SettingsIncompleteError(f"{member.name.upper()} must be a whole number")
                values[member.name] = int(value)
            elif member.type is bool:
                if value not in _SWITCH:
                    raise SettingsIncompleteError(f"{member.name.upper()} must be {' or '.join(_SWITCH)}")
                values[member.name] = _SWITCH[value]
            elif member.type is Decimal:
                values[member.name] = _amount(member.name, value)
            else:
                values[member.name] = value
        _zone(str(values["time_zone"]))
        limits = _token_limits(environment.get("TOKEN_LIMITS", ""))
        return cls(**values, token_limits=limits)  # type: ignore[arg-type]  # read above by each member's own type

    @property
    def zone(self) -> tzinfo:
        return _zone(self.time_zone)


def _amount(name: str, value: str) -> Decimal:
    try:
        amount = Decimal(value)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise SettingsIncompleteError(f"{name.upper()} must be a number of US dollars, such as 25 or 0.5")
    return amount


def _zone(name: str) -> tzinfo:
    """Return the time zone of this name. UTC, the default, loads no database of zones."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a name of a zone, or the name of a folder of zones
        raise SettingsIncompleteError(
            f"TIME_ZONE must be the name of a time zone, such as Europe/Berlin or America/New_York, not {name}: deploy "
            "again with the parameter TimeZone corrected"
        ) from None


def _token_limits(text: str) -> dict[str, int]:
    limits = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        model, _, tokens = part.rpartition("=")
        if not model or not tokens.isdecimal():
            raise SettingsIncompleteError(f"TOKEN_LIMITS must read like {EXAMPLE_MODEL}=2000000,gpt-5.6*=500000")
        limits[model.strip()] = int(tokens)
    return limits
