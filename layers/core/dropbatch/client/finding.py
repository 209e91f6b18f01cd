"""Finding a stack by the outputs of CloudFormation."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from dropbatch.client.errors import NotReachableError, WrongUseError

STACK_VARIABLE = "DROPBATCH_STACK"

_NEEDED = frozenset({"InboxBucket", "ResultsBucket", "OpenAISecretArn", "Table"})
"""Outputs by which a stack of Dropbatch is recognised."""


def find_outputs(cloudformation: Any, name: str | None) -> tuple[str, Mapping[str, str]]:
    """Return the name and the outputs of the stack of this name, or of the only stack of Dropbatch that there is."""
    name = name or os.environ.get(STACK_VARIABLE) or None
    if name is not None:
        outputs = _named(cloudformation, name)
        missing = sorted(_NEEDED - outputs.keys())
        if missing:
            raise WrongUseError(f"The stack {name} is not a stack of Dropbatch: it has no output {missing[0]}.")
        return name, outputs
    found = {stack: outputs for stack, outputs in _all(cloudformation) if outputs.keys() >= _NEEDED}
    if not found:
        raise WrongUseError(
            "There is no stack of Dropbatch in this account and region: deploy one with `make deploy`, or name another "
            "region with --region."
        )
    if len(found) > 1:
        names = ", ".join(sorted(found))
        raise WrongUseError(
            f"There are several stacks of Dropbatch: {names}. Name one with --stack, or set {STACK_VARIABLE}."
        )
    return next(iter(found.items()))


def _named(cloudformation: Any, name: str) -> Mapping[str, str]:
    try:
        stacks = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except NotReachableError as error:
        if "does not exist" not in str(error):
            raise
        stacks = []
    if not stacks:
        raise WrongUseError(f"There is no stack {name} in this account and region.")
    return _outputs(stacks[0])


def _all(cloudformation: Any) -> Iterator[tuple[str, Mapping[str, str]]]:
    more: dict[str, str] = {}
    while True:
        page = cloudformation.describe_stacks(**more)
        for stack in page["Stacks"]:
            yield stack["StackName"], _outputs(stack)
        if not page.get("NextToken"):
            return
        more = {"NextToken": page["NextToken"]}


def _outputs(stack: Mapping[str, Any]) -> Mapping[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
