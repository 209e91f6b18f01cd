"""Alarms for everything that gets stuck, and topics over which they reach a person."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import costs
from dropbatch.polling.poll import MAX_OPEN_SECONDS
from dropbatch.polling.resend import DELAYED_SECONDS
from tests.infra.reading import Template, as_list, created, of_type, permissions, references, statements

ROOT = Path(__file__).parents[2]

TROUBLE = {
    "every poll crashes, times out or finds no function": "SilentPollAlarm",
    "the schedule is off, or may not start the poll": "SilentPollAlarm",
    "Lambda drops the ticks": "SilentPollAlarm",
    "submit or collect crash for each message": "DeadLettersAlarm",
    "submit or collect fail for each message": "DeadLettersAlarm",
    "Lambda refuses to start submit or collect, and gives their messages back": "DeadLettersAlarm",
    "Lambda takes a chain of messages for a loop": "DeadLettersAlarm",
    "EventBridge could not send an event to the intake queue for a day": "DeadLettersAlarm",
    "EventBridge can send an event to no queue": "DropRuleFailuresAlarm",
    "nobody takes new drops from the intake queue": "IntakeAgeAlarm",
    "nobody takes messages from the dispatch or the collect queue": "JobsStuckAlarm",
    "a step of a job fails again and again": "JobsStuckAlarm",
    "nobody can tell whether a batch was created": "JobsStuckAlarm",
    "OpenAI does not end a batch": "JobsStuckAlarm",
    "SNS, EventBridge or S3 take no messages or pages": "StepsFailedAlarm",
    "OpenAI has two batches for the same rows": "DoubleBatchesAlarm",
}
"""The kinds of lasting trouble in docs/maintainers/failures.md and docs/operations.md that nobody else tells a person,
and an alarm that does so in a stack with the essential alarms."""


def test_every_kind_of_lasting_trouble_has_an_essential_alarm_and_each_of_these_is_needed(written: Template) -> None:
    assert set(TROUBLE.values()) == set(_alarms(written, "essential"))


def test_all_alarms_are_those_that_are_essential_and_others(written: Template) -> None:
    essential, every = _alarms(written, "essential"), _alarms(written, "all")
    assert _alarms(written, "none") == {}
    assert _alarms(written) == essential
    assert every == of_type(written["Resources"], "AWS::CloudWatch::Alarm")
    assert essential.keys() < every.keys()


def test_each_alarm_watches_one_metric_and_so_costs_the_least(resources: Template) -> None:
    for name, alarm in of_type(resources, "AWS::CloudWatch::Alarm").items():
        assert "Metrics" not in alarm["Properties"], name
        assert alarm["Properties"]["Period"] >= 60, name


def test_a_metric_that_is_silent_while_all_is_well_ends_its_alarm_by_silence(resources: Template) -> None:
    for name, alarm in of_type(resources, "AWS::CloudWatch::Alarm").items():
        is_gauge = alarm["Properties"]["MetricName"] == "BatchesOpen"
        assert alarm["Properties"]["TreatMissingData"] == ("breaching" if is_gauge else "notBreaching"), name


@pytest.mark.parametrize("choice", ["enabled", "disabled"])
def test_the_dashboard_and_its_link_are_there_if_somebody_wants_them(written: Template, choice: str) -> None:
    resources = created(written, {"CreateDashboard": choice})
    assert ("Dashboard" in resources) == (choice == "enabled")
    assert written["Outputs"]["DashboardLink"]["Condition"] == written["Resources"]["Dashboard"]["Condition"]


def test_topics_of_people_and_programs_are_encrypted_with_the_key_that_costs_nothing(resources: Template) -> None:
    for topic in ("NotificationsTopic", "EventsTopic"):
        assert resources[topic]["Properties"]["KmsMasterKeyId"] == "alias/aws/sns"


def test_the_topic_with_alarms_has_a_key_that_cloudwatch_may_use_or_none(
    written: Template, resources: Template
) -> None:
    """CloudWatch cannot publish to a topic under AWS's own key."""
    assert resources["AlarmsTopic"]["Properties"]["KmsMasterKeyId"] == {
        "Fn::If": ["HasAlarmsTopicKey", {"Fn::GetAtt": ["TopicsKey", "Arn"]}, {"Ref": "AWS::NoValue"}]
    }
    assert "TopicsKey" not in created(written)
    assert "TopicsKey" in created(written, {"AlarmsTopicEncryption": "enabled"})
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


def test_every_role_that_publishes_may_use_the_key_of_the_topic_with_alarms(resources: Template) -> None:
    for name in of_type(resources, "AWS::IAM::Role"):
        actions = {action for each in permissions(resources, name) for action in as_list(each["Action"])}
        if "sns:Publish" in actions:
            assert {"kms:Decrypt", "kms:GenerateDataKey"} <= actions, name


def test_the_topics_key_is_not_rotated_at_the_price_of_another_key(resources: Template) -> None:
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
            assert properties["MetricName"] in costs.metric_names()[0], name


def test_metrics_of_jobs_are_reported_only_if_somebody_pays_for_them() -> None:
    always, of_jobs = costs.metric_names()
    assert not always & of_jobs
    assert {"JobsAccepted", "JobsEnded", "Rows", "CostUSD"} <= of_jobs


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
    ages = [
        alarm["Properties"]
        for alarm in of_type(resources, "AWS::CloudWatch::Alarm").values()
        if alarm["Properties"]["MetricName"] == "ApproximateAgeOfOldestMessage"
    ]
    watched = {dimension["Value"]["Fn::GetAtt"][0] for alarm in ages for dimension in alarm["Dimensions"]}
    assert {alarm["Threshold"] for alarm in ages} == {DELAYED_SECONDS}, "as the poll counts them for JobsStuck"

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

    assert alarm["Threshold"] == MAX_OPEN_SECONDS == 38 * 3_600  # cancelled after 36
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


def test_the_dashboard_counts_jobs_in_the_lines_that_the_functions_log(resources: Template) -> None:
    """Not as metrics, of which AWS would bill each for itself."""
    text = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    body = json.loads(re.sub(r"\$\{([\w:.]+)\}", r"\1", text))
    queries = [its["properties"]["query"] for its in body["widgets"] if its["type"] == "log"]
    groups = of_type(resources, "AWS::Logs::LogGroup")
    for query in queries:
        assert set(re.findall(r"SOURCE '(\w+)'", query)) == set(groups)
        assert "message = 'counted'" in query
    counted = set(re.findall(r"(?:sum|ispresent)\((\w+)\)", " ".join(queries)))
    assert counted == costs.metric_names()[1]


def _alarms(written: Template, choice: str | None = None) -> Template:
    """Return the alarms of a stack with this choice, by name."""
    return of_type(created(written, {"Alarms": choice} if choice else None), "AWS::CloudWatch::Alarm")


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
