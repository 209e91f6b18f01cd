"""Rules of EventBridge in moto, with a queue as their target.

moto needs a library for JSON paths even if a target transforms nothing. `transformed` does the same for paths of names.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest

REGION = "us-east-1"

Event = dict[str, Any]


def transformed(input_template: str | None, input_paths_map: Mapping[str, str], event: Event) -> Any:
    """Return what a target gets: the event, or what its `InputTransformer` makes of it."""
    if input_template is None:
        return event
    values = {name: _found(path, event) for name, path in input_paths_map.items()}
    # EventBridge replaces within quotes by the text, elsewhere by its JSON. What is not there is empty.
    filled = re.sub(r"<(\w+)>", lambda found: json.dumps(values[found[1]])[1:-1], input_template)
    return json.loads(filled)


def _found(path: str, event: Event) -> str:
    root, *names = path.split(".")
    assert root == "$", f"{path} is not a path of names"
    value: Any = event
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return "" if value is None else str(value)


def rule_with_queue(
    patch: pytest.MonkeyPatch, pattern: Mapping[str, Any], name: str = "rule", transformer: Any = None
) -> Callable[[], list[Any]]:
    """Make a rule on the default bus. Return a function that returns what its target has received since."""
    patch.setattr("moto.events.models.EventTemplateParser.parse", staticmethod(transformed))
    events, sqs = boto3.client("events", region_name=REGION), boto3.client("sqs", region_name=REGION)
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    target: Any = {"Id": "queue", "Arn": arn, **({"InputTransformer": transformer} if transformer else {})}
    events.put_targets(Rule=name, Targets=[target])

    def received() -> list[Any]:
        found: list[Any] = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    return received
