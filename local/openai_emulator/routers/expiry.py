"""The lifetime of a file, by the `expires_after` of an upload or the `output_expires_after` of a batch."""

from local.openai_emulator.errors import ApiError, wrong_type
from local.openai_emulator.store import DAY, FILE_LIFETIME

MIN_LIFETIME_SECONDS, MAX_LIFETIME_SECONDS = 3_600, 30 * DAY


def read_lifetime(name: str, anchor: object, seconds: object, *, given: bool) -> int:
    """Return the seconds that a file lives; `name` is the parameter that says so, if it is given at all."""
    if not given:
        return FILE_LIFETIME
    if anchor != "created_at":
        message = f"Invalid value for '{name}.anchor'. Supported values are: 'created_at'."
        raise ApiError(400, message, code="invalid_value", param=f"{name}.anchor")
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        raise wrong_type(f"{name}.seconds", "an integer", seconds)
    if not MIN_LIFETIME_SECONDS <= seconds <= MAX_LIFETIME_SECONDS:
        message = (
            f"Invalid '{name}.seconds': expected a value from {MIN_LIFETIME_SECONDS} to {MAX_LIFETIME_SECONDS}, "
            f"but got {seconds} instead."
        )
        below = seconds < MIN_LIFETIME_SECONDS
        code = "integer_below_min_value" if below else "integer_above_max_value"
        raise ApiError(400, message, code=code, param=f"{name}.seconds")
    return seconds
