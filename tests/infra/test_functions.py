"""Functions that a new account can run, each with a role that has exactly the rights its code needs."""

from dataclasses import fields

import pytest

from dropbatch.entrypoints.settings import Settings
from dropbatch.reporting.bus_events import SOURCE
from tests.infra.reading import Template, as_list, attached, of_type, permissions, walk

NEW_ACCOUNT_MEMORY = 3_008
"""MB for each function: Lambda's quota of a new account."""


def test_functions_fit_a_new_account_and_reserve_nothing_of_its_concurrency(resources: Template) -> None:
    functions = of_type(resources, "AWS::Lambda::Function")
    assert set(functions) == {"SubmitFunction", "PollFunction", "CollectFunction"}
    for function in functions.values():
        assert function["Properties"]["MemorySize"] <= NEW_ACCOUNT_MEMORY
        assert function["Properties"]["Timeout"] == 300
        assert "ReservedConcurrentExecutions" not in function["Properties"]


def test_functions_run_on_the_runtime_and_the_processor_that_the_parameters_name(resources: Template) -> None:
    for function in of_type(resources, "AWS::Lambda::Function").values():
        assert function["Properties"]["Runtime"] == {"Ref": "Runtime"}
        assert function["Properties"]["Architectures"] == [{"Ref": "Architecture"}]


def test_disks_hold_a_request_file_and_a_batchs_answers(resources: Template) -> None:
    sizes = {
        name: function["Properties"].get("EphemeralStorage", {"Size": 512})["Size"]
        for name, function in of_type(resources, "AWS::Lambda::Function").items()
    }

    assert sizes["SubmitFunction"] >= 2 * 200  # a request file of at most 200 MiB, and one that a killed process left
    assert sizes["CollectFunction"] >= 2 * 1_024  # the expected answers of a batch are at most 1 GB


def test_functions_log_json_to_groups_with_a_retention_and_are_traced_if_somebody_pays_for_it(
    expanded: Template, resources: Template
) -> None:
    assert expanded["Conditions"]["TracesInvocations"] == {"Fn::Equals": [{"Ref": "Tracing"}, "enabled"]}
    for function in of_type(resources, "AWS::Lambda::Function").values():
        logging = function["Properties"]["LoggingConfig"]
        mode = function["Properties"]["TracingConfig"]["Mode"]
        assert mode == {"Fn::If": ["TracesInvocations", "Active", "PassThrough"]}
        assert logging["LogFormat"] == "JSON"
        group = resources[logging["LogGroup"]["Ref"]]
        assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_every_function_and_the_schedule_has_a_role_of_its_own_within_the_boundary(resources: Template) -> None:
    roles = of_type(resources, "AWS::IAM::Role")
    used = [f["Properties"]["Role"]["Fn::GetAtt"][0] for f in of_type(resources, "AWS::Lambda::Function").values()]
    (schedule,) = of_type(resources, "AWS::Scheduler::Schedule").values()
    used.append(schedule["Properties"]["Target"]["RoleArn"]["Fn::GetAtt"][0])

    assert sorted(used) == sorted(roles)
    for role in roles.values():
        boundary = role["Properties"]["PermissionsBoundary"]
        assert boundary == {"Fn::If": ["HasBoundary", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}]}


FUNCTION_ROLES = ("SubmitRole", "PollRole", "CollectRole")


def test_no_role_gets_rights_from_outside_the_template(resources: Template) -> None:
    """AWS's managed policies allow queues, logs and tracing of the whole account."""
    policies = of_type(resources, "AWS::IAM::ManagedPolicy")
    for name, role in of_type(resources, "AWS::IAM::Role").items():
        assert attached(role["Properties"]) == (["FunctionsPolicy"] if name in FUNCTION_ROLES else []), name

    # A policy could also name its roles, but `permissions` would miss that.
    assert set(policies) == {"FunctionsPolicy"}
    assert policies["FunctionsPolicy"]["Properties"].keys() == {"PolicyDocument"}
    assert not of_type(resources, "AWS::IAM::Policy")
    assert not of_type(resources, "AWS::IAM::RolePolicy")


def test_a_right_that_all_functions_have_is_written_once(resources: Template) -> None:
    own = [resources[role]["Properties"]["Policies"] for role in FUNCTION_ROLES]
    first, *others = ([s for policy in policies for s in policy["PolicyDocument"]["Statement"]] for policies in own)

    assert [statement["Sid"] for statement in first if all(statement in other for other in others)] == []


def test_every_permission_is_named_and_says_in_its_sid_what_it_is_for(resources: Template) -> None:
    for name in of_type(resources, "AWS::IAM::Role"):
        sids = [statement["Sid"] for statement in permissions(resources, name)]
        assert sids, name
        assert len(sids) == len(set(sids)), name
        for statement in permissions(resources, name):
            assert statement["Effect"] == "Allow", name
            assert "NotAction" not in statement
            assert "NotResource" not in statement
            assert not [action for action in as_list(statement["Action"]) if "*" in action], (name, statement["Sid"])


@pytest.mark.parametrize("role", ["SubmitRole", "PollRole", "CollectRole", "ClockRole"])
def test_no_role_can_change_a_drop(resources: Template, role: str) -> None:
    for statement in permissions(resources, role):
        touches_inbox = "InboxBucket" in str(statement["Resource"])
        writes = [a for a in as_list(statement["Action"]) if a.startswith(("s3:Put", "s3:Delete", "s3:Abort"))]
        assert not (touches_inbox and writes)


def test_only_x_ray_actions_are_allowed_on_all_resources(resources: Template) -> None:
    for role in of_type(resources, "AWS::IAM::Role"):
        for statement in permissions(resources, role):
            if "*" in as_list(statement["Resource"]):
                assert set(statement["Action"]) == {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}


def test_each_wildcard_has_a_comment_with_its_reason(source: str) -> None:
    """A comment on the line of the resource says why it is a wildcard."""
    stars = [line for line in source.splitlines() if line.strip().startswith('Resource: "*"')]

    assert stars
    for line in stars:
        assert len(line.partition("#")[2].split()) >= 5, line


@pytest.mark.parametrize("function", ["SubmitFunction", "PollFunction", "CollectFunction"])
def test_the_environment_has_every_variable_that_the_settings_read(resources: Template, function: str) -> None:
    variables = resources[function]["Properties"]["Environment"]["Variables"]
    # Lambda itself sets the region.
    assert {field.name.upper() for field in fields(Settings)} - {"AWS_REGION"} <= variables.keys()


def test_layers_are_built_for_the_same_runtime_and_processor(resources: Template) -> None:
    layers = of_type(resources, "AWS::Lambda::LayerVersion")
    assert len(layers) == 3
    for layer in layers.values():
        assert layer["Properties"]["CompatibleRuntimes"] == [{"Ref": "Runtime"}]
        assert layer["Properties"]["CompatibleArchitectures"] == [{"Ref": "Architecture"}]


def test_the_parquet_layer_is_optional_and_only_for_functions_that_read_tables(
    expanded: Template, resources: Template
) -> None:
    assert expanded["Conditions"]["TakesParquet"] == {"Fn::Equals": [{"Ref": "Parquet"}, "enabled"]}
    conditional = {
        name for name, layer in of_type(resources, "AWS::Lambda::LayerVersion").items() if "Condition" in layer
    }
    assert [name.startswith("ParquetLayer") for name in conditional] == [True]
    [parquet] = conditional
    assert resources[parquet]["Condition"] == "TakesParquet"
    asked_for = {"Fn::If": ["TakesParquet", {"Ref": parquet}, {"Ref": "AWS::NoValue"}]}
    for name, function in of_type(resources, "AWS::Lambda::Function").items():
        layers = function["Properties"]["Layers"]
        assert (asked_for in layers) == (name in ("SubmitFunction", "CollectFunction"))
        assert len(layers) == 2 + (asked_for in layers), "besides those that all have"


def test_collect_reads_the_version_of_a_table_that_was_dropped(resources: Template) -> None:
    readers = [s for s in permissions(resources, "CollectRole") if "InboxBucket" in str(s["Resource"])]
    assert [statement["Action"] for statement in readers] == ["s3:GetObjectVersion"]


TABLE = {f"dynamodb:{action}" for action in ("GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem")}
TAKING = {
    f"sqs:{action}" for action in ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes")
}
DEAD_LETTERS = ("IntakeDeadLetters", "DispatchDeadLetters", "CollectDeadLetters", "DropEventDeadLetters")
PROGRESS = ("*/status.json", "index.json", "*/index.json", "index.html", "*/index.html")
RECEIVE = {"sqs:ReceiveMessage", "sqs:DeleteMessage"}


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (
            "SubmitRole",
            {
                "InboxBucket.Arn/*": {"s3:GetObject", "s3:GetObjectVersion"},
                "InboxBucket.Arn": {"s3:ListBucket"},
                "WorkBucket.Arn": {"s3:ListBucket"},
                "WorkBucket.Arn/jobs/*": {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"},
                "WorkBucket.Arn/ends/*": {"s3:GetObject"},
                "WorkBucket.Arn/recipes/*": {
                    "s3:GetObject",
                    "s3:PutObject",
                    "s3:DeleteObject",
                    "s3:AbortMultipartUpload",
                },
                "ResultsBucket.Arn/*": {"s3:PutObject"},
                "Table.Arn": TABLE,
                "IntakeQueue.Arn": {*TAKING, "sqs:SendMessage"},
                "DispatchQueue.Arn": {*TAKING, "sqs:SendMessage"},
                "CollectQueue.Arn": {"sqs:SendMessage"},
            },
        ),
        (
            "PollRole",
            {
                "InboxBucket.Arn": {"s3:ListBucket"},
                "WorkBucket.Arn": {"s3:ListBucket"},
                "WorkBucket.Arn/jobs/*": {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
                "WorkBucket.Arn/recipes/*": {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
                "WorkBucket.Arn/ends/*": {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
                "ResultsBucket.Arn/*": {"s3:PutObject"},
                **{f"ResultsBucket.Arn/{name}": {"s3:PutObjectTagging"} for name in PROGRESS},
                "Table.Arn": TABLE,
                "Table.Arn/index/open": {"dynamodb:Query"},
                **dict.fromkeys((f"{queue}.Arn" for queue in DEAD_LETTERS), RECEIVE),
                "IntakeQueue.Arn": {"sqs:GetQueueAttributes", "sqs:SendMessage"},
                "DispatchQueue.Arn": {"sqs:GetQueueAttributes", "sqs:SendMessage"},
                "CollectQueue.Arn": {"sqs:GetQueueAttributes", "sqs:SendMessage"},
            },
        ),
        (
            "CollectRole",
            {
                "InboxBucket.Arn/*": {"s3:GetObjectVersion"},
                "WorkBucket.Arn": {"s3:ListBucket"},
                "WorkBucket.Arn/jobs/*": {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"},
                "WorkBucket.Arn/ends/*": {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"},
                "WorkBucket.Arn/answers/*": {"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"},
                "ResultsBucket.Arn": {"s3:ListBucket"},
                "ResultsBucket.Arn/*": {"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"},
                "Table.Arn": TABLE,
                "Table.Arn/index/open": {"dynamodb:Query"},
                "CollectQueue.Arn": {*TAKING, "sqs:SendMessage"},
            },
        ),
    ],
)
def test_each_role_has_exactly_the_rights_that_its_code_uses(
    resources: Template, role: str, allowed: dict[str, set[str]]
) -> None:
    found: dict[str, set[str]] = {}
    for statement in permissions(resources, role):
        actions = {action for action in as_list(statement["Action"]) if action.startswith(("s3:", "dynamodb:", "sqs:"))}
        for resource in as_list(statement["Resource"]):
            match resource:
                case {"Fn::GetAtt": parts}:
                    found.setdefault(".".join(parts), set()).update(actions)
                case {"Fn::Sub": text}:
                    found.setdefault(text.replace("${", "").replace("}", ""), set()).update(actions)

    assert {resource: actions for resource, actions in found.items() if actions} == allowed


@pytest.mark.parametrize("role", FUNCTION_ROLES)
def test_functions_put_their_own_events_on_the_default_bus_and_no_others(resources: Template, role: str) -> None:
    (found,) = [s for s in permissions(resources, role) if any(a.startswith("events:") for a in as_list(s["Action"]))]

    assert found["Action"] == "events:PutEvents"
    assert found["Resource"] == {
        "Fn::Sub": "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/default"
    }
    assert found["Condition"] == {"StringEqualsIfExists": {"events:source": SOURCE}}


def test_an_event_of_dropbatch_starts_no_drop(resources: Template) -> None:
    """The events about drops come over the bus on which the functions put theirs: a loop would cost money."""
    (rule,) = of_type(resources, "AWS::Events::Rule").values()
    assert rule["Properties"]["EventPattern"]["source"] == ["aws.s3"]
    assert not SOURCE.startswith("aws."), "EventBridge reserves such sources for AWS itself"


@pytest.mark.parametrize("function", ["SubmitFunction", "CollectFunction"])
def test_lambdas_loop_detection_allows_the_message_chain_of_a_large_drop(resources: Template, function: str) -> None:
    assert resources[function]["Properties"]["RecursiveLoop"] == "Allow"


def test_no_versions_are_published_because_they_miss_changes_of_layers_and_parameters(resources: Template) -> None:
    """SAM's AutoPublishAlias ignores both: an alias would silently keep old code."""
    assert not of_type(resources, "AWS::Lambda::Alias")


def test_names_are_generated_so_that_retained_resources_block_no_new_stack(resources: Template) -> None:
    naming = {
        "BucketName", "TableName", "QueueName", "TopicName", "FunctionName", "RoleName", "LogGroupName", "AlarmName",
        "DashboardName", "Name",
    }  # fmt: skip
    for name, resource in resources.items():
        # An event source mapping's FunctionName is a reference, and a layer's name is not unique to a stack.
        fixed = {m: v for m, v in resource["Properties"].items() if m in naming and not isinstance(v, dict)}
        assert not fixed, name


def test_no_account_region_or_partition_is_written_down(resources: Template) -> None:
    for value in walk(resources):
        if isinstance(value, str):
            assert "arn:aws:" not in value
            assert "us-east-1" not in value
