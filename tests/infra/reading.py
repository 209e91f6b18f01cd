"""Queries of a template."""

from collections.abc import Iterator
from typing import Any

Template = dict[str, Any]


def of_type(resources: Template, kind: str) -> Template:
    return {name: resource for name, resource in resources.items() if resource["Type"] == kind}


def statements(policy: Template) -> list[Template]:
    found = policy["Statement"]
    return found if isinstance(found, list) else [found]


def permissions(resources: Template, role: str) -> list[Template]:
    """Return the statements of a role: those of its own policies, and of the stack's policies that it attaches."""
    properties = resources[role]["Properties"]
    documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    documents += [resources[name]["Properties"]["PolicyDocument"] for name in attached(properties)]
    return [statement for document in documents for statement in statements(document)]


def attached(role: Template) -> list[str]:
    """Return the logical ids of the managed policies that a role's properties attach; each must be the stack's."""
    return [arn["Ref"] for arn in role.get("ManagedPolicyArns", [])]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def walk(value: Any) -> Iterator[Any]:
    """Yield a template or a part of it, and everything within it."""
    yield value
    if isinstance(value, dict):
        for member in value.values():
            yield from walk(member)
    elif isinstance(value, list):
        for member in value:
            yield from walk(member)


def references(value: Any) -> set[str]:
    """Return the names that `Ref`, `GetAtt`, `Sub` and `If` use within a template or a part of it."""
    found: set[str] = set()
    for part in walk(value):
        match part:
            case {"Ref": str(name)}:
                found.add(name)
            case {"Fn::GetAtt": [str(name), *_]}:
                found.add(name)
            case {"Fn::Sub": str(text)}:
                found.update(piece.partition("}")[0].partition(".")[0] for piece in text.split("${")[1:])
            case {"Fn::If": [str(name), *_]}:
                found.add(name)
    return found
