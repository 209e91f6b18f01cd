"""The function that a request wants called, and the arguments it is called with."""

from typing import Any

from local.openai_emulator.answerers.request import AnswerRequest


def forced_function(body: dict[str, Any]) -> dict[str, Any] | None:
    """Return the function that has to be called: the one `tool_choice` names, or the first one if it is `required`.

    Chat completions nest a function's members in `function`, responses do not.
    """
    tools, choice = body.get("tools"), body.get("tool_choice")
    listed = [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    functions = [tool.get("function", tool) for tool in listed if tool.get("type") == "function"]
    if choice == "required":
        return functions[0] if functions else None
    if isinstance(choice, dict) and choice.get("type") == "function":
        name = choice.get("function", choice).get("name")
        return next((function for function in functions if function.get("name") == name), None)
    return None


def arguments_for(request: AnswerRequest, function: dict[str, Any], about: str) -> str:
    """Write the arguments of a call as JSON that fits the function's parameters."""
    return request.json_for(function.get("parameters") or {"type": "object"}, about)
