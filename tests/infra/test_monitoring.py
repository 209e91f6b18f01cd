"""Alarms for everything that gets stuck, and topics over which they reach a person."""

import re
from pathlib import Path

from benchmarks import costs
from tests.infra.reading import Template, as_list, of_type, permissions, references, statements

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "layers" / "core" / "dropbatch"

TOPICS = ("NotificationsTopic", "EventsTopic", "AlarmsTopic")


def reported_metrics() -> set[str]:
    """Return the names of the metrics that the package reports."""
    sources = [module.read_text() for module in PACKAGE.rglob("*.py")]
    return {name for source in sources for name in re.findall(r"\.metric\(\s*\"(\w+)\"", source)}


def test_topics_are_encrypted_with_a_key_that_cloudwatch_may_use(resources: Template) -> None:
    """Alarms cannot publish to a topic under AWS's key, alias/aws/sns."""
    for topic in TOPICS:
        assert resources[topic]["Properties"]["KmsMasterKeyId"] == {"Fn::GetAtt": ["TopicsKey", "Arn"]}
    granted = [
        statement
        for statement in statements(resources["TopicsKey"]["Properties"]["KeyPolicy"])
        if statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    ]
    assert [sorted(as_list(statement["Action"])) for statement in granted] == [["kms:Decrypt", "kms:GenerateDataKey*"]]


def test_alarms_may_publish_to_the_topic_that_they_name(resources: Template) -> None:
    (policy,) = (
        policy["Properties"]
        for policy in of_type(resources, "AWS::SNS::TopicPolicy").values()
        if policy["Properties"]["Topics"] == [{"Ref": "AlarmsTopic"}]
    )
    (allowed,) = (s for s in statements(policy["PolicyDocument"]) if s["Effect"] == "Allow")

    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Action"] == "sns:Publish"


def test_every_role_that_publishes_may_use_the_topics_key(resources: Template) -> None:
    for name in of_type(resources, "AWS::IAM::Role"):
        actions = {action for each in permissions(resources, name) for action in as_list(each["Action"])}
        if "sns:Publish" in actions:
            assert {"kms:Decrypt", "kms:GenerateDataKey"} <= actions, name


def test_the_topics_key_is_not_rotated_for_a_dollar_a_month(resources: Template) -> None:
    assert resources["TopicsKey"]["Properties"]["EnableKeyRotation"] is False


def test_every_alarm_notifies_operators_when_it_starts_and_when_it_ends(resources: Template) -> None:
    for name, alarm in of_type(resources, "AWS::CloudWatch::Alarm").items():
        assert alarm["Properties"]["AlarmActions"] == [{"Ref": "AlarmsTopic"}], name
        assert alarm["Properties"]["OKActions"] == [{"Ref": "AlarmsTopic"}], name
        assert len(alarm["Properties"]["AlarmDescription"].split()) > 20, name


def test_alarms_go_to_the_operator_or_else_to_the_only_known_address(resources: Template, expanded: Template) -> None:
    subscription = resources["AlarmEmailSubscription"]

    assert expanded["Conditions"]["HasAlarmEmail"] == {
        "Fn::Or": [{"Condition": "NamesAlarmEmail"}, {"Condition": "HasEmail"}]
    }
    assert subscription["Condition"] == "HasAlarmEmail"
    assert subscription["Properties"]["TopicArn"] == {"Ref": "AlarmsTopic"}
    assert subscription["Properties"]["Endpoint"] == {
        "Fn::If": ["NamesAlarmEmail", {"Ref": "AlarmEmail"}, {"Ref": "NotificationEmail"}]
    }


def test_every_alarm_is_explained_in_the_handbook(resources: Template) -> None:
    handbook = (ROOT / "docs" / "operations.md").read_text()
    for name in of_type(resources, "AWS::CloudWatch::Alarm"):
        assert f"`{name}`" in handbook, name


def test_every_alarm_over_a_metric_of_dropbatch_is_on_the_dashboard_and_the_metric_is_reported(
    resources: Template,
) -> None:
    body = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    for name, alarm in of_type(resources, "AWS::CloudWatch::Alarm").items():
        properties = alarm["Properties"]
        if properties["Namespace"] == "Dropbatch":
            assert f'["Dropbatch", "{properties["MetricName"]}"' in body, name
            assert properties["MetricName"] in reported_metrics(), name


def test_every_metric_that_is_reported_is_counted_in_the_cost_of_a_stack() -> None:
    by_status_and_outcome = {"JobsEnded", "Rows"}
    assert reported_metrics() == {*costs.GAUGES, *costs.COUNTERS, *by_status_and_outcome}


def test_messages_that_failed_permanently_are_counted_when_they_arrive(resources: Template) -> None:
    """An alarm on a queue that nothing empties goes off once in 14 days. The poll empties all but the clock's."""
    alarm = _alarm(resources, "DeadLetters")
    depths = {
        dimension["Value"]["Fn::GetAtt"][0]
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
        if alarm["Properties"]["MetricName"] == "ApproximateNumberOfMessagesVisible"
        for dimension in alarm["Properties"]["Dimensions"]
    }

    assert (alarm["Statistic"], alarm["Threshold"], alarm["ComparisonOperator"]) == ("Sum", 0, "GreaterThanThreshold")
    assert depths == {"ClockDeadLetters"}


def test_a_message_that_waits_for_hours_raises_an_alarm(resources: Template) -> None:
    watched = {
        dimension["Value"]["Fn::GetAtt"][0]
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
        if alarm["Properties"]["MetricName"] == "ApproximateAgeOfOldestMessage"
        for dimension in alarm["Properties"]["Dimensions"]
    }

    assert watched == {
        name for name, queue in of_type(resources, "AWS::SQS::Queue").items() if "RedrivePolicy" in queue["Properties"]
    }


def test_a_handled_failure_counts_like_a_crash(resources: Template) -> None:
    """A function that returns a message as failed is a success in Lambda's metric Errors."""
    alarm = _alarm(resources, "StepsFailed")

    assert (alarm["Statistic"], alarm["Threshold"]) == ("Sum", 3)


def test_a_job_that_needs_a_person_raises_an_alarm(resources: Template) -> None:
    alarm = _alarm(resources, "JobsStuck")

    assert (alarm["Statistic"], alarm["Threshold"], alarm["ComparisonOperator"]) == (
        "Maximum",
        0,
        "GreaterThanThreshold",
    )


def test_events_that_aws_drops_raise_an_alarm(resources: Template) -> None:
    watched = {
        (alarm["Properties"]["MetricName"], *references(dimension))
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
        for dimension in alarm["Properties"]["Dimensions"]
    }

    assert {
        ("FailedInvocations", "DropRule"),
        ("AsyncEventsDropped", "PollFunction"),
        ("RecursiveInvocationsDropped", "SubmitFunction"),
        ("RecursiveInvocationsDropped", "CollectFunction"),
    } <= watched


def test_every_function_has_an_alarm_for_errors_and_one_for_throttles(resources: Template) -> None:
    watched = {
        (dimension["Value"]["Ref"], alarm["Properties"]["MetricName"])
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
        for dimension in alarm["Properties"]["Dimensions"]
        if dimension["Name"] == "FunctionName"
    }

    functions = of_type(resources, "AWS::Lambda::Function")
    assert {(function, metric) for function in functions for metric in ("Errors", "Throttles")} <= watched


def test_an_overdue_batch_raises_an_alarm(resources: Template) -> None:
    alarm = _alarm(resources, "OldestOpenBatchSeconds")

    assert alarm["Threshold"] == 38 * 3_600  # cancelled after 36
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"


def test_a_second_batch_for_the_same_rows_raises_an_alarm(resources: Template) -> None:
    alarm = _alarm(resources, "DoubleBatches")

    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")


def test_a_silent_poller_raises_an_alarm(resources: Template, expanded: Template) -> None:
    alarm = _alarm(resources, "BatchesOpen")

    assert alarm["TreatMissingData"] == "breaching"
    assert alarm["ComparisonOperator"] == "LessThanThreshold"
    # One tick of the rarest schedule may be late without an alarm.
    rarest = max(
        minutes
        for minutes in range(2, 60)
        if re.fullmatch(expanded["Parameters"]["PollSchedule"]["AllowedPattern"], f"rate({minutes} minutes)")
    )
    assert alarm["Period"] == rarest * 60
    assert alarm["EvaluationPeriods"] == 2


def test_the_dashboard_leads_with_rows_jobs_and_money(resources: Template) -> None:
    body = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    first = ("Rows", "JobsAccepted", "CostUSD", "SavedUSD", "BatchesOpen", "AWS/SQS", "AWS/Lambda")
    order = [body.index(metric) for metric in first]

    assert order == sorted(order)


def _alarm(resources: Template, metric: str) -> Template:
    (alarm,) = (
        alarm["Properties"]
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
        if alarm["Properties"]["MetricName"] == metric
    )
    assert alarm["Namespace"] == "Dropbatch"
    # The dimension of the functions' metrics.
    assert [dimension["Name"] for dimension in alarm["Dimensions"]] == ["service"]
    service = resources["PollFunction"]["Properties"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    assert alarm["Dimensions"][0]["Value"] == service
    found: Template = alarm
    return found
