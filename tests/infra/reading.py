"""Queries of a template."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

Template = dict[str, Any]


class Loader(yaml.SafeLoader):
    """A loader of YAML that reads CloudFormation's short forms as their long forms."""


def _long_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", _long_form)


def created(template: Template, parameters: Mapping[str, str] | None = None) -> Template:
    """Return the resources that a stack with these parameters has; all other parameters have their defaults."""
    values = {name: str(its["Default"]) for name, its in template["Parameters"].items()} | dict(parameters or {})
    holds = {name: _holds(condition, template, values) for name, condition in template["Conditions"].items()}
    return {name: its for name, its in template["Resources"].items() if holds.get(its.get("Condition"), True)}


def _holds(condition: Any, template: Template, values: Mapping[str, str]) -> bool:
    """Return whether a condition of the template holds. Pseudo parameters are those of no account in particular."""
    match condition:
        case {"Condition": name}:
            return _holds(template["Conditions"][name], template, values)
        case {"Fn::Equals": [left, right]}:
            first, second = (values.get(side["Ref"], "") if isinstance(side, dict) else side for side in (left, right))
            return bool(first == second)
        case {"Fn::Not": [its]}:
            return not _holds(its, template, values)
        case {"Fn::Or": those}:
            return any(_holds(its, template, values) for its in those)
        case {"Fn::And": those}:
            return all(_holds(its, template, values) for its in those)
    raise AssertionError(f"a condition of an unknown form: {condition}")


def of_type(resources: Template, kind: str) -> Template:
    return {name: resource for name, resource in resources.items() if resource["Type"] == kind}


def statements(policy: Template) -> list[Template]:
    """Return the statements of a policy, those that depend on a parameter, too."""
    return [each["Fn::If"][1] if "Fn::If" in each else each for each in as_list(policy["Statement"])]


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
