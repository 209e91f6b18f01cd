"""The JSON that a request asks for: its response format, checked as OpenAI checks it."""

from typing import Any

from local.openai_emulator.errors import ApiError, missing_parameter, wrong_type
from local.openai_emulator.schemas import strict_problem


def requested_schema(format_: object, param: str, *, nested: bool) -> tuple[bool, object]:
    """Return whether JSON is asked for, and the schema it has to fit; raise ApiError for what OpenAI refuses.

    Chat completions nest the schema's members in `json_schema`, responses do not.
    """
    if format_ is None:
        return False, None
    if not isinstance(format_, dict):
        raise wrong_type(param, "an object", format_)
    kind = format_.get("type")
    if kind is None:
        raise missing_parameter(f"{param}.type")
    if kind == "text":
        return False, None
    if kind == "json_object":
        return True, {"type": "object", "properties": {"emulated": {"type": "string"}}}
    if kind != "json_schema":
        message = f"Invalid value for '{param}.type'. Supported values are: 'text', 'json_object', and 'json_schema'."
        raise ApiError(400, message, code="invalid_value", param=f"{param}.type")
    holder, where = (format_.get("json_schema"), f"{param}.json_schema") if nested else (format_, param)
    if holder is None:
        raise missing_parameter(where)
    if not isinstance(holder, dict):
        raise wrong_type(where, "an object", holder)
    return True, _checked_schema(holder, where, param)


def _checked_schema(holder: dict[str, Any], where: str, param: str) -> object:
    """Return the schema that is named in `holder`, which the request has at `where`."""
    for key, of_type, expected in (("name", str, "a string"), ("schema", dict, "an object")):
        if holder.get(key) is None:
            raise missing_parameter(f"{where}.{key}")
        if not isinstance(holder[key], of_type):
            raise wrong_type(f"{where}.{key}", expected, holder[key])
    if holder.get("strict") and (problem := strict_problem(holder["schema"])):
        message = f"Invalid schema for response_format '{holder['name']}': {problem}."
        raise ApiError(400, message, code="invalid_json_schema", param=param)
    schema: object = holder["schema"]
    return schema
