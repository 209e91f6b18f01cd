"""The errors that the API answers when a call cannot be done, in OpenAI's own shape."""

from typing import Any


class ApiError(Exception):
    """An error answer: HTTP status, and the members of `{"error": {message, type, param, code}}`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type_: str = "invalid_request_error",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.retry_after = retry_after
        self.body = error_body(message, code=code, param=param, type_=type_)


def error_body(
    message: str, *, code: str | None = None, param: str | None = None, type_: str = "invalid_request_error"
) -> dict[str, Any]:
    """Return the JSON of an error, as the API answers it and as a batch's error line has it in `response.body`."""
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def missing_parameter(name: str) -> ApiError:
    """Return the 400 for a required parameter that is not there."""
    return ApiError(400, f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name)


def wrong_type(name: str, expected: str, value: object) -> ApiError:
    """Return the 400 for a value of another JSON type than `expected` (in words: "a string")."""
    return ApiError(
        400,
        f"Invalid type for '{name}': expected {expected}, but got {_json_type(value)} instead.",
        code="invalid_type",
        param=name,
    )


def cannot_find_file(file_id: str) -> str:
    """Return the service's words for a batch's input file that is not there, or not yet."""
    return f"Cannot find file {file_id}, or organization org-emulated does not have access to it."


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    names = {str: "a string", int: "an integer", float: "a decimal", list: "an array"}
    return names.get(type(value), "an object")
